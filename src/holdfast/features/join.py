"""The point-in-time join: for every row, the latest feature row that it could have known."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import polars as pl

from holdfast.data.source import TIME
from holdfast.features.errors import FeatureJoinError

_ROW = "_row"


def point_in_time_join(
    rows: pl.DataFrame | pl.LazyFrame,
    view: pl.LazyFrame,
    *,
    entity: Sequence[str],
    ttl_us: int,
    columns: Sequence[str],
) -> pl.DataFrame:
    """Adds the view's columns to the rows: one output row per input row, in order.

    A row at time t gets the view's latest row of the same entity with `t - ttl <= time <= t`, both ends included;
    of several at one time the last one, which is the later created. Where there is none, and where a key is
    null, the features are null.

    Args:
        rows: has `time` (Datetime µs) and the entity columns.
        view: has `time`, the entity columns and the features, as `compute_view` returns them.
        entity: the columns that name the entity; none for a single series.
        ttl_us: how old a value may be, in microseconds.
        columns: the features to add.

    Raises:
        FeatureJoinError: the rows lack an entity column, or have a column of a feature's name.

    Example:
        >>> from datetime import datetime
        >>> rows = pl.DataFrame({"time": [datetime(2011, 1, 1, 9)]})
        >>> view = pl.LazyFrame({"time": [datetime(2011, 1, 1, 8)], "demand": [16.0]})
        >>> hour_us = 3_600_000_000
        >>> point_in_time_join(rows, view, entity=(), ttl_us=hour_us, columns=["demand"])["demand"].item()
        16.0
        >>> point_in_time_join(rows, view, entity=(), ttl_us=hour_us - 1, columns=["demand"])["demand"].item()
    """
    left = rows.lazy().collect()
    _check(left, entity, columns)
    keys = left.select(TIME, *entity).with_row_index(_ROW).sort(TIME, maintain_order=True)
    right = (
        view.select(TIME, *[pl.col(name).cast(left.schema[name]) for name in entity], *columns)
        .drop_nulls([TIME, *entity])
        .unique([TIME, *entity], keep="last", maintain_order=True)
        .sort(TIME)
        .collect()
    )
    joined = keys.join_asof(
        right,
        on=TIME,
        by=list(entity) or None,
        strategy="backward",
        tolerance=timedelta(microseconds=ttl_us),
        check_sortedness=False,  # both sides were sorted above; polars cannot see it through `by`
    )
    return left.hstack(joined.sort(_ROW).select(columns))


def _check(rows: pl.DataFrame, entity: Sequence[str], columns: Sequence[str]) -> None:
    for name in (TIME, *entity):
        if name not in rows.columns:
            raise FeatureJoinError(
                f"the rows have no column {name!r}, by which features are joined",
                hint=f"their columns are: {', '.join(rows.columns)}",
            )
    for name in columns:
        if name in rows.columns:
            raise FeatureJoinError(
                f"the feature {name!r} has the name of a column of the table",
                hint="give the feature another name",
            )
