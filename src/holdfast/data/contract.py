"""Contracts for frames: inferring one from training data, and checking and conforming frames to it.

The serving door (`decoder`) enforces the same contract on single requests; a property test holds the two
together.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from holdfast.data.errors import TableError
from holdfast.data.policy import expects, noun, show
from holdfast.data.records import (
    Contract,
    FieldContract,
    FieldRole,
    FieldType,
    TableSpec,
    Violation,
    ViolationKind,
)
from holdfast.data.source import AVAILABLE_AT, ROW_ID, TIME, parse_iso

CATEGORIES_MOST = 100
RESERVED = (AVAILABLE_AT, ROW_ID)

POLARS_TYPES: dict[FieldType, pl.DataType] = {
    "float": pl.Float64(),
    "integer": pl.Int64(),
    "string": pl.String(),
    "boolean": pl.Boolean(),
    "datetime": pl.Datetime("us"),
}
_EXAMPLES = 3


def infer_fields(frame: pl.DataFrame, spec: TableSpec) -> tuple[FieldContract, ...]:
    """The fields of a table as its rows show them, in the order of the columns.

    A column is required where no null was seen; numbers get their range, strings with at most 100 different
    values their categories. The computed `time` and the internal columns are no fields. A text that the time is
    computed from has the role `time` (a number such as the hour of the day stays a feature besides).

    Raises:
        TableError: a column has a type that cannot be a field; says to drop it.
    """
    return tuple(
        _infer_field(frame[name], spec)
        for name in frame.columns
        if name not in RESERVED and (name != TIME or spec.time == TIME)
    )


def field_type(name: str, type_: pl.DataType) -> FieldType:
    """The contract's word for a column type.

    Raises:
        TableError: nested, binary and other types that a request cannot carry.
    """
    if type_ == pl.Boolean:
        return "boolean"
    if type_.is_integer():
        return "integer"
    if type_.is_float() or type_.is_decimal():
        return "float"
    if type_ == pl.String:
        return "string"
    if isinstance(type_, pl.Datetime | pl.Date):
        return "datetime"
    raise TableError(
        f"column {name!r} is of type {type_}, which a table cannot hold",
        hint=f"list it in the table's drop=[…], or convert it ({', '.join(POLARS_TYPES)})",
    )


def conform_frame(frame: pl.DataFrame, fields: Sequence[FieldContract]) -> pl.DataFrame:
    """Gives the columns of the fields their exact types, without changing a value; absent optional ones are null.

    Texts become times where the contract says so. Nothing is rounded: a column that does not fit is an error.

    Raises:
        TableError: a required column is missing, or a value does not fit its field's type.
    """
    columns = [_conform_column(frame, field) for field in fields]
    known = {field.name for field in fields}
    return frame.with_columns(columns).select(
        [field.name for field in fields] + [name for name in frame.columns if name not in known]
    )


def check_frame(frame: pl.DataFrame, contract: Contract) -> list[Violation]:
    """Where a frame of inputs breaks the contract; the same rows sent one by one would fare the same.

    The frame holds the request's fields (the label may be there or not). Types, missing columns, unknown columns
    and nulls in required fields are errors; ranges and categories only where the field is `hard`.
    """
    fields = {field.name: field for field in contract.fields}
    violations: list[Violation] = []
    for name in frame.columns:
        if name not in fields:
            violations.append(_unknown(name, frame.height, contract))
    for field in contract.request_fields():
        if field.name in frame.columns:
            violations.extend(_check_column(frame[field.name], field, contract))
        elif field.required and frame.height:
            message = f"{field.name} is missing; {expects(contract, field)}"
            violations.append(Violation("missing_field", field.name, frame.height, message))
    return violations


def _infer_field(column: pl.Series, spec: TableSpec) -> FieldContract:
    type_ = field_type(column.name, column.dtype)
    minimum = maximum = categories = None
    if type_ in ("float", "integer"):
        finite = column.cast(pl.Float64).drop_nulls()
        finite = finite.filter(finite.is_finite())
        minimum, maximum = finite.min(), finite.max()
    elif type_ == "string":
        distinct = column.drop_nulls().unique()
        categories = tuple(sorted(distinct)) if 0 < len(distinct) <= CATEGORIES_MOST else None
    role = _role(column.name, type_, spec)
    return FieldContract(
        name=column.name,
        type="float" if role == "label" else type_,
        role=role,
        required=column.null_count() == 0,
        minimum=None if minimum is None else float(minimum),  # type: ignore[arg-type]
        maximum=None if maximum is None else float(maximum),  # type: ignore[arg-type]
        categories=categories,
        null_share=column.null_count() / len(column) if len(column) else 0.0,
    )


def _role(name: str, type_: FieldType, spec: TableSpec) -> FieldRole:
    if name == spec.label:
        return "label"
    if name in spec.key:
        return "key"
    if not spec.time_is_expression and name == spec.time:
        return "time"
    if name in spec.time_roots and type_ in ("string", "datetime"):
        return "time"
    return "feature"


def _conform_column(frame: pl.DataFrame, field: FieldContract) -> pl.Series:
    type_ = POLARS_TYPES[field.type]
    absent = field.name not in frame.columns
    if absent and field.required:
        raise TableError(
            f"the column {field.name!r} is missing", hint=f"the table's contract expects {field.type}"
        )
    if absent or frame[field.name].null_count() == frame.height:
        return pl.Series(field.name, [None] * frame.height, dtype=type_)
    column = frame[field.name]
    misfits = _misfits(column, field)
    if misfits.any():
        example = show(column.filter(misfits)[0])
        raise TableError(
            f"{field.name}: {example} is not {noun(field.type)}", hint="correct the row, or drop the column"
        )
    if field.type == "datetime" and column.dtype == pl.String:
        return parse_iso(column)
    return column.cast(type_)


def _misfits(column: pl.Series, field: FieldContract) -> pl.Series:
    """Which values are of another type than the field's; nulls are judged elsewhere."""
    nobody = pl.repeat(False, len(column), dtype=pl.Boolean, eager=True)
    type_ = column.dtype
    if type_ == pl.Null:
        return nobody
    fits = {
        "float": type_.is_numeric(),
        "integer": type_.is_integer(),
        "string": type_ in (pl.String, pl.Categorical, pl.Enum),
        "boolean": type_ == pl.Boolean,
        "datetime": isinstance(type_, pl.Datetime | pl.Date | pl.String),
    }[field.type]
    if not fits:
        return column.is_not_null()
    if type_.is_float():
        return (~column.is_finite()).fill_null(False)
    if type_ == pl.String and field.type == "datetime":
        return column.is_not_null() & parse_iso(column).is_null()
    if type_ == pl.UInt64 and field.type == "integer":
        return (column > 2**63 - 1).fill_null(False)
    return nobody


def _check_column(column: pl.Series, field: FieldContract, contract: Contract) -> list[Violation]:
    found: list[Violation] = []
    nulls = column.null_count()
    if nulls and field.required:
        message = f"{field.name} is null in {nulls} rows; {expects(contract, field)}"
        found.append(Violation("invalid_field", field.name, nulls, message))
    misfits = _misfits(column, field)
    if misfits.any():
        found.append(
            _violation("invalid_field", column.filter(misfits), field, contract, f"not {noun(field.type)}")
        )
        return found
    outside = _outside(column, field)
    if outside is not None and outside.any():
        kind: ViolationKind = "range" if field.categories is None else "category"
        what = "outside of the range" if kind == "range" else "an unknown category"
        found.append(_violation(kind, column.filter(outside), field, contract, what))
    return found


def _outside(column: pl.Series, field: FieldContract) -> pl.Series | None:
    """Which values lie beyond the range or the categories; None where the field has neither."""
    if column.null_count() == len(column):
        return None
    if field.categories is not None:
        return (~column.cast(pl.String).is_in(list(field.categories))).fill_null(False)
    if field.type not in ("float", "integer") or (field.minimum is None and field.maximum is None):
        return None
    outside = pl.repeat(False, len(column), dtype=pl.Boolean, eager=True)
    if field.minimum is not None:
        outside = outside | (column < field.minimum).fill_null(False)
    if field.maximum is not None:
        outside = outside | (column > field.maximum).fill_null(False)
    return outside


def _violation(
    kind: ViolationKind, values: pl.Series, field: FieldContract, contract: Contract, what: str
) -> Violation:
    examples = tuple(show(value) for value in values.unique(maintain_order=True).head(_EXAMPLES))
    message = f"{field.name}: {examples[0]} is {what}; {expects(contract, field)}"
    hard = kind == "invalid_field" or field.hard
    return Violation(kind, field.name, len(values), message, "error" if hard else "warning", examples)


def _unknown(name: str, rows: int, contract: Contract) -> Violation:
    names = ", ".join(field.name for field in contract.request_fields())
    return Violation(
        "unknown_field", name, rows, f"{name}: {contract.urn} has no such field; its fields are: {names}"
    )
