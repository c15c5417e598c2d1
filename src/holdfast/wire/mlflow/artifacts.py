"""MLflow's artifacts: lists, downloads and uploads, with bounded memory in both directions.

Clients reach files through the proxy at `/api/2.0/mlflow-artifacts`, whose root is the project. The root of a run is
`EXPERIMENT/RUN/artifacts` in it, unless its experiment names another.
"""

from __future__ import annotations

import asyncio
import mimetypes
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.types import Message, Receive, Scope, Send

from holdfast.base.context import Context
from holdfast.base.errors import HoldfastError, InvalidError, NotFoundError, UnavailableError
from holdfast.registry.outside.source import SourceFiles
from holdfast.tracking.policy import check_artifact_path, stored_root
from holdfast.tracking.records import StoredArtifact
from holdfast.tracking.service import ArtifactService, LoggedModelService, RunService
from holdfast.wire.mlflow.app import Disconnected, respond
from holdfast.wire.mlflow.envelope import NotImplementedYetError
from holdfast.wire.mlflow.messages import Int64
from holdfast.wire.mlflow.model_folders import ModelFolders, folder_of, is_reserved
from holdfast.wire.mlflow.routing import Call, Route, Streamer

_CHUNK_BYTES = 1 << 20
_PASSED_OVER_BYTES_MOST = 64 << 20
_PROXY = "/mlflow-artifacts"


class ListArtifacts(msgspec.Struct, frozen=True):
    run_id: str = ""
    run_uuid: str = ""
    path: str = ""


class ListModelArtifacts(msgspec.Struct, frozen=True):
    model_id: str
    artifact_directory_path: str = ""


class ListProxied(msgspec.Struct, frozen=True):
    path: str = ""


class ProxiedPath(msgspec.Struct, frozen=True):
    path: str


class CreateUpload(msgspec.Struct, frozen=True):
    folder: str
    path: str
    num_parts: Int64 = 1


class UploadPart(msgspec.Struct, frozen=True):
    part_number: Int64
    etag: str = ""
    url: str = ""


class CompleteUpload(msgspec.Struct, frozen=True):
    folder: str
    path: str
    upload_id: str
    parts: tuple[UploadPart, ...]


class AbortUpload(msgspec.Struct, frozen=True):
    upload_id: str


class Artifacts:
    """The endpoints of artifacts."""

    def __init__(
        self,
        artifacts: ArtifactService,
        runs: RunService,
        models: LoggedModelService,
        sources: SourceFiles,
        folders: ModelFolders,
    ) -> None:
        self._sources = sources
        self._folders = folders
        self._artifacts = artifacts
        self._runs = runs
        self._models = models

    def routes(self) -> list[Route]:
        files, uploads = f"{_PROXY}/artifacts", f"{_PROXY}/mpu"
        return [
            Route("GET", "/mlflow/artifacts/list", self.list_of_run),
            Route("GET", "/mlflow/logged-models/{model_id}/artifacts/directories", self.list_of_model),
            Route("GET", "/mlflow/logged-models/{model_id}/artifacts/files", stream=self.get_of_model),
            Route("GET", "/get-artifact", stream=self.get_of_run, version=""),
            Route("GET", "/model-versions/get-artifact", stream=self.get_of_version, version=""),
            Route("GET", files, self.list_proxied),
            Route("GET", f"{files}/{{path:path}}", stream=self.download),
            Route("PUT", f"{files}/{{path:path}}", stream=_read_to_the_end(self.upload)),
            Route("DELETE", f"{files}/{{path:path}}", self.delete),
            Route("POST", f"{uploads}/create/{{folder:path}}", self.create_upload),
            Route("POST", f"{uploads}/complete/{{folder:path}}", self.complete_upload),
            Route("POST", f"{uploads}/abort/{{folder:path}}", self.abort_upload),
            Route(
                "PUT", f"{uploads}/parts/{{upload_id}}/{{part}}", stream=_read_to_the_end(self.upload_part)
            ),
            Route("GET", f"{_PROXY}/presigned/{{path:path}}", _no_presigned),
            Route("POST", "/mlflow/artifacts/presigned-upload-url", _no_presigned),
            Route("POST", "/mlflow/artifacts/presigned-download-url", _no_presigned),
        ]

    def list_of_run(self, call: Call) -> Any:
        asked = call.read(ListArtifacts)
        run_id = asked.run_id or asked.run_uuid
        if not run_id:
            raise InvalidError("Missing value for required parameter 'run_id'", field="run_id")
        return self._listed(call, self._runs.get(call.context, run_id).artifact_root, asked.path)

    def list_of_model(self, call: Call) -> Any:
        asked = call.read(ListModelArtifacts)
        root = self._models.get(call.context, asked.model_id).artifact_location
        return self._listed(call, root, asked.artifact_directory_path)

    def list_proxied(self, call: Call) -> Any:
        path = call.read(ListProxied).path
        # Clients of this endpoint expect names, not paths.
        found = [_file(item, item.path.rpartition("/")[2]) for item in self._children(call.context, path)]
        return {"files": found} if found else {}

    def delete(self, call: Call) -> None:
        self._artifacts.delete(call.context, call.read(ProxiedPath).path)

    async def get_of_run(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        run_id = call.query("run_id") or call.query("run_uuid") or ""
        path = check_artifact_path(call.query("path") or "")
        root = (await asyncio.to_thread(self._runs.get, call.context, run_id)).artifact_root
        await self.send(call, f"{stored_root(root)}/{path}", scope, send)

    async def get_of_model(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        path = check_artifact_path(call.query("artifact_file_path") or "")
        model = await asyncio.to_thread(self._models.get, call.context, call.path["model_id"])
        await self.send(call, f"{stored_root(model.artifact_location)}/{path}", scope, send)

    async def get_of_version(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        path = check_artifact_path(call.query("path") or "")
        name, version = call.query("name") or "", call.query("version") or ""
        if not version.isdecimal():
            raise InvalidError("Missing or invalid value for required parameter 'version'", field="version")
        folder = await asyncio.to_thread(self._folder_of, call.context, name, int(version))
        await self.send(call, f"{folder}/{path}", scope, send)

    async def download(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        await self.send(call, call.path["path"], scope, send)

    async def send(self, call: Call, path: str, scope: Scope, send: Send) -> None:
        """Sends a file, a chunk at a time, as an attachment: a page must not run in our name.

        Raises:
            NotFoundError: there is no such file.
        """
        made = await asyncio.to_thread(self._folders.open, call.context, path)
        if made is not None and isinstance(made[1], bytes):
            await _send_bytes(made[1], scope, send)
            return
        found, file = await asyncio.to_thread(self._opened, call.context, path, made)
        name = found.path.rpartition("/")[2]
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        headers = [
            (b"content-type", kind.encode("latin-1")),
            (b"content-length", str(found.size_bytes).encode()),
            (b"content-disposition", f"attachment; filename*=UTF-8''{quote(name)}".encode()),
            (b"x-content-type-options", b"nosniff"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        with file.open("rb") as source:
            left = found.size_bytes
            while left > 0 and (chunk := await asyncio.to_thread(source.read, _CHUNK_BYTES)):
                left -= len(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": left > 0})
        if found.size_bytes == 0:
            await send({"type": "http.response.body", "body": b""})

    def _opened(
        self, context: Context, path: str, made: tuple[str, bytes | Path] | None
    ) -> tuple[StoredArtifact, Path]:
        if made is None:
            return self._artifacts.open(context, path)
        assert isinstance(made[1], Path)
        return StoredArtifact(path, False, made[1].stat().st_size), made[1]

    def _children(self, context: Context, path: str) -> list[StoredArtifact]:
        made = self._folders.children(context, path)
        return self._artifacts.children(context, path) if made is None else made

    def _folder_of(self, context: Context, name: str, version: int) -> str:
        return self._sources.folder_of(context, name, version) or folder_of(name, version)

    async def upload(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        _refuse_reserved(call.path["path"])
        path = await asyncio.to_thread(self._artifacts.check_free, call.context, call.path["path"])
        with self._artifacts.receive() as incoming:
            await _take(scope, receive, incoming.write)
            await asyncio.to_thread(_translated, self._artifacts.keep, call.context, path, incoming)
        await respond(send, 200, b"{}")

    def create_upload(self, call: Call) -> Any:
        asked = call.read(CreateUpload)
        path = _uploaded(asked.folder, asked.path)
        _refuse_reserved(path)
        upload_id = self._artifacts.begin_upload(call.context, path, asked.num_parts)
        at = f"{call.base_url}/api/2.0{_PROXY}/mpu/parts/{upload_id}"
        return {
            "upload_id": upload_id,
            "credentials": [
                {"url": f"{at}/{number}", "part_number": number, "headers": {}}
                for number in range(1, asked.num_parts + 1)
            ],
        }

    async def upload_part(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        number = call.path["part"]
        if not number.isdecimal() or len(number) > 6:
            raise InvalidError(f"Invalid part {number[:20]!r}")
        upload_id = call.path["upload_id"]
        target = await asyncio.to_thread(self._artifacts.part_file, call.context, upload_id, int(number))
        beside = target.with_suffix(".incoming")
        try:
            with beside.open("wb") as handle:
                await _take(scope, receive, handle.write)
            beside.replace(target)
        except OSError as error:
            raise _no_space(error) from error
        finally:
            beside.unlink(missing_ok=True)
        headers = [(b"etag", f'"{number}"'.encode()), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def complete_upload(self, call: Call) -> None:
        asked = call.read(CompleteUpload)
        path = _uploaded(asked.folder, asked.path)
        parts = [part.part_number for part in asked.parts]
        _translated(self._artifacts.finish_upload, call.context, path, asked.upload_id, parts)

    def abort_upload(self, call: Call) -> None:
        self._artifacts.abort_upload(call.context, call.read(AbortUpload).upload_id)

    def _listed(self, call: Call, root: str, path: str) -> Any:
        path = check_artifact_path(path)
        stored = stored_root(root)
        folder = f"{stored}/{path}" if path else stored
        found = self._artifacts.children(call.context, folder)
        answer: dict[str, Any] = {"root_uri": root}
        if found:
            answer["files"] = [_file(item, item.path[len(stored) + 1 :]) for item in found]
        return answer


async def _send_bytes(content: bytes, scope: Scope, send: Send) -> None:
    headers = [
        (b"content-type", b"application/octet-stream"),
        (b"content-length", str(len(content)).encode()),
        (b"content-disposition", b"attachment"),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else content})


def _refuse_reserved(path: str) -> None:
    if is_reserved(check_artifact_path(path)):
        raise InvalidError(
            f"Invalid path {path[:200]!r}: the folders of versions that holdfast trained are made by it"
        )


def _file(item: StoredArtifact, path: str) -> dict[str, Any]:
    if item.is_folder:
        return {"path": path, "is_dir": True}
    return {"path": path, "is_dir": False, "file_size": item.size_bytes}


def _uploaded(folder: str, path: str) -> str:
    # The client names the local file, of which the last part counts, and the folder it goes to.
    name = check_artifact_path(path.replace("\\", "/").rpartition("/")[2])
    if not name:
        raise InvalidError(f"Invalid path {path[:200]!r}: a file needs a name", field="path")
    folder = check_artifact_path(folder)
    return f"{folder}/{name}" if folder else name


class _Body:
    """Hands the messages of a body on, and knows whether more are to come."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ended = False

    async def __call__(self) -> Message:
        message = await self._receive()
        self._ended = not message.get("more_body")
        return message

    async def pass_over(self) -> None:
        """Reads what is left, up to a bound."""
        size = 0
        while not self._ended and size < _PASSED_OVER_BYTES_MOST:
            size += len((await self()).get("body", b""))


def _read_to_the_end(upload: Streamer) -> Streamer:
    """An upload that is refused reads on before it answers: a client that still writes when the connection is closed
    hears of a broken pipe, and not of the reason."""

    async def reading(call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        body = _Body(receive)
        try:
            await upload(call, scope, body, send)
        except Disconnected:
            raise
        except Exception:
            await body.pass_over()
            raise

    return reading


async def _take(scope: Scope, receive: Receive, write: Any) -> None:
    """Hands the body on, a chunk at a time; a client that hangs up leaves nothing.

    Raises:
        Disconnected: it hung up, or sent less than it announced.
        UnavailableError: the disk is full.
    """
    announced = next((value for name, value in scope["headers"] if name == b"content-length"), None)
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk = message.get("body", b"")
        if chunk:
            size += len(chunk)
            try:
                await asyncio.to_thread(write, chunk)
            except OSError as error:
                raise _no_space(error) from error
        if not message.get("more_body"):
            break
    if announced is not None and size != int(announced):
        raise Disconnected


def _translated(verb: Any, *arguments: Any) -> None:
    try:
        verb(*arguments)
    except OSError as error:
        raise _no_space(error) from error


def _no_space(error: OSError) -> HoldfastError:
    if isinstance(error, FileNotFoundError):
        return NotFoundError("there is no such upload any more", hint="begin it again")
    return UnavailableError(
        f"the file could not be stored ({error.strerror})", hint="make room on the server's disk"
    )


def _no_presigned(call: Call) -> None:
    raise NotImplementedYetError(
        "presigned addresses are not supported by the current artifact store", hint="use the artifact proxy"
    )
