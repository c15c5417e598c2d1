"""What tells the rows of a dataset apart: its key, and its time where it has both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from holdfast.base.blobs import Blobs
from holdfast.data.errors import TableError
from holdfast.data.policy import show
from holdfast.data.records import FieldContract, Part

BUCKET_ROWS = 2_000_000

# A name that no column of the data has.
_COUNT = "\x1fcount"


def identity_columns(fields: Sequence[FieldContract]) -> tuple[str, ...]:
    """The columns that together name one row: key and time, or the key alone; none without a key."""
    keys = tuple(field.name for field in fields if field.role == "key")
    times = tuple(field.name for field in fields if field.role == "time")
    return keys + times if keys else ()


def check_unique(name: str, columns: Sequence[str], parts: Sequence[Part], blobs: Blobs) -> None:
    """Raises `TableError` where two rows have the same identity; shows it. Holds a bucket of keys at a time."""
    if not columns:
        return
    scan = scan_parts(parts, blobs).select(columns)
    for bucket in buckets(scan, columns, sum(part.rows for part in parts)):
        twice = repeated(bucket, columns).sort(columns).head(1).collect()
        if twice.height:
            example = ", ".join(f"{column} = {show(str(twice[column][0]))}" for column in columns)
            raise TableError(
                f"{name}: several rows have the same key ({example})",
                hint="remove the duplicates, or name with --key (and --time) what tells the rows apart",
            )


def repeated(rows: pl.LazyFrame, columns: Sequence[str]) -> pl.LazyFrame:
    """The values of some columns that several rows have."""
    return rows.group_by(columns).agg(pl.len().alias(_COUNT)).filter(pl.col(_COUNT) > 1).select(columns)


def scan_parts(parts: Sequence[Part], blobs: Blobs) -> pl.LazyFrame:
    """The rows of parts, lazily."""
    return pl.concat([pl.scan_parquet(blobs.path(part.digest), glob=False) for part in parts], how="vertical")


def buckets(scan: pl.LazyFrame, columns: Sequence[str], rows: int) -> Iterator[pl.LazyFrame]:
    """The rows divided by a hash of some columns, so that rows that are equal there are in the same bucket.

    Each bucket reads the scan once; the hash need not be the same tomorrow, only during this call.
    """
    count = max(1, -(-rows // BUCKET_ROWS))
    if count == 1:
        yield scan
        return
    for number in range(count):
        yield scan.filter(pl.struct(columns).hash(seed=7) % count == number)
