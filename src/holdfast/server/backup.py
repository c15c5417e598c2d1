"""Backup and restore of a whole home: which parts there are, and in which order they are consistent.

A backup is taken beside the running processes. The deployment files come first and the ledger after them, so that
no file is ahead of the ledger; then the log and the blobs, which only grow, so that whatever the ledger names is
among them: no garbage is collected meanwhile. Everything acknowledged before the backup began is in it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from holdfast.base import audit
from holdfast.base.backup import (
    FORMAT,
    BackupManifest,
    copy_tree,
    files_below,
    read_manifest,
    require_empty,
    seal,
    take_stock,
    verify,
)
from holdfast.base.blobs import Blobs
from holdfast.base.clock import Clock
from holdfast.base.errors import HomeError
from holdfast.base.garbage import hold
from holdfast.base.home import Home, make_private
from holdfast.base.ledger import Ledger
from holdfast.base.ledger.export import LedgerContents, export_ledger, import_ledger
from holdfast.base.ledger.opening import open_ledger, open_read_only
from holdfast.base.version import VERSION
from holdfast.features.online.backup import adopt_online, copy_online
from holdfast.server.compose import MIGRATIONS
from holdfast.serving.backup import copy_deployments, copy_log, segments_of

_LEDGER = "ledger"
_WAIT_FOR_GARBAGE_S = 60.0
_COLLECTING = "the garbage of this home is being collected, so its blobs cannot be backed up now"
_KEPT_FOLDERS = ("run", "tmp")


class BackupSummary(msgspec.Struct, frozen=True):
    """What a backup holds, or what was restored from it."""

    folder: str
    rows: int
    blobs: int
    deployments: int
    segments: int
    size_bytes: int
    audit_entries: int
    damaged: tuple[str, ...] = ()


def back_up(
    home: Home, location: str, folder: Path, clock: Clock, tell: Callable[[str], None] = lambda text: None
) -> BackupSummary:
    """Takes a backup of a home into a new folder, whether or not its processes run.

    Args:
        location: the setting `ledger`.
        tell: told what is being copied.

    Raises:
        HomeError: the folder is not empty, or there is no ledger.
        ConflictError: the garbage of the home is being collected, and was not done in a minute.
    """
    require_empty(folder, "backed up")
    ledger = open_read_only(location, home.ledger, MIGRATIONS)
    with (
        contextlib.closing(ledger),
        hold(home.blobs, alone=False, within_s=_WAIT_FOR_GARBAGE_S, refused=_COLLECTING),
    ):
        return _copy(home, ledger, folder, clock, tell)


def _copy(
    home: Home, ledger: Ledger, folder: Path, clock: Clock, tell: Callable[[str], None]
) -> BackupSummary:
    target = Home(folder)
    make_private(folder)
    made_at = clock.now()
    tell("copying the deployment files and the ledger")
    copy_deployments(home, target)
    with ledger.read() as reader:
        contents = export_ledger(reader, folder / _LEDGER)
    tell("copying the prediction log")
    copy_log(home, target)
    tell("copying the blobs and the online store")
    # A collection that was killed may have set aside a blob that somebody needs; none is under way now.
    Blobs(home.blobs).bring_back()
    copy_tree(home.blobs, target.blobs)
    copy_online(home.online, target.online)
    tell("taking stock")
    files = take_stock(folder)
    damaged = tuple(name for file in files if (name := _blob(file.path)) is not None and name != file.digest)
    seal(folder, BackupManifest(FORMAT, VERSION, made_at, sum(contents.rows.values()), files, damaged))
    return _summary(folder, contents, damaged)


def restore(
    home: Home, location: str, folder: Path, tell: Callable[[str], None] = lambda text: None
) -> BackupSummary:
    """Rebuilds a home from a backup.

    The ledger is filled last and at once, so that a restore that was interrupted leaves a home without one.

    Raises:
        HomeError: the home or the ledger is not empty, or the backup is not whole or of a newer release.
    """
    manifest = read_manifest(folder)
    _require_unused(home)
    tell("verifying the backup")
    verify(folder, manifest)
    source = Home(folder)
    lock = home.claim("server")
    try:
        tell("copying the files")
        for one, another in (
            (source.blobs, home.blobs),
            (source.deployments, home.deployments),
            (source.spool, home.spool),
            (source.segments, home.segments),
            (source.online, home.online),
        ):
            copy_tree(one, another)
        adopt_online(home.online)
        tell("filling the ledger")
        contents = import_ledger(
            lambda migrations: open_ledger(location, home.ledger, migrations), folder / _LEDGER, MIGRATIONS
        )
        _verify_audit(home, location)
    finally:
        lock.release()
    return _summary(folder, contents, manifest.damaged)


def _require_unused(home: Home) -> None:
    used = [
        path
        for path in files_below(home.root)
        if path.relative_to(home.root).parts[0] not in _KEPT_FOLDERS and path.name != "holdfast.toml"
    ]
    if used:
        raise HomeError(
            f"the home {home.root} is not empty ({used[0].relative_to(home.root)} is there), so nothing is restored",
            hint="name a new one with --home",
        )


def _verify_audit(home: Home, location: str) -> None:
    ledger = open_read_only(location, home.ledger, MIGRATIONS)
    with contextlib.closing(ledger), ledger.read() as reader:
        verdict = audit.verify(reader)
    if not verdict.intact:
        raise HomeError(
            f"everything was restored, but the audit trail does not hold from entry {verdict.broken_at} on",
            hint="it did not hold when the backup was taken, or the backup was edited; look at `holdfast audit list`",
        )


def _blob(path: str) -> str | None:
    """The digest that names a file of a backup where it is a blob."""
    parts = Path(path).parts
    return parts[-1] if parts[0] == "blobs" and len(parts[-1]) == 64 else None


def _summary(folder: Path, contents: LedgerContents, damaged: tuple[str, ...]) -> BackupSummary:
    copied = Home(folder)
    return BackupSummary(
        folder=str(folder),
        rows=sum(contents.rows.values()),
        blobs=sum(1 for _ in files_below(copied.blobs)),
        deployments=sum(1 for _ in files_below(copied.deployments)),
        segments=len(segments_of(copied)),
        size_bytes=sum(path.stat().st_size for path in files_below(folder)),
        audit_entries=contents.rows.get("audit_entry", 0),
        damaged=damaged,
    )
