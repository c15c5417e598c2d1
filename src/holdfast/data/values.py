"""A field's type as polars expressions: which values of a column are of another type, and the typed values.

One definition for conforming frames, for checking them and for reading the cells of a CSV file.
"""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from holdfast.data.records import FieldContract, FieldType
from holdfast.data.source import parse_iso

POLARS_TYPES: dict[FieldType, pl.DataType] = {
    "float": pl.Float64(),
    "integer": pl.Int64(),
    "string": pl.String(),
    "boolean": pl.Boolean(),
    "datetime": pl.Datetime("us"),
}
_INT64_MOST = 2**63 - 1


class Values(NamedTuple):
    """A column under a field's contract: boolean `null` and `misfit`, and `typed`, null where either is true."""

    null: pl.Expr
    misfit: pl.Expr
    typed: pl.Expr


def values_of(field: FieldContract, type_: pl.DataType, *, cells: bool = False) -> Values:
    """How a column of a polars type is read as a field.

    Args:
        cells: strings are cells of a CSV file, so `1.5` is a number and `true` a boolean.
    """
    column = pl.col(field.name)
    null = column.is_null()
    if type_ == pl.Null:
        return Values(null, pl.lit(False), column.cast(POLARS_TYPES[field.type]))
    if type_ == pl.String and (cells or field.type == "datetime") and field.type != "string":
        typed = _parsed(column, field.type)
        if field.type == "float":  # NaN is how some tools write a missing number
            nan = typed.is_nan().fill_null(False)
            return Values(null | nan, _lost(column, typed) | _infinite(typed), _finite(typed))
        return Values(null, _lost(column, typed), typed)
    if not _is_of(field.type, type_):
        return Values(null, ~null, pl.lit(None, dtype=POLARS_TYPES[field.type]))
    typed = column.cast(POLARS_TYPES[field.type], strict=False)
    if type_.is_float():
        return Values(null, (~column.is_finite()).fill_null(False), _finite(typed))
    if type_ == pl.UInt64 and field.type == "integer":
        return Values(null, (column > _INT64_MOST).fill_null(False), typed)
    return Values(null, pl.lit(False), typed)


def _parsed(column: pl.Expr, type_: FieldType) -> pl.Expr:
    if type_ == "datetime":
        return column.map_batches(parse_iso, return_dtype=pl.Datetime("us"))
    if type_ == "boolean":
        lower = column.str.to_lowercase()
        return pl.when(lower.is_in(["true", "false"])).then(lower == "true")
    return column.cast(POLARS_TYPES[type_], strict=False)


def _lost(column: pl.Expr, typed: pl.Expr) -> pl.Expr:
    return column.is_not_null() & typed.is_null()


def _infinite(typed: pl.Expr) -> pl.Expr:
    return typed.is_infinite().fill_null(False)


def _finite(typed: pl.Expr) -> pl.Expr:
    return pl.when(typed.is_finite()).then(typed)


def _is_of(wanted: FieldType, type_: pl.DataType) -> bool:
    if wanted == "float":
        return type_.is_numeric()
    if wanted == "integer":
        return type_.is_integer()
    if wanted == "string":
        return type_ in (pl.String, pl.Categorical, pl.Enum)
    return type_ == pl.Boolean if wanted == "boolean" else isinstance(type_, pl.Datetime | pl.Date)
