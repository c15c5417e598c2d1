"""`hf.training_frame`: features of the past in Python, as they could have been known then."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from holdfast.base.clock import parse_time
from holdfast.base.errors import DeclarationError
from holdfast.sdk import checks
from holdfast.sdk.feature_views import feature_spec

if TYPE_CHECKING:
    import polars as pl

    from holdfast.features.offline import ComputedView


def training_frame(
    features: Sequence[Callable[..., Any]],
    rows: pl.DataFrame | None = None,
    *,
    every: str | timedelta | None = None,
    start: str | None = None,
    end: str | None = None,
) -> pl.DataFrame:
    """Rows with the features of several views as of each row's time: one output row for each input row, in order.

    Without rows the frame is a grid of snapshots: every entity, from the first time it was seen, at every step
    between `start` and `end`, both ends included.

    Args:
        features: functions declared with `@hf.features(table=…)` or `@hf.request_features`.
        rows: have `time` (a time with a zone, or one in UTC) and the views' entity columns.
        every: the step of the grid, where there are no rows. The views must be about one entity.
        start: of the grid, in ISO 8601; the first time of any view by default.
        end: of the grid; the last time of any view by default.

    Raises:
        DeclarationError: neither rows nor a step is given, or a view was declared without its table.
        HoldfastError: a source cannot be read, a function raised, or the rows lack a key.

    Example:
        frame = hf.training_frame([weather_now, carrier_record], flights)
        daily = hf.training_frame([carrier_record], every="1d")
    """
    from holdfast.features.offline import join_features
    from holdfast.features.request import with_request_features

    specs = [feature_spec(function) for function in features]
    computed = [
        _computed(function) for function, spec in zip(features, specs, strict=True) if spec.kind == "table"
    ]
    if rows is None:
        rows = _grid(computed, every, start, end)
    joined = join_features(rows, computed)
    for function, spec in zip(features, specs, strict=True):
        if spec.kind == "request":
            joined, _ = with_request_features(joined, function, spec)
    return joined


def _computed(function: Callable[..., Any]) -> ComputedView:
    from holdfast.features.compute import compute_view, feature_columns
    from holdfast.features.offline import ComputedView
    from holdfast.features.tables import declared_rows

    spec = feature_spec(function)
    table = getattr(function, "__holdfast_feature_table__", None)
    if table is None:
        raise DeclarationError(
            f"{spec.name} was declared without its table", hint="write @hf.features(table=…) above it"
        )
    declared = table.spec
    if declared.source is not None and not Path(declared.source).is_absolute():
        folder = Path(inspect.unwrap(function).__code__.co_filename).absolute().parent
        declared = msgspec.structs.replace(declared, source=str(folder / declared.source))
    frame = compute_view(function, declared_rows(table, declared).lazy(), spec)
    return ComputedView(spec, frame, feature_columns(frame, spec))


def _grid(
    computed: Sequence[ComputedView], every: str | timedelta | None, start: str | None, end: str | None
) -> pl.DataFrame:
    import polars as pl

    from holdfast.features.offline import snapshot_grid

    if every is None:
        raise DeclarationError("neither rows nor a step is given", hint='pass rows, or every="1d"')
    entities = {view.spec.entity for view in computed}
    if len(entities) != 1 or not next(iter(entities)):
        raise DeclarationError(
            "a grid needs views of one entity", hint="pass rows with the keys of all of them instead"
        )
    (entity,) = entities
    seen = pl.concat([view.frame.select("time", *entity) for view in computed])
    times = seen["time"].dt.epoch("us")
    first, last = times.min(), times.max()
    from_at = parse_time(start) if start is not None else first
    to_at = parse_time(end) if end is not None else last
    assert isinstance(from_at, int)
    assert isinstance(to_at, int)
    return snapshot_grid(seen.drop_nulls(), from_at, to_at, checks.span(every, "every"), seen="time")
