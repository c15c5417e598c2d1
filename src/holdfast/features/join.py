"""The point-in-time join: for every row, the latest feature row that it could have known.

A feature row counts from the later of its event time and the time at which it became available. Of the rows of an
entity that count, the one with the latest event time is the answer; of several at one event time the one created
last, and of several of those the last in the file. So a row that arrives when a newer one is known already never
becomes the answer, and leaving such rows out turns the search over two times into a search over one.
`docs/features.md` has the semantics in full.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from holdfast.data.source import AVAILABLE_AT, TIME
from holdfast.features.errors import FeatureJoinError
from holdfast.features.expiry import is_fresh
from holdfast.features.keys import same_key_types
from holdfast.features.times import CREATED_AT, utc_micros

POSITION = "_position"
COUNTS_FROM = "_counts_from"
EVENT = "_event"
_RANK = "_rank"


class ViewRows(NamedTuple):
    """A computed view, as it is joined.

    `frame` has `time`, the entity columns and the features; where it has `_available_at`, a row counts from then,
    else from its `time`; where it has `_created_at`, that decides between rows of one time, else their order does.
    `ttl_us` is how old a value may be, `columns` are the features to add.
    """

    frame: pl.DataFrame | pl.LazyFrame
    entity: tuple[str, ...]
    ttl_us: int
    columns: tuple[str, ...]


def point_in_time_join(
    rows: pl.DataFrame | pl.LazyFrame,
    view: pl.DataFrame | pl.LazyFrame,
    *,
    entity: Sequence[str],
    ttl_us: int,
    columns: Sequence[str],
    use_availability: bool = True,
) -> pl.DataFrame:
    """Adds one view's columns to the rows; see `join_views`.

    Example:
        >>> from datetime import datetime
        >>> rows = pl.DataFrame({"time": [datetime(2011, 1, 1, 9)]})
        >>> view = pl.LazyFrame({"time": [datetime(2011, 1, 1, 8)], "demand": [16.0]})
        >>> hour_us = 3_600_000_000
        >>> point_in_time_join(rows, view, entity=(), ttl_us=hour_us, columns=["demand"])["demand"].item()
        16.0
        >>> point_in_time_join(rows, view, entity=(), ttl_us=hour_us - 1, columns=["demand"])["demand"].item()
    """
    one = ViewRows(view, tuple(entity), ttl_us, tuple(columns))
    return join_views(rows, [one], use_availability=use_availability)


def join_views(
    rows: pl.DataFrame | pl.LazyFrame, views: Sequence[ViewRows], *, use_availability: bool = True
) -> pl.DataFrame:
    """Adds the columns of several views to the rows: one output row per input row, in order.

    A row at time t gets, of the view's rows of the same entity with `time <= t` that were available by t, the
    latest; where that is older than the TTL (`time < t - ttl`), where there is none, and where a key or the
    row's time is null, the features are null. A null in the latest row stays null: no earlier row is asked.

    Args:
        rows: have `time` and the entity columns of every view.
        use_availability: false ignores `_available_at`, as if every row had been known at its event time.

    Raises:
        FeatureJoinError: the rows or a view lack a column, a column of a feature's name is there already, key
            types do not compare, or times with and without a zone are mixed.
    """
    left = rows.lazy().collect()
    for view in views:
        _check(left, view)
    _refuse_duplicates(views)
    names = list(dict.fromkeys(name for view in views for name in view.entity))
    keys = left.select(*utc_micros(left.schema, [TIME], "the rows"), *names)
    order = None if keys[TIME].is_sorted() else keys[TIME].arg_sort()
    back = None
    if order is not None:
        keys = keys.select(pl.all().gather(order))
        back = order.arg_sort()
    added = []
    for view in views:
        frame = view.frame.lazy().collect()
        found = _positions(keys, frame, view, use_availability)
        found = found if back is None else found.gather(back)
        added.append(frame.select(pl.col(list(view.columns)).gather(found)))
    return pl.concat([left, *added], how="horizontal") if added else left


def latest_rows(view: ViewRows, frame: pl.DataFrame, use_availability: bool = True) -> pl.DataFrame:
    """The rows of a view that are the answer from some instant on, in the order of these instants.

    Its columns are the entity, `_counts_from` and `_event` (microseconds) and `_position`, the row in `frame`.
    """
    times = [TIME, *(n for n in (AVAILABLE_AT, CREATED_AT) if n in frame.columns)]
    if not use_availability and AVAILABLE_AT in times:
        times.remove(AVAILABLE_AT)
    ordered = [TIME, CREATED_AT] if CREATED_AT in times else [TIME]
    right = frame.select(*utc_micros(frame.schema, times, "the view's rows"), *view.entity)
    right = right.with_row_index(POSITION)
    needed = [name for name in (TIME, AVAILABLE_AT, *view.entity) if name in right.columns]
    if any(right[name].null_count() for name in needed):
        right = right.drop_nulls(needed)
    if len(ordered) > 1 or not right[TIME].is_sorted():
        right = right.sort(ordered, maintain_order=True)
    if AVAILABLE_AT not in times:
        return right.select(*view.entity, POSITION, pl.col(TIME).alias(EVENT), _COUNTS_FROM_TIME)
    counts_from = pl.max_horizontal(TIME, AVAILABLE_AT).alias(COUNTS_FROM)
    right = right.select(*view.entity, POSITION, pl.col(TIME).alias(EVENT), counts_from)
    if right[COUNTS_FROM].is_sorted():
        return right
    right = right.with_row_index(_RANK).sort(COUNTS_FROM, maintain_order=True)
    newest = pl.col(_RANK).cum_max()
    return right.filter(pl.col(_RANK) == (newest.over(view.entity) if view.entity else newest)).drop(_RANK)


_COUNTS_FROM_TIME = pl.col(TIME).alias(COUNTS_FROM)


def _positions(keys: pl.DataFrame, frame: pl.DataFrame, view: ViewRows, use_availability: bool) -> pl.Series:
    """For each key, in order of time, the position of its row in the view's frame, or null."""
    right = latest_rows(view, frame, use_availability)
    left = keys.select(TIME, *view.entity)
    left, right = same_key_types(left, right, view.entity)
    joined = left.join_asof(
        right,
        left_on=TIME,
        right_on=COUNTS_FROM,
        by=list(view.entity) or None,
        strategy="backward",
        check_sortedness=False,  # both sides were sorted above; polars cannot see it through `by`
    )
    fresh = is_fresh(pl.col(EVENT), pl.col(TIME), view.ttl_us)
    return joined.select(pl.when(fresh).then(pl.col(POSITION))).to_series()


def _check(rows: pl.DataFrame, view: ViewRows) -> None:
    for name in (TIME, *view.entity):
        if name not in rows.columns:
            raise FeatureJoinError(
                f"the rows have no column {name!r}, by which features are joined",
                hint=f"their columns are: {', '.join(rows.columns)}",
            )
    existing = view.frame.lazy().collect_schema().names()
    for name in (TIME, *view.entity, *view.columns):
        if name not in existing:
            raise FeatureJoinError(
                f"the view has no column {name!r}", hint=f"its columns are: {', '.join(existing)}"
            )
    for name in view.columns:
        if name in rows.columns:
            raise FeatureJoinError(
                f"the feature {name!r} has the name of a column of the table",
                hint="give the feature another name",
            )


def _refuse_duplicates(views: Sequence[ViewRows]) -> None:
    names = [name for view in views for name in view.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FeatureJoinError(
            f"several views have a feature named {', '.join(twice)}",
            hint="give each feature a name of its own",
        )
