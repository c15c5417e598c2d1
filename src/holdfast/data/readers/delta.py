"""Delta tables as sources: polars reads the files, the `deltalake` package the log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
from blake3 import blake3

from holdfast.data.errors import SourceError
from holdfast.data.readers.files import code, slices
from holdfast.data.readers.reading import Reading, unreadable
from holdfast.data.records import Provenance


def is_delta(path: Path) -> bool:
    """Whether a folder is a Delta table."""
    return (path / "_delta_log").is_dir()


def read_delta(path: Path) -> Reading:
    """The rows of a Delta table as of its newest version, which the provenance keeps.

    Raises:
        SourceError: the package `deltalake` is not installed, or the table cannot be read.
    """
    try:
        from deltalake import DeltaTable
    except ModuleNotFoundError as error:
        raise SourceError(
            f"{path} is a Delta table, which cannot be read without deltalake",
            hint="type `pip install 'holdfast[delta]'`",
        ) from error
    try:
        table = DeltaTable(str(path))
        version, files = table.version(), sorted(table.file_uris())
        scan = pl.scan_delta(str(path), version=version)
    except Exception as error:
        # deltalake and polars raise types of their own for a torn log or a protocol that is too new.
        raise unreadable(str(path), error) from error
    digest = blake3("\n".join([str(version), *(Path(file).name for file in files)]).encode()).hexdigest()

    def frames() -> Iterator[pl.DataFrame]:
        yield from slices(scan, str(path))

    return Reading(
        frames,
        lambda: Provenance(
            "delta", str(path), f"version {version}", digest, file_count=len(files), code=code()
        ),
    )
