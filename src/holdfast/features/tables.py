"""Tables that only features read: their rows with event time, availability and creation."""

from __future__ import annotations

from typing import Any

import polars as pl

from holdfast.base.clock import Micros
from holdfast.data.errors import TableError
from holdfast.data.records import TableSpec
from holdfast.data.source import AVAILABLE_AT, TIME, parse_iso, read_source, with_time
from holdfast.features.times import CREATED_AT


def read_table(
    spec: TableSpec,
    time: str | pl.Expr,
    available: str | pl.Expr | None,
    created: str | pl.Expr | None,
    as_of_at: Micros | None = None,
) -> pl.DataFrame:
    """The rows of a table's source that were available by `as_of_at`, with `time` (Datetime µs UTC).

    Where the table declares `available` or `created`, feature functions see them as `available_at` and
    `created_at`. `_available_at` is from when a row counts in any case, for a table with a label not before
    the label is due: rows without it, or without their label, never do.

    Raises:
        SourceError: the source cannot be read. TableError: it has no source, or a time cannot be computed.
    """
    if spec.source is None:
        raise TableError(f"{spec.name} has no source", hint="declare hf.Table(…, source=…)")
    frame = with_time(read_source(spec.source), time).drop(spec.drop)
    names = frame.collect_schema().names()
    added = {}
    for name, declared in (("available_at", available), ("created_at", created)):
        if declared is None:
            continue
        if name in names and declared != name:
            raise TableError(
                f"{spec.name} has a column {name!r} of its own beside the declared one",
                hint="rename that column",
            )
        added[name] = _moment(frame, spec, declared)
    try:
        rows = frame.with_columns(**added).collect()
    except pl.exceptions.PolarsError as error:
        raise TableError(f"{spec.name} cannot be read ({str(error).strip().splitlines()[0]})") from error
    if spec.label is not None:
        rows = rows.filter(pl.col(spec.label).is_not_null())
    due = pl.col(TIME) + pl.duration(microseconds=spec.label_delay_us)
    counts_from = pl.max_horizontal(due, "available_at") if "available_at" in added else due
    if "available_at" in added:
        rows = rows.filter(pl.col("available_at").is_not_null())
    rows = rows.with_columns(counts_from.alias(AVAILABLE_AT))
    if "created_at" in added:
        rows = rows.with_columns(pl.col("created_at").alias(CREATED_AT))
    return rows if as_of_at is None else rows.filter(pl.col(AVAILABLE_AT).dt.epoch("us") <= as_of_at)


def declared_rows(table: Any, spec: TableSpec, as_of_at: Micros | None = None) -> pl.DataFrame:
    """`read_table` for the `hf.Table` of loaded code, whose source is that of `spec`."""
    return read_table(spec, table.time, table.available, table.created, as_of_at)


def _moment(frame: pl.LazyFrame, spec: TableSpec, declared: str | pl.Expr) -> pl.Expr:
    raw = pl.col(declared) if isinstance(declared, str) else declared
    try:
        type_ = frame.select(raw.alias(TIME)).collect_schema()[TIME]
    except pl.exceptions.PolarsError as error:
        raise TableError(
            f"{spec.name}: a declared time cannot be computed ({str(error).strip().splitlines()[0]})",
            hint="correct available= or created=",
        ) from error
    if type_ == pl.String:
        return raw.map_batches(parse_iso, return_dtype=pl.Datetime("us"))
    if isinstance(type_, pl.Datetime) and type_.time_zone is not None:
        raw = raw.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    elif not isinstance(type_, pl.Datetime | pl.Date):
        raise TableError(
            f"{spec.name}: {declared!s} is of type {type_}, which is not a time",
            hint="name a column of times, or an expression that makes one",
        )
    return raw.cast(pl.Datetime("us"))
