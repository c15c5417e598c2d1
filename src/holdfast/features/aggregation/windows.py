"""Aggregates over `(t - window, t]` of the rows that were available at t, for any entities and instants.

A row of event time e that counts from c (the later of e and when it became available) is in the window at t exactly
while `c <= t < e + window`. So a row is an interval of instants, and with the instants that are asked for in order,
a range of places in their list. Counts and sums add where a range begins and take away where it ends; minima and
maxima cover ranges with two blocks of a power of two; distinct values are counted by the union of each value's
ranges. All of it takes n log n steps, however long the windows are and however late rows arrive.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from holdfast.data.source import AVAILABLE_AT, TIME
from holdfast.features.aggregation.exact import running_sums
from holdfast.features.errors import FeatureFunctionError
from holdfast.features.expiry import is_fresh
from holdfast.features.records import Aggregation
from holdfast.features.times import CREATED_AT, utc_micros

EVENT_AT = "_event_at"

_CODE = "_code"
_AT = "_at"

_KEY_MOST = 1 << 62

IntArray = npt.NDArray[np.int64]


class _Asked(NamedTuple):
    """The instants asked for, in order of entity and time; `order` leads back. `known` is false where a key or the
    time is null."""

    codes: IntArray
    times: IntArray
    order: IntArray
    known: npt.NDArray[np.bool_]
    scale: _Scale
    keys: IntArray


class _Scale(NamedTuple):
    """Entity and time as one integer, which sorts as the two do: the time is counted from the first one asked for,
    or where that does not fit, in `instants`, the sorted times that are asked for."""

    low: int
    width: int
    instants: IntArray | None

    def keys(self, codes: IntArray, times: IntArray) -> IntArray:
        """One integer for each; times before the first and after the last one asked for become the ends."""
        if self.instants is not None:
            return codes * self.width + np.searchsorted(self.instants, times)
        return codes * self.width + np.clip(times - self.low, 0, self.width - 1)


class _Rows(NamedTuple):
    """The rows of the entities asked for, in order of entity, time, creation and file; `first` is the first place
    at which each counts."""

    frame: pl.DataFrame
    codes: IntArray
    times: IntArray
    first: IntArray


def aggregate_at(
    rows: pl.DataFrame,
    asked: pl.DataFrame,
    *,
    entity: Sequence[str],
    aggregations: Sequence[Aggregation],
    ttl_us: int,
) -> pl.DataFrame:
    """The aggregates of each asked entity and instant, one row each in the order asked.

    Where the entity's latest available row is older than the TTL, or there is none, everything is null. Otherwise
    an empty window has count, sum and distinct 0; mean, min, max and last are null. Null values (NaN is one) are
    left out, but `last` is the value of the latest row, null or not.

    Args:
        rows: `time`, the entity columns, the columns aggregated; perhaps `_available_at` and `_created_at`.
        asked: `time` and the entity columns, of the types they have in `rows`.

    Returns:
        One column for each aggregation, and `_event_at`: the event time (µs) of the latest row, null where the
        features are.

    Raises:
        FeatureFunctionError: a column that is no number is to be summed, averaged or compared.

    Example:
        >>> from datetime import datetime, timedelta
        >>> noon, hour = datetime(2013, 1, 1, 12), timedelta(hours=1)
        >>> rows = pl.DataFrame({"time": [noon, noon + hour], "late": [1.0, 0.0]})
        >>> asked = pl.DataFrame({"time": [noon, noon + hour, noon + 2 * hour]})
        >>> share = Aggregation("late_mean_1h", "mean", "late", 3_600_000_000)
        >>> found = aggregate_at(rows, asked, entity=(), aggregations=[share], ttl_us=86_400_000_000)
        >>> found["late_mean_1h"].to_list()
        [1.0, 0.0, None]
    """
    places = _order_asked(rows, asked, list(entity))
    found = _order_rows(rows, asked, list(entity), places)
    latest = _latest(found, places)
    event_at = found.times[latest] if len(found.times) else np.zeros(len(latest), dtype=np.int64)
    usable = places.known & (latest >= 0) & is_fresh(event_at, places.times, ttl_us)
    back = np.empty(len(places.order), dtype=np.int64)
    back[places.order] = np.arange(len(back))
    windows = {one.window_us: _leaves(found, places, one.window_us) for one in aggregations}
    columns = [
        _aggregate(one, found, places, windows[one.window_us], latest).alias(one.name) for one in aggregations
    ]
    whole = pl.DataFrame([*columns, pl.Series(EVENT_AT, event_at)])
    masked = whole.select(pl.when(pl.lit(pl.Series(usable))).then(pl.all()))
    return masked.select(pl.all().gather(pl.Series(back)))


def _codes(asked: pl.DataFrame, entity: list[str]) -> pl.DataFrame:
    """Every entity asked for with its number."""
    return asked.select(entity).unique(maintain_order=True).drop_nulls().with_row_index(_CODE)


def _order_asked(rows: pl.DataFrame, asked: pl.DataFrame, entity: list[str]) -> _Asked:
    times = asked.select(*utc_micros(asked.schema, [TIME], "the rows"), *entity)
    if entity:
        times = times.join(_codes(asked, entity), on=entity, how="left", maintain_order="left")
    else:
        times = times.with_columns(pl.lit(0, dtype=pl.UInt32).alias(_CODE))
    known = (times[TIME].is_not_null() & times[_CODE].is_not_null()).to_numpy()
    at = times[TIME].fill_null(0).to_numpy()
    code = times[_CODE].fill_null(0).cast(pl.Int64).to_numpy()
    scale = _scale(code, at)
    keys = scale.keys(code, at)
    order = np.argsort(keys, kind="stable")
    return _Asked(code[order], at[order], order, known[order], scale, keys[order])


def _scale(codes: IntArray, times: IntArray) -> _Scale:
    if not len(times):
        return _Scale(0, 1, None)
    low, entities = int(times.min()), int(codes.max()) + 1
    span = int(times.max()) - low + 2
    if entities * span < _KEY_MOST:
        return _Scale(low, span, None)
    ordered = np.sort(times)
    instants = ordered[np.append(True, ordered[1:] != ordered[:-1])]
    return _Scale(low, len(instants) + 1, instants)


def _order_rows(rows: pl.DataFrame, asked: pl.DataFrame, entity: list[str], places: _Asked) -> _Rows:
    names = [name for name in (TIME, AVAILABLE_AT, CREATED_AT) if name in rows.columns]
    features = [name for name in rows.columns if name not in names and name not in entity]
    frame = rows.select(*utc_micros(rows.schema, names, "the view's rows"), *entity, *features)
    frame = frame.drop_nulls([name for name in names if name != CREATED_AT])
    if entity:
        frame = frame.join(_codes(asked, entity), on=entity, how="inner", maintain_order="left")
    else:
        frame = frame.with_columns(pl.lit(0, dtype=pl.UInt32).alias(_CODE))
    by = [_CODE, TIME, *([CREATED_AT] if CREATED_AT in names else [])]
    frame = frame.sort(by, maintain_order=True)
    codes = frame[_CODE].cast(pl.Int64).to_numpy()
    times = frame[TIME].to_numpy()
    from_at = np.maximum(times, frame[AVAILABLE_AT].to_numpy()) if AVAILABLE_AT in names else times
    return _Rows(frame, codes, times, _first_place(places, codes, from_at))


def _first_place(places: _Asked, codes: IntArray, from_at: IntArray) -> IntArray:
    """For each entity and instant the first place asked for that is not before it, or where its entity ends."""
    return np.searchsorted(places.keys, places.scale.keys(codes, from_at)).astype(np.int64)


def _latest(rows: _Rows, places: _Asked) -> IntArray:
    """At each place the latest row that counts, as its position, or -1."""
    best = np.full(len(places.times) + 1, -1, dtype=np.int64)
    np.maximum.at(best, rows.first, np.arange(len(rows.first)))
    latest = np.maximum.accumulate(best[:-1])
    own = rows.codes[latest] == places.codes if len(rows.codes) else np.zeros(len(latest), dtype=bool)
    return np.where((latest >= 0) & own, latest, -1)


def _leaves(rows: _Rows, places: _Asked, window_us: int) -> IntArray:
    """The first place at which each row is no longer in the window."""
    return np.maximum(_first_place(places, rows.codes, rows.times + window_us), rows.first)


def _aggregate(one: Aggregation, rows: _Rows, places: _Asked, end: IntArray, latest: IntArray) -> pl.Series:
    count = len(places.times)
    if one.op == "last":
        in_window = (
            (latest >= 0) & (rows.times[latest] > places.times - one.window_us) if len(rows.times) else None
        )
        return _last(rows.frame[one.column or ""], latest, in_window)
    inside = end > rows.first
    if one.column is not None:
        series = rows.frame[one.column]
        if series.dtype.is_float():
            series = series.fill_nan(None)
        inside &= series.is_not_null().to_numpy()
    first, end = rows.first[inside], end[inside]
    if one.op == "count":
        return pl.Series(_covering(first, end, count))
    series = series.filter(pl.Series(inside))
    if one.op == "distinct":
        return pl.Series(_distinct(series, rows.codes[inside], first, end, count))
    values = _numbers(series, one)
    if one.op in ("min", "max"):
        return _extreme(values, first, end, count, largest=one.op == "max")
    total = _sum(values, first, end, count)
    if one.op == "sum":
        return pl.Series(total)
    number = _covering(first, end, count)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / number
    return pl.Series(mean).set(pl.Series(number == 0), None)


def _last(series: pl.Series, latest: IntArray, in_window: npt.NDArray[np.bool_] | None) -> pl.Series:
    if in_window is None:
        return pl.Series([None] * len(latest), dtype=series.dtype)
    return series.gather(pl.Series(latest).set(pl.Series(~in_window), None))


def _numbers(series: pl.Series, one: Aggregation) -> npt.NDArray[np.generic]:
    if series.dtype.is_integer() or series.dtype == pl.Boolean:
        return series.cast(pl.Int64).to_numpy()
    if series.dtype.is_numeric() or isinstance(series.dtype, pl.Null):
        return series.cast(pl.Float64).to_numpy()
    raise FeatureFunctionError(
        f"{one.name}: the column {one.column!r} is of type {series.dtype}, of which there is no {one.op}",
        hint="aggregate a number or a boolean, or take count, distinct or last",
    )


def _covering(first: IntArray, end: IntArray, count: int) -> IntArray:
    """How many ranges hold each place."""
    begun = np.bincount(first, minlength=count + 1) - np.bincount(end, minlength=count + 1)
    return np.cumsum(begun[:count], dtype=np.int64)


def _sum(
    values: npt.NDArray[np.generic], first: IntArray, end: IntArray, count: int
) -> npt.NDArray[np.float64]:
    finite = np.isfinite(values)
    if finite.all():
        return running_sums(values, first, end, count)
    total = running_sums(values[finite], first[finite], end[finite], count)
    for infinity in (np.inf, -np.inf):
        chosen = values == infinity
        covered = _covering(first[chosen], end[chosen], count) > 0
        with np.errstate(invalid="ignore"):
            total[covered] += infinity
    return total


def _distinct(series: pl.Series, codes: IntArray, first: IntArray, end: IntArray, count: int) -> IntArray:
    """How many different values have a range that holds each place."""
    if not len(series):
        return np.zeros(count, dtype=np.int64)
    ranks = series.rank("dense").cast(pl.Int64).to_numpy()
    groups = np.unique(codes * (int(ranks.max()) + 1) + ranks, return_inverse=True)[1]
    order = np.lexsort((first, groups))
    shift = groups[order] * (count + 1)  # keeps the ranges of one value apart from those of the next
    begins, ends = first[order] + shift, end[order] + shift
    reach = np.maximum.accumulate(ends)
    new = np.ones(len(order), dtype=bool)
    new[1:] = begins[1:] > reach[:-1]
    closes = np.append(new[1:], True)
    return _covering((begins - shift)[new], (reach - shift)[closes], count)


def _extreme(
    values: npt.NDArray[np.generic], first: IntArray, end: IntArray, count: int, *, largest: bool
) -> pl.Series:
    """The smallest or largest value whose range holds each place, null where there is none.

    A range is covered by two blocks of the largest power of two that fits; blocks then hand their value down to
    their halves, level by level, until they are single places.
    """
    better = np.maximum if largest else np.minimum
    limits: np.iinfo[np.int64] | np.finfo[np.float64]
    if values.dtype == np.int64:
        limits = np.iinfo(np.int64)
        worst: float = limits.min if largest else limits.max
    else:
        worst = -np.inf if largest else np.inf
    level_of = np.floor(np.log2(np.maximum(end - first, 1))).astype(np.int64)
    table = np.full(count, worst, dtype=values.dtype)
    for level in range(int(level_of.max(initial=0)), -1, -1):
        own = level_of == level
        better.at(table, first[own], values[own])
        better.at(table, end[own] - (1 << level), values[own])
        if level:
            half = 1 << (level - 1)
            lower = table.copy()
            lower[half:] = better(lower[half:], table[:-half])
            table = lower
    nothing = pl.Series(_covering(first, end, count) == 0)
    return pl.Series(table).set(nothing, None)
