"""Running feature functions, and proving that they do not see the future.

The same two functions serve both paths: training evaluates a view over the whole table, serving over the recent
history of the entities whose labels just came.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from holdfast.base.clock import Micros, format_duration, format_time
from holdfast.data.source import AVAILABLE_AT, TIME
from holdfast.features.aggregation.windows import EVENT_AT, aggregate_at
from holdfast.features.errors import FeatureFunctionError, TimeTravelError
from holdfast.features.join import ViewRows, join_views
from holdfast.features.records import FeatureViewSpec
from holdfast.features.times import CREATED_AT

FeatureFunction = Callable[[pl.LazyFrame], pl.LazyFrame]

_INTERNAL = "_"
_RELATIVE_TOLERANCE = 1e-9
_ABSOLUTE_TOLERANCE = 1e-12
_PLAIN_TYPES = (pl.Float64(), pl.Int64(), pl.Boolean(), pl.String())


def compute_view(function: FeatureFunction, table: pl.LazyFrame, spec: FeatureViewSpec) -> pl.DataFrame:
    """The rows of a view: `time` (Datetime µs UTC), the entity columns, the features; sorted by time.

    The function sees the table's columns, `time` and the label, not the internal columns. Rows at one time keep
    the function's order, so that the last of them is the one that counts. Times that it returns as `available_at`
    and `created_at` become `_available_at` and `_created_at`: from when a row counts, and which of several at one
    time is the newest. For a view with aggregations the rows are those to aggregate.

    Raises:
        FeatureFunctionError: the function raised, or its result has no usable `time`, lacks an entity column, or
            has no features, or features that are neither numbers, booleans nor strings.
    """
    names = [name for name in table.collect_schema().names() if not name.startswith(_INTERNAL)]
    try:
        result = function(table.select(names))
    except Exception as error:
        raise _raised(function, spec, error) from error
    if not isinstance(result, pl.LazyFrame | pl.DataFrame):
        raise FeatureFunctionError(
            f"{spec.name} returned {type(result).__name__}, not a polars frame",
            hint="return a LazyFrame with time, the entity columns and the features",
        )
    try:
        frame = result.lazy().collect()
    except Exception as error:
        raise _raised(function, spec, error) from error
    frame = _checked(frame, spec)
    return frame if frame[TIME].is_sorted() else frame.sort(TIME, maintain_order=True)


def feature_columns(frame: pl.DataFrame, spec: FeatureViewSpec) -> tuple[str, ...]:
    """The features of a computed view: its aggregations, or everything but times and the entity."""
    if spec.aggregations:
        return tuple(one.name for one in spec.aggregations)
    return _own_columns(frame.columns, spec)


def _own_columns(names: Sequence[str], spec: FeatureViewSpec) -> tuple[str, ...]:
    reserved = {TIME, AVAILABLE_AT, CREATED_AT, *spec.entity}
    return tuple(name for name in names if name not in reserved)


def check_time_travel(
    function: FeatureFunction,
    table: pl.LazyFrame,
    spec: FeatureViewSpec,
    *,
    instants: int,
    rng: np.random.Generator,
    label_delay_us: int | None = None,
) -> None:
    """Proves on a sample that a feature row at time t uses only what was known at t.

    For `instants` randomly chosen feature rows the function runs again on what serving would have had: rows known
    by then, of that entity, within lookback + TTL. Both results must have the same latest row.

    Args:
        table: the rows with `_available_at`.
        label_delay_us: where given, a row counts as known at the latest when its label was due: a label that
            came later than declared is no fault of the function, and must not stop a retraining.

    Raises:
        TimeTravelError: names view, column, instant, both values, and what to do.
    """
    rows = table.collect()
    full = compute_view(function, rows.lazy(), spec)
    rows = rows.with_columns(_known_at(rows, label_delay_us).alias(AVAILABLE_AT))
    count = min(instants, full.height)
    for index in sorted(rng.choice(full.height, size=count, replace=False).tolist() if count else []):
        entity = full.select(spec.entity).row(index) if spec.entity else ()
        at = max(full[name].dt.epoch("us")[index] for name in (TIME, AVAILABLE_AT) if name in full.columns)
        _check_instant(function, rows, full, spec, entity, at)


def _check_instant(
    function: FeatureFunction,
    rows: pl.DataFrame,
    full: pl.DataFrame,
    spec: FeatureViewSpec,
    entity: tuple[Any, ...],
    at: Micros,
) -> None:
    columns = feature_columns(full, spec)
    expected = _latest(full, spec, entity, at, columns)
    known = rows.filter(pl.col(AVAILABLE_AT).dt.epoch("us") <= at)
    own = known.filter(_of_entity(spec, entity))
    recent = own.filter(pl.col(TIME).dt.epoch("us") >= at - spec.lookback_us - spec.ttl_us)
    found = _recompute(function, recent, spec, entity, at, columns)
    differing = _first_difference(columns, expected, found)
    if differing is None:
        return
    column, full_value, known_value = differing
    message = (
        f"{spec.name}: {column!r}{_named(spec, entity)} at {format_time(at)} is {full_value}, "
        f"but what serving would have had then gives {known_value}"
    )
    if _first_difference(columns, expected, _recompute(function, own, spec, entity, at, columns)) is None:
        hint = (
            f"it needs more history than its lookback of {format_duration(spec.lookback_us)}: "
            "declare a longer one with @hf.features(lookback=…)"
        )
    elif _first_difference(columns, expected, _recompute(function, known, spec, entity, at, columns)) is None:
        hint = "it uses rows of other entities: compute every column within its entity, e.g. with .over(key)"
    else:
        hint = (
            f"it uses rows of {spec.table} before they were known: give each feature row the time at which its "
            "inputs are known, e.g. pl.col('time') + the label's delay, and leave later rows out"
        )
    raise TimeTravelError(message, hint=hint)


def _recompute(
    function: FeatureFunction,
    rows: pl.DataFrame,
    spec: FeatureViewSpec,
    entity: tuple[Any, ...],
    at: Micros,
    columns: Sequence[str],
) -> tuple[Any, ...] | None:
    if rows.is_empty():
        return None
    return _latest(compute_view(function, rows.lazy(), spec), spec, entity, at, columns)


def _latest(
    view: pl.DataFrame, spec: FeatureViewSpec, entity: tuple[Any, ...], at: Micros, columns: Sequence[str]
) -> tuple[Any, ...] | None:
    """The features of the entity at an instant, as training and serving have them; None where there are none."""
    own = view.filter(_of_entity(spec, entity)).drop(spec.entity)
    asked = pl.DataFrame({TIME: [at]}, schema={TIME: pl.Int64}).cast({TIME: pl.Datetime("us")})
    if spec.aggregations:
        found = aggregate_at(own, asked, entity=(), aggregations=spec.aggregations, ttl_us=spec.ttl_us)
        return None if found[EVENT_AT].item() is None else found.select(columns).row(0)
    found = join_views(
        asked, [ViewRows(own.with_columns(_THERE), (), spec.ttl_us, (*columns, _THERE.meta.output_name()))]
    )
    return found.select(columns).row(0) if found[_THERE.meta.output_name()].item() else None


_THERE = pl.lit(True).alias("_there")


def _of_entity(spec: FeatureViewSpec, entity: tuple[Any, ...]) -> pl.Expr:
    matches = [
        pl.col(name).eq_missing(pl.lit(value)) for name, value in zip(spec.entity, entity, strict=True)
    ]
    return pl.all_horizontal(matches) if matches else pl.lit(True)


def _first_difference(
    columns: Sequence[str], expected: tuple[Any, ...] | None, found: tuple[Any, ...] | None
) -> tuple[str, str, str] | None:
    if expected is None and found is None:
        return None
    for index, name in enumerate(columns):
        left = "no row" if expected is None else expected[index]
        right = "no row" if found is None else found[index]
        if not _same(left, right):
            return name, _text(left), _text(right)
    return None


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        if math.isnan(left) or math.isnan(right):
            return math.isnan(left) and math.isnan(right)
        return math.isclose(left, right, rel_tol=_RELATIVE_TOLERANCE, abs_tol=_ABSOLUTE_TOLERANCE)
    return bool(left == right)


def _text(value: Any) -> str:
    return "null" if value is None else str(value)


def _named(spec: FeatureViewSpec, entity: tuple[Any, ...]) -> str:
    pairs = ", ".join(f"{name} = {value!r}" for name, value in zip(spec.entity, entity, strict=True))
    return f" of {pairs}" if pairs else ""


def _known_at(rows: pl.DataFrame, label_delay_us: int | None) -> pl.Series:
    known = rows[AVAILABLE_AT] if AVAILABLE_AT in rows.columns else rows[TIME]
    if label_delay_us is None:
        return known
    due = pl.col(TIME) + pl.duration(microseconds=label_delay_us)
    return rows.select(pl.min_horizontal(known, due)).to_series()


def _checked(frame: pl.DataFrame, spec: FeatureViewSpec) -> pl.DataFrame:
    for name in (TIME, *spec.entity):
        if name not in frame.columns:
            raise FeatureFunctionError(
                f"{spec.name} returned no column {name!r}",
                hint=f"it returned: {', '.join(frame.columns) or 'no columns'}; keep time"
                + (f" and {', '.join(spec.entity)}" if spec.entity else ""),
            )
    type_ = frame.schema[TIME]
    if not isinstance(type_, pl.Datetime) or frame[TIME].null_count():
        what = f"of type {type_}" if not isinstance(type_, pl.Datetime) else "null in some rows"
        raise FeatureFunctionError(
            f"{spec.name}: the column 'time' is {what}", hint="compute it from the table's own time"
        )
    frame, known = _reserved_times(frame, spec)
    features = spec.inputs if spec.aggregations else _own_columns(frame.columns, spec)
    if not features and not spec.aggregations:
        raise FeatureFunctionError(
            f"{spec.name} returned no feature columns", hint="add at least one beside time and the entity"
        )
    for name in features:
        if name not in frame.columns:
            raise FeatureFunctionError(
                f"{spec.name} aggregates {name!r}, but its function returned no such column",
                hint=f"it returned: {', '.join(frame.columns)}",
            )
    order = [TIME, *known, *spec.entity, *features]
    if type_ == pl.Datetime("us") and all(frame.schema[name] in _PLAIN_TYPES for name in features):
        return frame if frame.columns == order else frame.select(order)
    time = pl.col(TIME)
    if type_.time_zone is not None:
        time = time.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    kept = [time.cast(pl.Datetime("us")), *[pl.col(name) for name in (*known, *spec.entity)]]
    return frame.select([*kept, *[_plain(frame.schema[name], name, spec) for name in features]])


def _reserved_times(frame: pl.DataFrame, spec: FeatureViewSpec) -> tuple[pl.DataFrame, list[str]]:
    """The frame with `available_at` and `created_at`, where they are times, under their internal names in UTC."""
    known: dict[str, pl.Expr] = {}
    taken = []
    for name, internal in (("available_at", AVAILABLE_AT), ("created_at", CREATED_AT)):
        type_ = frame.schema.get(name)
        if isinstance(type_, pl.Datetime) and name not in spec.entity:
            time = pl.col(name)
            if type_.time_zone is not None:
                time = time.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
            known[internal] = time.cast(pl.Datetime("us"))
            taken.append(name)
    if not known:
        return frame, []
    frame = frame.with_columns(**known).drop(taken)
    return frame, list(known)


def _plain(type_: pl.DataType, name: str, spec: FeatureViewSpec) -> pl.Expr:
    if type_ == pl.Boolean or type_ == pl.String:
        return pl.col(name)
    if type_.is_integer():
        return pl.col(name).cast(pl.Int64)
    if type_.is_numeric():
        return pl.col(name).cast(pl.Float64)
    if isinstance(type_, pl.Categorical | pl.Enum):
        return pl.col(name).cast(pl.String)
    if isinstance(type_, pl.Null):
        return pl.col(name).cast(pl.Float64)
    raise FeatureFunctionError(
        f"{spec.name}: the feature {name!r} is of type {type_}",
        hint="a feature is a number, a boolean or a string",
    )


def _raised(function: FeatureFunction, spec: FeatureViewSpec, error: Exception) -> FeatureFunctionError:
    """One sentence with the line of the user's file; polars' own explanation is cut to its first line."""
    text = str(error).strip().splitlines()
    code = inspect.unwrap(function).__code__
    line = code.co_firstlineno
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == code.co_filename:
            line = trace.tb_lineno
        trace = trace.tb_next
    return FeatureFunctionError(
        f"{spec.name} raised {type(error).__name__}: {text[0] if text else ''} "
        f"({Path(code.co_filename).name}, line {line})",
        hint="correct the feature function",
    )
