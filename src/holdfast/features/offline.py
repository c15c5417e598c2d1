"""Features of rows of the past, as they could have been known then: what models are trained on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

import polars as pl

from holdfast.base.clock import Micros, to_datetime
from holdfast.data.source import TIME
from holdfast.features.aggregation.windows import aggregate_at
from holdfast.features.errors import FeatureJoinError
from holdfast.features.join import ViewRows, join_views
from holdfast.features.keys import same_key_types
from holdfast.features.records import FeatureViewSpec

_SEEN = "_seen"


class ComputedView(NamedTuple):
    """A view as `compute_view` computed it, and the features of it that are wanted."""

    spec: FeatureViewSpec
    frame: pl.DataFrame
    columns: tuple[str, ...]


def join_features(rows: pl.DataFrame, views: Sequence[ComputedView]) -> pl.DataFrame:
    """The rows with the features of every view as of each row's time; one output row per input row, in order.

    Features of plain views are joined point in time, windowed aggregates are evaluated at each row's time.

    Raises:
        FeatureJoinError: the rows lack a key, or two columns have one name.
        FeatureFunctionError: text is to be summed.
    """
    plain = {
        number: ViewRows(view.frame, view.spec.entity, view.spec.ttl_us, view.columns)
        for number, view in enumerate(views)
        if not view.spec.aggregations
    }
    joined = join_views(rows, list(plain.values()))
    for view in views:
        if view.spec.aggregations:
            joined = _with_aggregates(joined, view)
    order = [*rows.columns, *(name for view in views for name in view.columns)]
    return joined if joined.columns == order else joined.select(order)


def _with_aggregates(rows: pl.DataFrame, view: ComputedView) -> pl.DataFrame:
    spec = view.spec
    for name in (TIME, *spec.entity):
        if name not in rows.columns:
            raise FeatureJoinError(
                f"the rows have no column {name!r}, by which the features of {spec.name} are joined",
                hint=f"their columns are: {', '.join(rows.columns)}",
            )
    for name in view.columns:
        if name in rows.columns:
            raise FeatureJoinError(
                f"the feature {name!r} has the name of a column of the table",
                hint="give the feature another name",
            )
    asked, frame = same_key_types(rows.select(TIME, *spec.entity), view.frame, spec.entity)
    wanted = [one for one in spec.aggregations if one.name in view.columns]
    found = aggregate_at(frame, asked, entity=spec.entity, aggregations=wanted, ttl_us=spec.ttl_us)
    return rows.hstack(found.select(view.columns))


def snapshot_grid(
    entities: pl.DataFrame, from_at: Micros, to_at: Micros, every_us: int, seen: str | None = None
) -> pl.DataFrame:
    """Rows for training without an entity frame: every entity at every step of a grid, both ends included.

    Args:
        entities: the entity columns; equal rows count once.
        seen: a column of times in `entities`; an entity then appears from its first time on, so that nothing is
            asked about one that was not there yet.

    Returns:
        `time` (Datetime µs) and the entity columns, by time and then in the order in which entities first appear.

    Example:
        >>> cities = pl.DataFrame({"city": ["a", "b", "a"]})
        >>> snapshot_grid(cities, 0, 7_200_000_000, 3_600_000_000).height
        6
    """
    if every_us <= 0 or to_at < from_at:
        raise FeatureJoinError("a grid needs a step above zero and an end after its start")
    keys = [name for name in entities.columns if name != seen]
    if seen is None:
        known = entities.select(keys).unique(maintain_order=True)
    else:
        known = entities.group_by(keys, maintain_order=True).agg(pl.col(seen).min().alias(_SEEN))
    start, end = (to_datetime(at).replace(tzinfo=None) for at in (from_at, to_at))
    step = timedelta(microseconds=every_us)
    times = pl.datetime_range(start, end, step, time_unit="us", eager=True).alias(TIME)
    grid = pl.DataFrame(times).join(known, how="cross")
    if seen is not None:
        grid = grid.filter(pl.col(_SEEN) <= pl.col(TIME))
    return grid.select(TIME, *keys)
