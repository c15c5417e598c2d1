"""Finds out what kind of store an address names, and opens it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from holdfast.sdk.imports.mlflow.errors import SourceError
from holdfast.sdk.imports.mlflow.records import Source

_SQLITE = b"SQLite format 3\0"
_KINDS = "give the URL of an MLflow server, the SQLite file of a backend store, or an mlruns folder"


def open_source(where: str, artifacts: Path | None, environ: Mapping[str, str]) -> Source:
    """Opens an MLflow store, to be read only.

    Args:
        where: `http(s)://…` of an MLflow server, a path or `sqlite:///…` of the SQLite file of a backend store, or
            the path or `file:` address of an `mlruns` folder.
        artifacts: the folder that `mlflow-artifacts:` addresses of a file or folder lie under.
        environ: the environment, for MLFLOW_TRACKING_USERNAME and its like.

    Raises:
        SourceError: there is no such store, or it is of another kind.
    """
    scheme = urlsplit(where).scheme.lower()
    if scheme in ("http", "https"):
        from holdfast.sdk.imports.mlflow.server import ServerSource

        return ServerSource(where, environ)
    if "://" in where and scheme not in ("sqlite", "file"):
        raise SourceError(
            f"{scheme}: stores are not read directly",
            hint=f"start `mlflow server --backend-store-uri {scheme}://…` and give its URL",
        )
    path = _path(where)
    if path.is_dir():
        return _of_folder(path, artifacts)
    if not path.exists():
        raise SourceError(f"there is nothing at {path}", hint=_KINDS)
    return _of_file(path, artifacts)


def _path(where: str) -> Path:
    if where.startswith("sqlite:"):
        # sqlite:///relative and sqlite:////absolute, as SQLAlchemy reads them.
        where = where.removeprefix("sqlite:///").partition("?")[0]
    elif where.startswith("file:"):
        where = urlsplit(where).path
    return Path(where).expanduser().absolute()


def _of_folder(path: Path, artifacts: Path | None) -> Source:
    from holdfast.sdk.imports.mlflow.folder import FolderSource, is_file_store

    if is_file_store(path):
        return FolderSource(path, artifacts)
    database, inside = path / "mlflow.db", path / "mlruns"
    if database.is_file():
        return _of_file(database, artifacts)
    if inside.is_dir() and is_file_store(inside):
        return FolderSource(inside, artifacts)
    raise SourceError(f"{path} is not an mlruns folder: no experiment's meta.yaml is in it", hint=_KINDS)


def _of_file(path: Path, artifacts: Path | None) -> Source:
    from holdfast.sdk.imports.mlflow.database import DatabaseSource

    with path.open("rb") as handle:
        if handle.read(len(_SQLITE)) != _SQLITE:
            raise SourceError(f"{path} is not a SQLite file", hint=_KINDS)
    return DatabaseSource(path, artifacts)
