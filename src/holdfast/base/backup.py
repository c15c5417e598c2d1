"""What makes a folder a backup: a manifest, written last, that names every file with its digest.

A folder without a manifest is a backup that was not finished, and is refused.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from holdfast.base.blobs import digest_of, replace_file, sync_folder
from holdfast.base.clock import Micros
from holdfast.base.encoding import from_json, to_json
from holdfast.base.errors import HomeError

MANIFEST = "backup.json"
FORMAT = 1


class BackupFile(msgspec.Struct, frozen=True):
    """One file of a backup: its path in it, its size and the blake3 of its bytes."""

    path: str
    size_bytes: int
    digest: str


class BackupManifest(msgspec.Struct, frozen=True):
    """What a backup holds. `damaged` are blobs whose bytes no longer matched their name when it was taken."""

    format: int
    release: str
    made_at: Micros
    rows: int
    files: tuple[BackupFile, ...]
    damaged: tuple[str, ...] = ()


def files_below(folder: Path) -> Iterator[Path]:
    """The files of a folder that are whole: those being written have names that begin with a dot."""
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.name.startswith("."):
                continue
            if path.is_dir():
                yield from files_below(path)
            else:
                yield path


def copy_file(source: Path, target: Path) -> None:
    """Copies a file durably.

    Raises:
        FileNotFoundError: the source is not there, any more.
    """
    with source.open("rb") as reading:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as writing:
            shutil.copyfileobj(reading, writing, 1 << 20)
            writing.flush()
            os.fsync(writing.fileno())


def copy_tree(source: Path, target: Path) -> int:
    """Copies the files below a folder; returns how many. One that goes meanwhile is left out."""
    count = 0
    for path in files_below(source):
        try:
            copy_file(path, target / path.relative_to(source))
        except FileNotFoundError:
            continue
        count += 1
    return count


def take_stock(folder: Path) -> tuple[BackupFile, ...]:
    """Every file below a folder with its digest."""
    return tuple(
        BackupFile(str(path.relative_to(folder)), path.stat().st_size, digest_of(path))
        for path in files_below(folder)
    )


def require_empty(folder: Path, purpose: str) -> None:
    """Raises `HomeError` when something is in the folder."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise HomeError(f"{folder} is not empty, so nothing is {purpose} there", hint="name another folder")


def seal(folder: Path, manifest: BackupManifest) -> None:
    """Writes the manifest, which makes the backup one."""
    replace_file(folder / MANIFEST, to_json(manifest).encode())
    sync_folder(folder.absolute().parent)


def read_manifest(folder: Path) -> BackupManifest:
    """The manifest of a backup.

    Raises:
        HomeError: there is none, or a newer holdfast wrote it.
    """
    try:
        manifest = from_json((folder / MANIFEST).read_bytes(), BackupManifest)
    except (FileNotFoundError, NotADirectoryError):
        raise HomeError(f"{folder} is no backup, or one that was not finished", hint="name another") from None
    except msgspec.MsgspecError as error:
        raise HomeError(
            f"the manifest of {folder} cannot be read ({error})", hint="use another backup"
        ) from error
    if manifest.format > FORMAT:
        raise HomeError(
            f"the backup {folder} was taken by a newer holdfast ({manifest.release})", hint="upgrade holdfast"
        )
    return manifest


def verify(folder: Path, manifest: BackupManifest) -> None:
    """Compares every file with the manifest.

    Raises:
        HomeError: one is missing or was changed.
    """
    for file in manifest.files:
        path = folder / file.path
        if not path.is_file() or path.stat().st_size != file.size_bytes or digest_of(path) != file.digest:
            raise HomeError(
                f"{file.path} of the backup {folder} is missing or damaged", hint="use another backup"
            )
