"""What an aggregated view answers from now on: the instants at which it changes, with its values there.

Between two rows arriving, a windowed value changes only when a row leaves its window. These instants are known in
advance; so the online store keeps the value of each, and a lookup at any time is exact without adding anything up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec
import polars as pl

from holdfast.base.clock import Micros
from holdfast.data.source import AVAILABLE_AT, TIME
from holdfast.features.aggregation.windows import EVENT_AT, aggregate_at
from holdfast.features.online.packing import TailRow
from holdfast.features.records import FeatureViewSpec

_AT = "_at"


def change_points(
    rows: pl.DataFrame, spec: FeatureViewSpec, now: Micros, *, entity: Sequence[str], before_now: int = 1
) -> dict[tuple[Any, ...], list[TailRow]]:
    """By entity the last `before_now` changes up to now and all later ones, ascending.

    Args:
        rows: the rows to aggregate, with `time` and perhaps `_available_at`, back to the longest window before now.
        entity: the columns that name the entity.
    """
    points = _points(rows, spec, list(entity))
    past = points.filter(pl.col(_AT) <= now)
    past = past.group_by(entity, maintain_order=True).tail(before_now) if entity else past.tail(before_now)
    points = pl.concat([past, points.filter(pl.col(_AT) > now)])
    asked = points.select(pl.col(_AT).cast(pl.Datetime("us")).alias(TIME), *entity)
    found = aggregate_at(rows, asked, entity=entity, aggregations=spec.aggregations, ttl_us=spec.ttl_us)
    pack = msgspec.msgpack.Encoder().encode
    tails: dict[tuple[Any, ...], list[TailRow]] = defaultdict(list)
    keys = points.select(entity).rows() if entity else [()] * points.height
    values = found.select(one.name for one in spec.aggregations).rows()
    for key, at, event_at, row in zip(
        keys, points[_AT].to_list(), found[EVENT_AT].to_list(), values, strict=True
    ):
        if event_at is not None:
            tails[key].append(TailRow(at, event_at, 0, pack(row)))
    return tails


def _points(rows: pl.DataFrame, spec: FeatureViewSpec, entity: list[str]) -> pl.DataFrame:
    """Every instant at which a row begins to count or leaves a window, ascending for each entity."""
    time = pl.col(TIME).dt.epoch("us")
    begins = (
        pl.max_horizontal(time, pl.col(AVAILABLE_AT).dt.epoch("us")) if AVAILABLE_AT in rows.columns else time
    )
    windows = sorted({one.window_us for one in spec.aggregations})
    instants = [rows.select(*entity, begins.alias(_AT))]
    instants += [
        rows.filter(begins < time + window).select(*entity, (time + window).alias(_AT)) for window in windows
    ]
    points = pl.concat(instants).drop_nulls()
    return points.unique().sort(*entity, _AT)
