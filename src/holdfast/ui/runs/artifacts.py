"""`/runs/{run_id}/artifacts`: the files of a run as folders, with previews that are never active content.

A preview is text that the template escapes, or an image of a raster type that was recognised by its first bytes.
Everything else is a download: a page or a drawing that somebody logged must not run in the name of this server.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
from markupsafe import Markup

from holdfast.base.context import Context
from holdfast.base.errors import NotFoundError
from holdfast.registry.outside.source import artifact_folder
from holdfast.tracking.policy import check_artifact_path
from holdfast.tracking.records import LoggedRun, StoredArtifact
from holdfast.ui import urls
from holdfast.ui.kit import Column, Crumb, Fact, Row, render_table
from holdfast.ui.kit.format import code_block, short_id, size
from holdfast.ui.page import PageRequest, View, head
from holdfast.ui.runs.head import crumbs_of, run_tabs
from holdfast.ui.services import PageServices
from holdfast.ui.words import counted

Preview = Literal["text", "image", "none"]

TEXT_BYTES_MOST = 256 << 10
IMAGE_BYTES_MOST = 20 << 20
_SIGNATURE_BYTES = 16
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
)
_ENTRIES_MOST = 1000


class ArtifactsData(msgspec.Struct, frozen=True):
    """A folder or a file of a run, or of a model that it logged, as data; paths begin below its root."""

    run_id: str
    path: str
    model_id: str = ""
    files: tuple[StoredArtifact, ...] = ()
    file: StoredArtifact | None = None


def show(services: PageServices, context: Context, request: PageRequest) -> View:
    """A folder of a run's artifacts, or one file with its preview: `?path=` says which, `?model=` of which model."""
    run = services.logged_runs.get(context, request.parameters["run_id"])
    path = check_artifact_path(request.query.get("path", ""))
    data = gather(services, context, run, path, request.query.get("model", ""))
    page = head(
        services,
        request,
        path.rpartition("/")[2] or run.name,
        tab="Runs",
        kind="File" if data.file else "Artifacts",
        urn=f"tracking/run/{run.run_id}",
        command=f"holdfast runs show {run.run_id}",
        crumbs=crumbs_of(run),
        live=False,
        stateful=True,
    )
    parts = {
        "run": run,
        "tabs": run_tabs(run),
        "way": _way(data),
        "listing": _listing(run, data),
        "file": _file_facts(data.file) if data.file else (),
        "preview": preview(services, context, data, data.file) if data.file else None,
        "download_url": urls.run_file(run.run_id, path, model=data.model_id) if data.file else "",
    }
    return View("artifacts.html", page, data, parts)


def gather(
    services: PageServices, context: Context, run: LoggedRun, path: str, model_id: str = ""
) -> ArtifactsData:
    """What is at a path of a run, or of a model that it logged.

    Raises:
        NotFoundError: neither a file nor a folder is there, or no such model.
    """
    root = root_of(services, context, run, model_id)
    if root is None:
        return ArtifactsData(run.run_id, path, model_id)
    at = f"{root}/{path}" if path else root
    children = services.artifacts.children(context, at)
    if children or not path:
        listed = tuple(_below(item, root) for item in children[:_ENTRIES_MOST])
        return ArtifactsData(run.run_id, path, model_id, listed)
    found, _ = services.artifacts.open(context, at)
    return ArtifactsData(run.run_id, path, model_id, file=_below(found, root))


def root_of(services: PageServices, context: Context, run: LoggedRun, model_id: str = "") -> str | None:
    """The folder of our artifact store that holds the files; None where they are in another store.

    Raises:
        NotFoundError: the run logged no such model.
    """
    if not model_id:
        return artifact_folder(run.artifact_root)
    model = services.logged_models.get(context, model_id)
    if model.source_run_id != run.run_id and model_id not in {link.model_id for link in run.model_outputs}:
        raise NotFoundError(f"the run {run.run_id} logged no model {model_id[:100]!r}")
    return artifact_folder(model.artifact_location)


def open_file(
    services: PageServices, context: Context, run_id: str, path: str, model_id: str = ""
) -> tuple[StoredArtifact, Path]:
    """A file of a run and where its bytes are.

    Raises:
        NotFoundError: there is no such file, or it is not in this server's store.
        InvalidError: the path leads out of the run's artifacts.
    """
    run = services.logged_runs.get(context, run_id)
    root, path = root_of(services, context, run, model_id), check_artifact_path(path)
    if root is None or not path:
        raise NotFoundError("there is no such file", hint="choose one on the artifacts page of the run")
    return services.artifacts.open(context, f"{root}/{path}")


def image_type(file: Path) -> str | None:
    """The content type of a raster image, by its first bytes and whatever its name; None for all else."""
    with file.open("rb") as source:
        start = source.read(_SIGNATURE_BYTES)
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for signature, kind in _SIGNATURES if start.startswith(signature)), None)


class FilePreview(msgspec.Struct, frozen=True):
    """What the page shows of a file: text to be escaped, the address of an image, or why there is neither."""

    kind: Preview
    text: str = ""
    url: str = ""
    note: str = ""


def preview(
    services: PageServices, context: Context, data: ArtifactsData, file: StoredArtifact
) -> FilePreview:
    """The preview of a file of a run."""
    _, place = open_file(services, context, data.run_id, file.path, data.model_id)
    if image_type(place) is not None:
        if file.size_bytes > IMAGE_BYTES_MOST:
            return FilePreview("none", note=f"An image of {size(file.size_bytes)} is not shown here.")
        return FilePreview(
            "image", url=urls.run_file(data.run_id, file.path, shown=True, model=data.model_id)
        )
    with place.open("rb") as source:
        start = source.read(TEXT_BYTES_MOST)
    text = _text(start, whole=file.size_bytes <= len(start))
    if text is None:
        return FilePreview("none", note="Not a text and not a raster image, so there is no preview.")
    cut = file.size_bytes > len(start)
    note = f"The first {size(TEXT_BYTES_MOST)} of {size(file.size_bytes)}." if cut else ""
    return FilePreview("text", _pretty(text, file.path) if not cut else text, note=note)


def _text(start: bytes, *, whole: bool) -> str | None:
    """The bytes as text, or None where they are none. A character that the cut has split does no harm."""
    if b"\0" in start:
        return None
    try:
        return start.decode("utf-8")
    except UnicodeDecodeError as error:
        return start[: error.start].decode("utf-8") if not whole and error.start > len(start) - 4 else None


def _pretty(text: str, path: str) -> str:
    """JSON on a single line is nobody's reading."""
    if not path.endswith(".json") or "\n" in text.strip():
        return text
    try:
        return msgspec.json.format(text, indent=2)
    except msgspec.DecodeError:
        return text


def tree_table(run_id: str, files: tuple[StoredArtifact, ...], empty: Markup, model_id: str = "") -> Markup:
    """Folders first, then files with their sizes."""
    columns = (
        Column("name", "Name", sortable=False),
        Column("size", "Size", align="right", sortable=False, formatter=lambda count: size(count)),
        Column("digest", "Blob", sortable=False, formatter=short_id),
    )
    ordered = sorted(files, key=lambda item: (not item.is_folder, item.path))
    rows = [
        Row(
            {
                "name": item.path.rpartition("/")[2] + ("/" if item.is_folder else ""),
                "size": None if item.is_folder else item.size_bytes,
                "digest": item.digest,
            },
            urls.run_artifacts(run_id, item.path, model_id),
            item.path,
        )
        for item in ordered
    ]
    return render_table(columns, rows, caption="Artifacts", empty=empty)


def no_artifacts(run: LoggedRun) -> Markup:
    """Why there is nothing to list, and the line that fills it."""
    if artifact_folder(run.artifact_root) is None:
        return Markup(
            "<h3>Kept elsewhere</h3><p>Its artifacts are at <code>{}</code>; open them there.</p>"
        ).format(run.artifact_root)
    return Markup("<h3>No artifacts</h3><p>This run kept no files. In a training script:</p>{}").format(
        code_block('mlflow.log_artifact("report.txt")')
    )


def _listing(run: LoggedRun, data: ArtifactsData) -> Markup:
    if data.file is not None:
        return Markup("")
    listed = tree_table(run.run_id, data.files, no_artifacts(run), data.model_id)
    if len(data.files) < _ENTRIES_MOST:
        return listed
    return listed + Markup("<p class='muted'>The first {} entries.</p>").format(
        counted(_ENTRIES_MOST, "entry")
    )


def _file_facts(file: StoredArtifact) -> tuple[Fact, ...]:
    return (
        Fact("Path", Markup("<code>{}</code>").format(file.path)),
        Fact(
            "Size",
            Markup('{} <span class="muted">({:,} bytes)</span>').format(
                size(file.size_bytes), file.size_bytes
            ),
        ),
        Fact("Blob", short_id(file.digest, 24)),
    )


def _way(data: ArtifactsData) -> tuple[Crumb, ...]:
    """The folders that lead to a path, each a link."""
    parts = data.path.split("/") if data.path else []
    folders = ["/".join(parts[: place + 1]) for place in range(len(parts))]

    def at(name: str, path: str) -> Crumb:
        return Crumb(name, urls.run_artifacts(data.run_id, path, data.model_id))

    return (
        at(data.model_id or "artifacts", ""),
        *(at(folder.rpartition("/")[2], folder) for folder in folders),
    )


def _below(item: StoredArtifact, root: str) -> StoredArtifact:
    return msgspec.structs.replace(item, path=item.path.removeprefix(f"{root}/"))
