"""Where a version's files lie: its source, as an outside client writes it, to a folder of our artifact store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import unquote, urlsplit

import msgspec

from holdfast.base.context import Context
from holdfast.base.errors import NotFoundError
from holdfast.registry.catalog.records import Entry, EntryDraft
from holdfast.registry.catalog.service.versions import VersionCatalog
from holdfast.registry.errors import UnservableModelError

_DIGITS_MOST = 9
_HOPS_MOST = 5
_LOGGED_MODEL = re.compile(r"m-[0-9a-f]{32}")
_PROXY = "/api/2.0/mlflow-artifacts/artifacts/"


class ArtifactTree(Protocol):
    """What is needed of tracking: folders, and where runs and logged models keep their files."""

    def files(self, context: Context, folder: str) -> Mapping[str, str]:
        """Every file below a folder: its path inside the folder, and the digest of its blob."""
        ...

    def location_of_model(self, context: Context, model_id: str) -> str:
        """Where a logged model lies, e.g. `mlflow-artifacts:/0/models/m-…/artifacts`."""
        ...

    def run_of_model(self, context: Context, model_id: str) -> str:
        """The run that wrote a logged model; empty where none did."""
        ...

    def location_of_run(self, context: Context, run_id: str, path: str) -> str:
        """Where an artifact of a run lies; a model that the run logged under that path goes before it."""
        ...


class SourceFiles:
    """Finds the files of a version from outside."""

    def __init__(self, tree: ArtifactTree, versions: VersionCatalog) -> None:
        self._tree = tree
        self._versions = versions

    def __call__(self, context: Context, entry: Entry) -> Mapping[str, str]:
        """Path inside the model folder -> digest of the blob.

        Raises:
            UnservableModelError: the files are not in this server's artifact store.
        """
        location = entry.source
        for _ in range(_HOPS_MOST):
            folder = artifact_folder(location)
            if folder is not None:
                return self._files(context, entry, folder)
            location = self._next(context, entry, location)
        raise UnservableModelError(
            f"the source of {entry.name}@{entry.version}, {entry.source}, leads nowhere"
        )

    def _files(self, context: Context, entry: Entry, folder: str) -> Mapping[str, str]:
        found = self._tree.files(context, folder)
        if not found:
            raise UnservableModelError(
                f"{entry.name}@{entry.version} has no files: there is nothing at {entry.source}",
                hint="log the model to this server before registering it",
            )
        return found

    def folder(self, context: Context, entry: Entry) -> str:
        """Where a version's files lie in the artifact store.

        Raises:
            UnservableModelError: not there.
        """
        location = entry.source
        for _ in range(_HOPS_MOST):
            found = artifact_folder(location)
            if found is not None:
                return found
            location = self._next(context, entry, location)
        raise UnservableModelError(
            f"the source of {entry.name}@{entry.version}, {entry.source}, leads nowhere"
        )

    def completed(self, context: Context, draft: EntryDraft) -> EntryDraft:
        """The draft with the logged model that its source names, and the run that wrote it, where it left them out."""
        scheme, _, rest = draft.source.partition(":/")
        if scheme == "runs" and not draft.run_id:
            return msgspec.structs.replace(draft, run_id=rest.strip("/").split("/")[0])
        if scheme != "models" or not _LOGGED_MODEL.fullmatch(rest):
            return draft
        try:
            run_id = draft.run_id or self._tree.run_of_model(context, rest)
        except NotFoundError:
            # It may be a model of another tracking server.
            run_id = draft.run_id
        return msgspec.structs.replace(draft, run_id=run_id, logged_model=draft.logged_model or rest)

    def folder_of(self, context: Context, name: str, version: int) -> str:
        """Where the files of a version lie, by name and number; empty where holdfast trained it.

        Raises:
            NotFoundError: there is no such version.
            UnservableModelError: its files are not in this server's artifact store.
        """
        entry = self._versions.get(context, name, version)
        return self.folder(context, entry) if entry.source else ""

    def _next(self, context: Context, entry: Entry, location: str) -> str:
        scheme, _, rest = location.partition(":")
        parts = rest.strip("/").split("/")
        try:
            if scheme == "runs" and len(parts) > 1:
                return self._tree.location_of_run(context, parts[0], "/".join(parts[1:]))
            if scheme == "models":
                return self._of_models(context, parts)
        except NotFoundError as error:
            raise UnservableModelError(f"the source {entry.source} cannot be found: {error}") from None
        raise UnservableModelError(
            f"the files of {entry.name}@{entry.version} lie at {location}, not in this server's artifact store",
            hint="log the model with this server as the tracking server and register it again",
        )

    def _of_models(self, context: Context, parts: list[str]) -> str:
        if len(parts) == 1 and _LOGGED_MODEL.fullmatch(parts[0]):
            return self._tree.location_of_model(context, parts[0])
        name, at, alias = parts[0].partition("@")
        if at:
            return self._versions.by_alias(context, name, alias).source
        if len(parts) == 2 and parts[1].isdecimal() and len(parts[1]) <= _DIGITS_MOST:
            return self._versions.get(context, parts[0], int(parts[1])).source
        raise NotFoundError(f"models:/{'/'.join(parts)} names no version")


def artifact_folder(location: str) -> str | None:
    """The folder in the artifact store that a location names; None where it names something else.

    Example:
        >>> artifact_folder("mlflow-artifacts:/0/models/m-1/artifacts")
        '0/models/m-1/artifacts'
        >>> artifact_folder("http://127.0.0.1:1/api/2.0/mlflow-artifacts/artifacts/0/run/artifacts/model")
        '0/run/artifacts/model'
    """
    try:
        parts = urlsplit(location)
    except ValueError:  # an address that cannot be read, such as one with half of a pair of brackets
        return None
    if parts.scheme == "mlflow-artifacts":
        return unquote(parts.path).strip("/")
    if parts.scheme in ("http", "https") and _PROXY in parts.path:
        return unquote(parts.path.partition(_PROXY)[2]).strip("/")
    return None
