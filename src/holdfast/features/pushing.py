"""Rows that a caller pushed, as a computed view."""

from __future__ import annotations

from typing import Any

import polars as pl

from holdfast.base.clock import Micros, parse_time
from holdfast.base.errors import InvalidError
from holdfast.data.source import AVAILABLE_AT, TIME
from holdfast.features.errors import PushError
from holdfast.features.records import FeatureView
from holdfast.features.times import CREATED_AT

ROWS_MOST = 10_000
_TIMES = {TIME: TIME, "available_at": AVAILABLE_AT, "created_at": CREATED_AT}


def pushed_frame(view: FeatureView, rows: tuple[dict[str, Any], ...], now: Micros) -> pl.DataFrame:
    """Pushed rows as a computed view.

    Raises:
        PushError: a row lacks something, has something else, or a value is of the wrong kind; names the row.
    """
    spec = view.spec
    if spec.kind == "request":
        raise PushError(f"{view.name} is computed from each request; there is nothing to push")
    if not rows or len(rows) > ROWS_MOST:
        raise PushError(f"{len(rows)} rows were pushed", hint=f"push 1 to {ROWS_MOST} rows at a time")
    values = spec.inputs if spec.aggregations else view.columns
    needed, allowed = (TIME, *spec.entity, *values), {*_TIMES, *spec.entity, *values}
    for number, row in enumerate(rows, 1):
        missing = [name for name in needed if name not in row]
        unknown = sorted(set(row) - allowed)
        if missing or unknown:
            what = (
                f"lacks {missing[0]!r}" if missing else f"has {unknown[0]!r}, which {view.name} does not know"
            )
            raise PushError(f"row {number} {what}", hint=f"each row has {', '.join(needed)}")
    frame: dict[str, pl.Series] = {}
    for name in (*_TIMES, *spec.entity, *values):
        if all(name not in row for row in rows):
            continue
        column = [row.get(name) for row in rows]
        frame[_TIMES.get(name, name)] = _times(name, column) if name in _TIMES else _plain(name, column)
    if CREATED_AT not in frame and not spec.aggregations:
        frame[CREATED_AT] = pl.Series([now] * len(rows), dtype=pl.Int64).cast(pl.Datetime("us"))
    return pl.DataFrame(frame)


def _times(name: str, values: list[Any]) -> pl.Series:
    found: list[Micros | None] = []
    for number, value in enumerate(values, 1):
        if value is None and name != TIME:
            found.append(None)
            continue
        try:
            found.append(parse_time(value))
        except InvalidError as error:
            raise PushError(f"row {number}: {name} {error}") from None
    return pl.Series(found, dtype=pl.Int64).cast(pl.Datetime("us"))


def _plain(name: str, values: list[Any]) -> pl.Series:
    kinds = {bool if isinstance(value, bool) else type(value) for value in values if value is not None}
    if kinds <= {int, float} or (len(kinds) <= 1 and kinds <= {bool, str}):
        try:
            return pl.Series(values, dtype=pl.Float64 if kinds == {int, float} else None)
        except (TypeError, OverflowError, pl.exceptions.PolarsError):
            pass
    shown = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise PushError(
        f"the values of {name!r} are of the kinds {shown}", hint="push numbers, booleans or strings"
    )
