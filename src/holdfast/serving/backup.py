"""Copying the prediction log and the deployment files of a home whose processes go on working."""

from __future__ import annotations

from pathlib import Path

from holdfast.base.backup import copy_file, copy_tree, files_below
from holdfast.base.home import Home
from holdfast.serving.segments import MANIFEST
from holdfast.serving.spool import CLOSED, OPEN

_ROUNDS_LEAST = 2


def copy_deployments(home: Home, target: Home) -> int:
    """Copies the deployment files; each is replaced atomically, so each copy is whole."""
    return copy_tree(home.deployments, target.deployments)


def copy_log(home: Home, target: Home) -> None:
    """Copies spool and segments so that every frame acknowledged before is in the copy.

    A segment moves on while it is copied: it is closed (renamed), then shipped (another folder, then the raw file
    goes). So the spool is copied before what is shipped, and both again until nothing has gone in between. A file
    that still grows is copied as far as it is; its torn end is cut off when the copy is recovered.
    """
    rounds = 0
    while True:
        rounds += 1
        vanished = _copy_spool(home, target)
        _copy_segments(home, target)
        if not vanished and rounds >= _ROUNDS_LEAST:
            _keep_the_most_complete(target)
            return


def _copy_spool(home: Home, target: Home) -> bool:
    vanished = False
    for path in files_below(home.spool):
        copied = target.spool / path.relative_to(home.spool)
        if path.suffix not in (OPEN, CLOSED) or copied.exists():
            continue
        try:
            copy_file(path, copied)
        except FileNotFoundError:
            vanished = True
    return vanished


def _copy_segments(home: Home, target: Home) -> None:
    for path in files_below(home.segments):
        copied = target.segments / path.relative_to(home.segments)
        if not copied.exists():
            copy_file(path, copied)


def segments_of(home: Home) -> set[Path]:
    """The segments that a home has in the spool or shipped, as paths below either."""
    raw = {path.relative_to(home.spool).with_suffix("") for path in files_below(home.spool)}
    return raw | {path.parent.relative_to(home.segments) for path in home.segments.rglob(MANIFEST)}


def _keep_the_most_complete(target: Home) -> None:
    """Of the copies of one segment: shipped rather than closed rather than open."""
    shipped = {path.parent.relative_to(target.segments) for path in target.segments.rglob(MANIFEST)}
    for path in list(files_below(target.spool)):
        superseded = path.suffix == OPEN and path.with_suffix(CLOSED).exists()
        if superseded or path.relative_to(target.spool).with_suffix("") in shipped:
            path.unlink()
