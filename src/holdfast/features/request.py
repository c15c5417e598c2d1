"""Features of the request: the user's plain Python function, run the same over rows of the past and of a request."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from holdfast.data.source import TIME
from holdfast.features.errors import FeatureFunctionError
from holdfast.features.records import FeatureViewSpec

_PLAIN = (bool, int, float, str, type(None))

RequestFunction = Callable[..., Mapping[str, Any]]


def compute_request(
    function: RequestFunction,
    spec: FeatureViewSpec,
    values: Mapping[str, Sequence[Any]],
    columns: Sequence[str] | None = None,
) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """The features of each row: their names, and one tuple a row.

    Args:
        values: by name the request's fields and the features looked up, each with one value a row; `time` is a
            naive datetime in UTC.
        columns: the names that the function must return; those of the first row by default.

    Raises:
        FeatureFunctionError: a parameter names nothing that is there, the function raised, or it returned something
            else than a dict of the same names with plain values.
    """
    for name in spec.parameters:
        if name not in values:
            raise FeatureFunctionError(
                f"{spec.name} takes {name!r}, which neither the request nor a feature before it has",
                hint=f"there are: {', '.join(sorted(values))}",
            )
    names = tuple(columns) if columns is not None else None
    found = []
    for arguments in zip(*(values[name] for name in spec.parameters), strict=True):
        row = _call(function, spec, dict(zip(spec.parameters, arguments, strict=True)))
        if names is None:
            names = tuple(row)
        if row.keys() != set(names):
            raise FeatureFunctionError(
                f"{spec.name} returned {', '.join(row) or 'nothing'} for one row and {', '.join(names)} for another",
                hint="return the same names always, with None where there is no value",
            )
        found.append(tuple(row[name] for name in names))
    return names or (), found


def with_request_features(
    rows: pl.DataFrame, function: RequestFunction, spec: FeatureViewSpec
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The rows with the function's features, computed row by row, and their names.

    Raises:
        FeatureFunctionError: as `compute_request`; or a feature has the name of a column.
    """
    values = {name: rows[name].to_list() for name in (*spec.parameters, TIME) if name in rows.columns}
    names, found = compute_request(function, spec, values)
    for name in names:
        if name in rows.columns:
            raise FeatureFunctionError(
                f"{spec.name}: the feature {name!r} has the name of a column", hint="give it another name"
            )
    columns = [
        pl.Series(name, [row[place] for row in found], strict=False) for place, name in enumerate(names)
    ]
    return rows.hstack([_plain(column) for column in columns]), names


def _plain(column: pl.Series) -> pl.Series:
    if column.dtype.is_integer():
        return column.cast(pl.Int64)
    return column.cast(pl.Float64) if column.dtype.is_numeric() or column.dtype == pl.Null else column


def _call(function: RequestFunction, spec: FeatureViewSpec, arguments: dict[str, Any]) -> Mapping[str, Any]:
    try:
        row = function(**arguments)
    except Exception as error:
        code = inspect.unwrap(function).__code__
        raise FeatureFunctionError(
            f"{spec.name} raised {type(error).__name__}: {error} ({Path(code.co_filename).name}, "
            f"line {code.co_firstlineno}) for {arguments}",
            hint="correct the function of the request",
        ) from error
    if not isinstance(row, Mapping):
        raise FeatureFunctionError(
            f"{spec.name} returned {type(row).__name__}, not a dict", hint='return {"name": value}'
        )
    for name, value in row.items():
        if not isinstance(value, _PLAIN):
            raise FeatureFunctionError(
                f"{spec.name}: {name!r} is {type(value).__name__}",
                hint="return numbers, booleans, strings or None",
            )
    return row
