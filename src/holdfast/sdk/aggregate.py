"""`hf.aggregate`: windowed features, declared instead of programmed.

A window of 1 h at t holds the rows with `t - 1h < time <= t` that were available at t; `docs/features.md` has the
semantics in full. Each function returns one aggregation for each window of `over`, named `{column}_{op}_{window}`,
such as `late_mean_1h`; `name=` replaces `{column}_{op}`.

Example:
    @hf.features(entity=carrier, table=landings, aggregate=[
        hf.aggregate.mean("late", over=["1h", "1d", "7d"]),
        hf.aggregate.count(over="1d"),
    ])
    def carrier_record(landings: pl.LazyFrame) -> pl.LazyFrame:
        return landings.select("time", "carrier", late=pl.col("arr_delay") > 15)
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import timedelta

from holdfast.base.clock import format_duration
from holdfast.base.errors import DeclarationError
from holdfast.features.records import Aggregation, AggregationOp
from holdfast.sdk import checks

Windows = str | timedelta | Sequence[str | timedelta]

aggregate = sys.modules[__name__]


def sum(column: str, over: Windows, name: str | None = None) -> tuple[Aggregation, ...]:
    """The sum of a number or boolean, exact to the last bit; 0 where the window is empty."""
    return _aggregations("sum", column, over, name)


def mean(column: str, over: Windows, name: str | None = None) -> tuple[Aggregation, ...]:
    """The mean of a number, or the share of a boolean that is true; null where the window is empty."""
    return _aggregations("mean", column, over, name)


def count(column: str | None = None, *, over: Windows, name: str | None = None) -> tuple[Aggregation, ...]:
    """How many rows, or how many whose column is not null."""
    return _aggregations("count", column, over, name)


def distinct(column: str, over: Windows, name: str | None = None) -> tuple[Aggregation, ...]:
    """How many different values, nulls left out."""
    return _aggregations("distinct", column, over, name)


def last(column: str, over: Windows, name: str | None = None) -> tuple[Aggregation, ...]:
    """The value of the latest row, null or not; null where the window is empty."""
    return _aggregations("last", column, over, name)


def min(column: str, over: Windows, name: str | None = None) -> tuple[Aggregation, ...]:
    """The smallest number; null where the window is empty."""
    return _aggregations("min", column, over, name)


def max(column: str, over: Windows, name: str | None = None) -> tuple[Aggregation, ...]:
    """The largest number; null where the window is empty."""
    return _aggregations("max", column, over, name)


def _aggregations(
    op: AggregationOp, column: str | None, over: Windows, name: str | None
) -> tuple[Aggregation, ...]:
    if not (isinstance(column, str) and column) and not (column is None and op == "count"):
        raise DeclarationError(f"aggregate.{op}: {column!r} is not a column name")
    windows = [over] if isinstance(over, str | timedelta) else list(over)
    if not windows:
        raise DeclarationError(
            f"aggregate.{op}: no window is given", hint='write over="1h" or over=["1h", "7d"]'
        )
    stem = name or (op if column is None else f"{column}_{op}")
    found = []
    for window in windows:
        window_us = checks.span(window, "over")
        if window_us == 0:
            raise DeclarationError(f"aggregate.{op}: a window cannot be empty", hint='write over="1h"')
        found.append(Aggregation(f"{stem}_{format_duration(window_us)}", op, column, window_us))
    return tuple(found)
