"""A source that was opened: its rows as frames one after another, and what is known of where they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import polars as pl

from holdfast.data.errors import SourceError
from holdfast.data.records import Provenance


class TypesChangedError(Exception):
    """A later row showed that a column's type was guessed too narrowly; the reading knows better now: read again."""


@dataclass
class Reading:
    """An opened source.

    `frames` reads it from its beginning, in bounded memory, and may raise `TypesChangedError`, after which it is to
    be called again. `provenance` is called after the last frame: only then is it known what was read. `notes` are
    sentences for the user about what was found. `in_memory` says that all rows are held anyway, in one frame.
    """

    frames: Callable[[], Iterator[pl.DataFrame]]
    provenance: Callable[[], Provenance]
    notes: list[str] = field(default_factory=list)
    in_memory: bool = False


def unreadable(path: str, error: BaseException) -> SourceError:
    """One sentence for whatever a file's reader said."""
    if isinstance(error, PermissionError):
        return SourceError(f"{path} cannot be read (permission denied)", hint="check its permissions")
    if isinstance(error, FileNotFoundError):
        return SourceError(f"{path} does not exist", hint="name an existing file, a pattern or a URL")
    reason = (getattr(error, "strerror", None) or str(error)).strip().splitlines()
    return SourceError(
        f"{path} cannot be read ({reason[0] if reason else type(error).__name__})",
        hint="check that it is a whole CSV file in UTF-8 or a whole Parquet file",
    )
