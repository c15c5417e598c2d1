"""Contracts of tables: inferring one from training data, and giving frames its types."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import polars as pl

from holdfast.data.errors import TableError
from holdfast.data.format_columns import infer_format
from holdfast.data.formats import TIME_FORMAT
from holdfast.data.policy import noun, show
from holdfast.data.records import Contract, FieldContract, FieldRole, FieldType, TableSpec
from holdfast.data.source import AVAILABLE_AT, ROW_ID, TIME, parse_iso
from holdfast.data.values import POLARS_TYPES, values_of

CATEGORIES_MOST = 100
RESERVED = (AVAILABLE_AT, ROW_ID)


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


def declared_fields(inferred: Sequence[FieldContract], declared: Contract) -> tuple[FieldContract, ...]:
    """The fields of a table whose contract people keep: theirs, in the order of the columns.

    What a column is to the table (time, key, label) is said by the table; the contract says what its values are.

    Raises:
        TableError: a column is missing in the contract, or a required field in the table, or its type is another.
    """
    known = {field.name: field for field in declared.fields}
    for field in inferred:
        if field.name not in known:
            raise TableError(
                f"the column {field.name!r} is not in the contract of {declared.table}",
                hint="add it there (`holdfast contract infer` shows how), or list it in the table's drop=[…]",
            )
    present = {field.name for field in inferred}
    for field in declared.fields:
        if field.required and field.name not in present:
            raise TableError(
                f"the contract of {declared.table} requires {field.name!r}, which the table does not have",
                hint=f"its columns are: {', '.join(present) or 'none'}",
            )
    return tuple(_declared(field, known[field.name], declared) for field in inferred)


def _declared(inferred: FieldContract, field: FieldContract, contract: Contract) -> FieldContract:
    if field.type != inferred.type and not (
        inferred.role == "label" and field.type in ("integer", "boolean")
    ):
        raise TableError(
            f"{field.name} is {inferred.type} in the table and {field.type} in the contract of {contract.table}",
            hint="correct one of them",
        )
    return msgspec.structs.replace(field, role=inferred.role, type=inferred.type)


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
    role = field_role(column.name, type_, spec)
    format_ = None
    if type_ == "string" and role == "time" and not spec.time_is_expression:
        format_, categories = TIME_FORMAT, None
    elif type_ == "string" and categories is None:
        format_ = infer_format(column)
    return FieldContract(
        name=column.name,
        type="float" if role == "label" else type_,
        role=role,
        required=column.null_count() == 0,
        minimum=None if minimum is None else float(minimum),  # type: ignore[arg-type]
        maximum=None if maximum is None else float(maximum),  # type: ignore[arg-type]
        categories=categories,
        null_share=column.null_count() / len(column) if len(column) else 0.0,
        format=format_,
    )


def field_role(name: str, type_: FieldType, spec: TableSpec) -> FieldRole:
    """What a column is in the table that a user declared."""
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
    misfits = frame.select(values_of(field, column.dtype).misfit).to_series()
    if misfits.any():
        example = show(column.filter(misfits)[0])
        raise TableError(
            f"{field.name}: {example} is not {noun(field.type)}", hint="correct the row, or drop the column"
        )
    if field.type == "datetime" and column.dtype == pl.String:
        return parse_iso(column)
    return column.cast(type_)
