"""Which columns a model sees: the signature, derived from the table's contract and the feature views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl

from holdfast.data.records import FieldContract
from holdfast.registry.records import Signature, SignatureColumn
from holdfast.training.errors import TrainingDataError
from holdfast.training.records import ModelSpec

CATEGORIES_MOST = 100


class Inputs(NamedTuple):
    """A signature, and a warning for each column that could not be part of it."""

    signature: Signature
    warnings: tuple[str, ...]


def choose_inputs(
    frame: pl.DataFrame,
    fields: Sequence[FieldContract],
    spec: ModelSpec,
    view_columns: Mapping[str, Sequence[str]],
) -> Inputs:
    """The signature of a model: the table's features in the contract's order, then the looked-up ones.

    Numbers, booleans and strings of at most 100 categories are inputs; other columns are left out with a warning
    that names them. `frame` holds all of these columns.

    Raises:
        TrainingDataError: two columns have the same name, or nothing is left to learn from.
    """
    sources: list[tuple[str, str | None]] = [
        (field.name, None) for field in fields if field.role == "feature"
    ]
    sources += [(column, view) for view, columns in view_columns.items() for column in columns]
    _check_unique([name for name, _ in sources], spec.name)
    chosen: list[SignatureColumn] = []
    warnings: list[str] = []
    for name, view in sources:
        column = _signature_column(frame.get_column(name), view)
        if isinstance(column, str):
            warnings.append(column)
        else:
            chosen.append(column)
    if not chosen:
        raise TrainingDataError(
            f"{spec.table.name} has no column that {spec.name} could learn from",
            hint="a model needs numbers, booleans, or strings of at most 100 categories",
        )
    return Inputs(Signature(tuple(chosen), spec.task, spec.table.label or ""), tuple(warnings))


def _signature_column(series: pl.Series, view: str | None) -> SignatureColumn | str:
    """The column of the signature, or the warning why there is none."""
    dtype = series.dtype
    if dtype == pl.Boolean:
        return SignatureColumn(series.name, "boolean", view)
    if dtype.is_numeric():
        return SignatureColumn(series.name, "integer" if dtype.is_integer() else "float", view)
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        categories = series.cast(pl.String).drop_nulls().unique().sort().to_list()
        if 0 < len(categories) <= CATEGORIES_MOST:
            return SignatureColumn(series.name, "string", view, tuple(categories))
        return f"{series.name} was left out: a string column with {len(categories)} different values"
    return f"{series.name} was left out: a column of type {dtype} is no input"


def _check_unique(names: Sequence[str], model: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TrainingDataError(
            f"{model} has several inputs named {', '.join(twice)}",
            hint="rename the columns that the feature functions return",
        )
