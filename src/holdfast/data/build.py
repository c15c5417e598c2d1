"""Building dataset versions: from a source, or from a version before plus the rows logged since.

A version is a list of immutable Parquet parts. All columns have the contract's types (integers i64, floats and
labels f64, strings, booleans, times in µs UTC), so parts of every age read as one frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import msgspec
import polars as pl

from holdfast.base.blobs import Blobs, digest_of
from holdfast.base.clock import Micros
from holdfast.base.encoding import to_msgpack
from holdfast.data.contract import RESERVED, conform_frame, declared_fields, field_type, infer_fields
from holdfast.data.errors import SourceError, TableError, missing_column
from holdfast.data.policy import show
from holdfast.data.profiling import watched
from holdfast.data.records import (
    DatasetDraft,
    DatasetVersion,
    FieldContract,
    Part,
    RowsExcluded,
    TableSpec,
)
from holdfast.data.source import AVAILABLE_AT, ROW_ID, TIME, find_bad_times, read_source, with_time
from holdfast.data.values import POLARS_TYPES
from holdfast.data.writer import PartsWriter
from holdfast.profiles.build import build_profile

_LABEL = "_label"
_KNOWN_AT = "_known_at"
_LOGGED_AT = "_at"


def build_dataset(
    spec: TableSpec,
    time: str | pl.Expr,
    blobs: Blobs,
    as_of_at: Micros,
    source: str | None,
    base: DatasetVersion | None,
    feed: Sequence[Path],
) -> DatasetDraft:
    """Everything that was known of a table at `as_of_at`, as parts, contract and profile, all stored as blobs.

    With `base` the source is not read again: the version grows by one part with the rows of `feed` that became
    known in (base.as_of_at, as_of_at]. Without it the source is the first part and the feed, if any, the second.
    A source row counts as known when its label is due (time + label delay). Rows without a label are left out
    and counted in `rows_excluded`, and so are logged rows whose event time cannot be computed.

    Args:
        time: the table's time: a column, or the expression of the user's declaration.
        feed: Parquet files of logged rows: the raw input columns, `_label`, `_known_at` (µs), `_row_id`, `_at`.

    Raises:
        SourceError: the source cannot be read.
        TableError: a declared column is missing, the table is empty, the label is all null or no number, or two
            rows of the source have the same key and time.
    """
    fields = base.contract.fields if base is not None else None
    excluded = RowsExcluded()
    source_digest = base.source_digest if base is not None else None
    with PartsWriter(blobs, base=base, time=TIME) as writer:
        if base is None and source is not None:
            rows, excluded = _source_rows(spec, time, source, as_of_at)
            fields = infer_fields(rows, spec)
            writer.add(rows, "source")
            source_digest = digest_of(Path(source))
        if feed:
            known_after = base.as_of_at if base is not None else None
            rows, left_out = _feed_rows(spec, time, feed, fields, known_after, as_of_at)
            excluded = _add(excluded, left_out)
            writer.add(rows, "feed")
    if not writer.parts:
        raise TableError(
            f"{spec.name} has no source and nothing was logged and labelled yet",
            hint="declare source=…, or serve predictions and send their labels first",
        )
    whole = read_parts(writer.parts, blobs).collect()
    fields = infer_fields(whole.drop(RESERVED), spec)
    if spec.contract is not None:
        fields = declared_fields(fields, spec.contract)
    fingerprint, format_ = writer.fingerprint()
    return DatasetDraft(
        table=spec.name,
        fingerprint=fingerprint,
        parts=writer.parts,
        rows=whole.height,
        fields=fields,
        profile=blobs.put(_profile(whole, fields)),
        as_of_at=as_of_at,
        source=source if base is None else base.source,
        source_digest=source_digest,
        parent=base.version if base is not None else None,
        columns_dropped=spec.drop,
        rows_excluded=excluded,
        fingerprint_format=format_,
    )


def read_parts(parts: Sequence[Part], blobs: Blobs) -> pl.LazyFrame:
    """The rows of a version: the table's columns, `time`, `_available_at` and `_row_id`, lazily.

    A logged row that came again in a later part (its label was corrected) counts once, as it was last known.
    """
    frames = {
        origin: [pl.scan_parquet(blobs.path(part.digest)) for part in parts if part.origin == origin]
        for origin in ("source", "feed")
    }
    rows = list(frames["source"])
    if frames["feed"]:
        logged = pl.concat(frames["feed"], how="vertical")
        rows.append(logged.unique(subset=[ROW_ID], keep="last", maintain_order=True))
    return pl.concat(rows, how="vertical")


def _source_rows(
    spec: TableSpec, time: str | pl.Expr, source: str, as_of_at: Micros
) -> tuple[pl.DataFrame, RowsExcluded]:
    frame = read_source(source)
    _check_declared_columns(spec, frame.collect_schema().names())
    try:
        rows = with_time(frame, time).drop(spec.drop).collect()
    except pl.exceptions.PolarsError as error:
        reason = str(error).strip().splitlines()[0]
        raise SourceError(f"{source} cannot be read ({reason})", hint="correct the file") from error
    rows = _plain_types(rows, spec)
    _check_keys(rows, spec)
    labelled = _with_label(rows, spec)
    available = labelled.with_columns(
        (pl.col(TIME) + pl.duration(microseconds=spec.label_delay_us)).alias(AVAILABLE_AT),
        pl.lit("").alias(ROW_ID),
    )
    known = available.filter(pl.col(AVAILABLE_AT).dt.epoch("us") <= as_of_at)
    if known.is_empty():
        raise TableError(
            f"none of the {labelled.height} labelled rows of {source} was known at the time of training",
            hint="check the table's time and label_delay",
        )
    return known, RowsExcluded(rows.height - labelled.height, labelled.height - known.height)


def _check_declared_columns(spec: TableSpec, existing: Sequence[str]) -> None:
    declared = [("label", spec.label)] if spec.label is not None else []
    declared += [("key", name) for name in spec.key] + [("drop", name) for name in spec.drop]
    if not spec.time_is_expression:
        declared.insert(0, ("time", spec.time))
    for role, name in declared:
        if name not in existing:
            raise missing_column(spec.name, role, name, existing)
    for name in spec.time_roots or (spec.time,):
        if name in spec.drop:
            raise TableError(
                f"{spec.name}: column {name!r} makes the time and is dropped at once",
                hint="take it out of drop; requests must carry it",
            )
    for name in (*RESERVED, _LABEL, _KNOWN_AT, _LOGGED_AT):
        if name in existing:
            raise TableError(f"{spec.name}: the column name {name!r} is reserved", hint="rename the column")


def _plain_types(rows: pl.DataFrame, spec: TableSpec) -> pl.DataFrame:
    """Every column in its contract's type; a float that is not a number is a missing value, as it is in JSON."""
    columns = []
    for name, type_ in rows.schema.items():
        column = pl.col(name).cast(POLARS_TYPES[field_type(name, type_)])
        columns.append(column.fill_nan(None) if type_.is_float() else column)
    return rows.with_columns(columns)


def _check_keys(rows: pl.DataFrame, spec: TableSpec) -> None:
    """Two rows of one entity at one time cannot both be joined to; a table without a key is one entity."""
    columns = [*spec.key, TIME]
    first = rows.filter(pl.struct(columns).is_duplicated()).head(1)
    if first.is_empty():
        return
    example = ", ".join(f"{name} = {show(str(first[name][0]))}" for name in columns)
    what = "key and time" if spec.key else "time"
    raise TableError(
        f"{spec.name}: several rows have the same {what} ({example})",
        hint="remove the duplicates"
        + ("" if spec.key else ", or declare the columns that name the entity as key=[…]"),
    )


def _with_label(rows: pl.DataFrame, spec: TableSpec) -> pl.DataFrame:
    """The rows that have a label, as f64."""
    if spec.label is None:
        return rows
    label = rows[spec.label]
    if label.null_count() == rows.height:
        raise TableError(
            f"{spec.name}: the label {spec.label!r} is null in every row", hint="name another column as label"
        )
    if not (label.dtype.is_numeric() or label.dtype == pl.Boolean):
        raise TableError(
            f"{spec.name}: the label {spec.label!r} is no number but {label.dtype}, "
            f"e.g. {show(str(label.drop_nulls()[0]))}",
            hint="encode it as a number (0 and 1 for two classes)",
        )
    return rows.with_columns(label.cast(pl.Float64)).filter(label.is_not_null())


def _feed_rows(
    spec: TableSpec,
    time: str | pl.Expr,
    feed: Sequence[Path],
    fields: Sequence[FieldContract] | None,
    known_after: Micros | None,
    as_of_at: Micros,
) -> tuple[pl.DataFrame, RowsExcluded]:
    """The logged rows that became known in (known_after, as_of_at], in the columns and types of the other parts."""
    logged = pl.concat([pl.read_parquet(path) for path in feed], how="diagonal_relaxed")
    logged = logged.sort(_KNOWN_AT, ROW_ID, maintain_order=True)
    logged = logged.unique(subset=[ROW_ID], keep="last", maintain_order=True)
    labelled = logged.filter(pl.col(_LABEL).is_not_null())
    known = labelled.filter(pl.col(_KNOWN_AT) <= as_of_at)
    if known_after is not None:
        known = known.filter(pl.col(_KNOWN_AT) > known_after)
    late = labelled.filter(pl.col(_KNOWN_AT) > as_of_at).height
    rows = known.with_columns(
        pl.col(_KNOWN_AT).cast(pl.Datetime("us")).alias(AVAILABLE_AT),
        *([pl.col(_LABEL).cast(pl.Float64).alias(spec.label)] if spec.label is not None else []),
    ).drop(_LABEL, _KNOWN_AT, _LOGGED_AT, strict=False)
    rows = rows.drop([name for name in spec.drop if name in rows.columns])
    rows = conform_frame(rows, fields) if fields is not None else _plain_types(rows, spec)
    bad = find_bad_times(rows, time)
    rows = rows.with_row_index("_row").filter(~pl.col("_row").is_in(bad)).drop("_row") if bad else rows
    rows = with_time(rows.lazy(), time).collect()
    order = [name for name in rows.columns if name not in (TIME, *RESERVED)]
    order += [TIME] if TIME not in order else []
    return rows.select(*order, *RESERVED), RowsExcluded(logged.height - labelled.height, late, len(bad))


def _add(one: RowsExcluded, two: RowsExcluded) -> RowsExcluded:
    pairs = zip(msgspec.structs.astuple(one), msgspec.structs.astuple(two), strict=True)
    return RowsExcluded(*(left + right for left, right in pairs))


def _profile(rows: pl.DataFrame, fields: Sequence[FieldContract]) -> bytes:
    """The profile of features and label, as MessagePack. Keys and times are left out: they drift by nature."""
    numeric, categorical = watched(fields)
    times = rows[TIME].dt.epoch("us")
    profile = build_profile(
        rows,
        numeric=numeric,
        categorical=categorical,
        from_at=cast("int | None", times.min()),
        to_at=cast("int | None", times.max()),
    )
    return to_msgpack(profile)
