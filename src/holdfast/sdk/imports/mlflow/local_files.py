"""Artifacts that lie on this machine: finds the folder that an artifact address means, lists it, opens its files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

from holdfast.sdk.imports.mlflow.errors import ElsewhereError
from holdfast.sdk.imports.mlflow.records import Folder, SourceFile

_REMOTE_HINT = "give the URL of an MLflow server that reads them, or --artifacts with a copy of the folder"


class LocalFiles:
    """Artifact folders of a store whose files lie on this machine.

    Args:
        beside: folders next to the store where MLflow keeps artifacts by default, tried in this order.
        artifacts: the folder that the user named; it goes before all others.
    """

    def __init__(self, beside: list[Path], artifacts: Path | None) -> None:
        self._roots = ([artifacts] if artifacts is not None else []) + beside
        self._named = artifacts

    def files(self, folder: Folder) -> list[SourceFile]:
        """Every file below the folder; a folder that was never written is empty.

        Raises:
            ElsewhereError: the address is of another machine, or the root it lies under is missing.
        """
        root = self._root(folder)
        return [] if root is None else sorted(_walk(root), key=lambda file: file.path)

    def open(self, folder: Folder, file: SourceFile) -> AbstractContextManager[IO[bytes]]:
        """One of the files."""
        root = self._root(folder)
        if root is None:
            raise ElsewhereError(f"{folder.uri} is gone")
        return (root / file.path).open("rb")

    def _root(self, folder: Folder) -> Path | None:
        # The folder next to a run is made with it, and stays empty when the artifacts go elsewhere.
        if folder.beside and Path(folder.beside).is_dir() and any(Path(folder.beside).iterdir()):
            return Path(folder.beside)
        parts = urlsplit(folder.uri)
        if parts.scheme == "mlflow-artifacts":
            return self._below(folder, unquote(parts.path).strip("/"))
        if parts.scheme not in ("", "file"):
            raise ElsewhereError(f"the artifacts at {folder.uri} are not on this machine", hint=_REMOTE_HINT)
        place = Path(unquote(parts.path) if parts.scheme == "file" else folder.uri)
        if place.is_dir():
            return place
        # The store was moved: its addresses are those of the place where it was written.
        tail = "/".join(place.parts[_depth(folder) :])
        for root in self._roots:
            if (root / tail).is_dir():
                return root / tail
        return None

    def _below(self, folder: Folder, path: str) -> Path | None:
        known = [root for root in self._roots if root.is_dir()]
        if not known:
            raise ElsewhereError(
                f"nothing says where {folder.uri} lies",
                hint="give --artifacts FOLDER, the server's --artifacts-destination",
            )
        return next((root / path for root in known if (root / path).is_dir()), None)


def _depth(folder: Folder) -> int:
    """How many parts at the end of an address are the store's own: EXPERIMENT/RUN/artifacts, or one more of models."""
    return -4 if folder.kind == "logged_model" else -3


def _walk(root: Path) -> Iterator[SourceFile]:
    for place, _, names in os.walk(root):
        for name in names:
            path = Path(place) / name
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                inside = path.relative_to(root).as_posix()
                yield SourceFile(inside, status.st_size, f"{status.st_size}:{status.st_mtime_ns}")
