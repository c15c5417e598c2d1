"""Copying the online store while others write to it, and taking such a copy into use."""

from __future__ import annotations

from pathlib import Path

import lmdb

from holdfast.features.errors import OnlineStoreError
from holdfast.features.online.store import mark_as_written_now, was_written_before_restart

_DATA = "data.mdb"


def copy_online(path: Path, target: Path) -> bool:
    """Copies the store as of one moment; False where there is none that would still be used.

    Raises:
        OnlineStoreError: it cannot be read, or the copy cannot be written.
    """
    if not (path / _DATA).exists() or was_written_before_restart(path):
        return False
    target.mkdir(parents=True, exist_ok=True)
    try:
        with lmdb.open(str(path), readonly=True, max_dbs=8, create=False) as environment:
            environment.copy(str(target), compact=True)
    except (OSError, lmdb.Error) as error:
        raise OnlineStoreError(f"the online store {path} cannot be copied ({error})") from error
    return True


def adopt_online(path: Path) -> None:
    """Lets a restored copy, which is whole on disk, count as written since this machine started."""
    if (path / _DATA).exists():
        mark_as_written_now(path)
