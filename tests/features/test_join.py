"""The point-in-time join against a brute-force oracle, cell for cell."""
# ruff: noqa: DTZ001 (times of rows are naive and in UTC)

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.features.errors import FeatureJoinError
from holdfast.features.join import ViewRows, join_views, point_in_time_join

START = datetime(2011, 1, 1)
KEYS = ("city", "line")
Entity = tuple[str | None, int | None]


class Row(NamedTuple):
    """A row of the left side; times are microseconds after START."""

    at: int | None
    entity: Entity


class Feature(NamedTuple):
    """A feature row: event time, when it became available (None: never), when it was created."""

    at: int | None
    available: int | None
    created: int | None
    entity: Entity
    value: float | None


def moments(values: list[int | None]) -> pl.Series:
    return pl.Series([None if at is None else START + timedelta(microseconds=at) for at in values]).cast(
        pl.Datetime("us")
    )


def left_frame(rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "time": moments([row.at for row in rows]),
            "city": [row.entity[0] for row in rows],
            "line": [row.entity[1] for row in rows],
            "label": list(range(len(rows))),
        },
        schema_overrides={"city": pl.String, "line": pl.Int64},
    )


def view_frame(view: list[Feature], internal: bool = True) -> pl.DataFrame:
    frame = pl.DataFrame(
        {
            "time": moments([row.at for row in view]),
            "_available_at": moments([row.available for row in view]),
            "_created_at": moments([row.created for row in view]),
            "city": [row.entity[0] for row in view],
            "line": [row.entity[1] for row in view],
            "value": [row.value for row in view],
            "name": [f"v{number}" for number in range(len(view))],
        },
        schema_overrides={"city": pl.String, "line": pl.Int64, "value": pl.Float64},
    )
    return frame if internal else frame.drop("_available_at", "_created_at")


def oracle(rows: list[Row], view: list[Feature], ttl: int, keys: int, internal: bool) -> list[int | None]:
    """For each row the position of its feature row, found by looking at all of them."""
    found: list[int | None] = []
    for row in rows:
        best: int | None = None
        for position, feature in enumerate(view):
            same = row.entity[:keys] == feature.entity[:keys] and None not in row.entity[:keys]
            if not same or row.at is None or feature.at is None or feature.at > row.at:
                continue
            if internal and (feature.available is None or feature.available > row.at):
                continue
            if best is None or _rank(feature, internal) >= _rank(view[best], internal):
                best = position
        if best is not None and view[best].at < row.at - ttl:  # type: ignore[operator]
            best = None
        found.append(best)
    return found


def _rank(feature: Feature, internal: bool) -> tuple[Any, ...]:
    created = (-1 if feature.created is None else feature.created) if internal else 0
    return feature.at, created


AT = st.integers(0, 12)
ENTITY = st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from([1, 2, None]))
ROWS = st.lists(st.builds(Row, st.one_of(AT, AT, AT, st.none()), ENTITY), max_size=12)
SOMETIMES = st.one_of(AT, AT, AT, AT, st.none())
VALUE = st.sampled_from([1.0, 2.0, float("nan"), None])
VIEW = st.lists(st.builds(Feature, SOMETIMES, SOMETIMES, SOMETIMES, ENTITY, VALUE), max_size=14)


@settings(max_examples=500, deadline=None)
@given(ROWS, VIEW, st.integers(0, 6), st.integers(0, 2), st.booleans())
def test_the_join_is_the_oracle(
    rows: list[Row], view: list[Feature], ttl: int, keys: int, internal: bool
) -> None:
    left, right = left_frame(rows), view_frame(view, internal)
    joined = point_in_time_join(left, right, entity=KEYS[:keys], ttl_us=ttl, columns=["value", "name"])
    assert joined.select(left.columns).equals(left)
    assert joined.height == left.height
    expected = oracle(rows, view, ttl, keys, internal)
    assert joined["name"].to_list() == [None if found is None else f"v{found}" for found in expected]
    values = [None if found is None else view[found].value for found in expected]
    assert joined["value"].equals(pl.Series("value", values, dtype=pl.Float64))


@settings(max_examples=60, deadline=None)
@given(ROWS, VIEW, VIEW, st.integers(0, 6))
def test_several_views_are_joined_as_each_alone(
    rows: list[Row], one: list[Feature], two: list[Feature], ttl: int
) -> None:
    left = left_frame(rows)
    first = ViewRows(view_frame(one).rename({"value": "x"}), ("city",), ttl, ("x",))
    second = ViewRows(view_frame(two).rename({"value": "y"}), (), ttl + 1, ("y",))
    third = ViewRows(view_frame(two), KEYS, ttl, ("value", "name"))
    joined = join_views(left, [first, second, third])
    for view in (first, second, third):
        alone = join_views(left, [view])
        assert joined.select(view.columns).equals(alone.select(view.columns))


@settings(max_examples=60, deadline=None)
@given(ROWS, VIEW, st.integers(0, 6))
def test_availability_can_be_ignored(rows: list[Row], view: list[Feature], ttl: int) -> None:
    left, right = left_frame(rows), view_frame(view)
    columns = {"entity": ("city",), "ttl_us": ttl, "columns": ["value", "name"]}
    ignoring = point_in_time_join(left, right, use_availability=False, **columns)  # type: ignore[arg-type]
    without = point_in_time_join(left, right.drop("_available_at"), **columns)  # type: ignore[arg-type]
    assert ignoring.equals(without)


def test_rows_of_one_key_and_time_with_different_labels_all_stay() -> None:
    left = pl.DataFrame({"time": [START] * 3, "city": ["a"] * 3, "label": [0, 1, 0]})
    view = pl.DataFrame({"time": [START], "city": ["a"], "value": [5]})
    joined = point_in_time_join(left, view, entity=["city"], ttl_us=0, columns=["value"])
    assert joined.rows() == [(START, "a", 0, 5), (START, "a", 1, 5), (START, "a", 0, 5)]


def test_a_late_row_is_used_from_its_arrival_and_only_where_nothing_newer_was_known() -> None:
    """An hourly value at 1 arrives at 9, when the one at 5 is known: it is never the latest that was known."""
    view = view_frame(
        [
            Feature(0, 0, None, ("a", 1), 0.0),
            Feature(1, 9, None, ("a", 1), 1.0),
            Feature(5, 6, None, ("a", 1), 5.0),
        ]
    )
    left = left_frame([Row(at, ("a", 1)) for at in (0, 5, 6, 9, 12)])
    joined = point_in_time_join(left, view, entity=["city"], ttl_us=100, columns=["value"])
    assert joined["value"].to_list() == [0.0, 0.0, 5.0, 5.0, 5.0]


def test_key_types_follow_each_other() -> None:
    left = left_frame([Row(5, ("a", 1))])
    view = view_frame([Feature(4, 4, None, ("a", 1), 7.0)])
    narrow = view.with_columns(pl.col("line").cast(pl.Int16), pl.col("city").cast(pl.Categorical))
    joined = point_in_time_join(left.lazy(), narrow.lazy(), entity=KEYS, ttl_us=1, columns=["value"])
    assert joined["value"].to_list() == [7.0]
    text = view.with_columns(pl.col("line").cast(pl.String))
    with pytest.raises(FeatureJoinError, match="'line' is of type Int64 in the rows and String in the view"):
        point_in_time_join(left, text, entity=KEYS, ttl_us=1, columns=["value"])


def test_zones_are_converted_and_mixed_ones_refused() -> None:
    berlin = pl.DataFrame({"time": [datetime(2011, 7, 1, 12)]}).with_columns(
        pl.col("time").dt.replace_time_zone("Europe/Berlin")
    )
    view = pl.DataFrame({"time": [datetime(2011, 7, 1, 9), datetime(2011, 7, 1, 10)], "value": [9, 10]})
    joined = point_in_time_join(berlin, view, entity=(), ttl_us=0, columns=["value"])
    assert joined["value"].to_list() == [10]
    assert joined.schema["time"] == pl.Datetime("us", "Europe/Berlin")
    milliseconds = view.with_columns(
        pl.col("time").dt.replace_time_zone("America/New_York").cast(pl.Datetime("ms", "America/New_York"))
    )
    assert (
        point_in_time_join(berlin, milliseconds, entity=(), ttl_us=0, columns=["value"])["value"][0] is None
    )
    mixed = view.with_columns(pl.col("time").dt.replace_time_zone("UTC").alias("_available_at"))
    with pytest.raises(FeatureJoinError, match="'_available_at' is in UTC, 'time' has no zone"):
        point_in_time_join(berlin, mixed, entity=(), ttl_us=0, columns=["value"])
    with pytest.raises(FeatureJoinError, match="'time' of the rows is of type String, not a time"):
        point_in_time_join(
            pl.DataFrame({"time": ["2011-07-01"]}), view, entity=(), ttl_us=0, columns=["value"]
        )


def test_a_missing_key_and_a_taken_name_are_named() -> None:
    left = left_frame([Row(5, ("a", 1))])
    view = view_frame([Feature(4, 4, None, ("a", 1), 7.0)])
    with pytest.raises(FeatureJoinError, match="no column 'city'"):
        point_in_time_join(left.drop("city"), view, entity=("city",), ttl_us=1, columns=["value"])
    with pytest.raises(FeatureJoinError, match="the view has no column 'city'"):
        point_in_time_join(left, view.drop("city"), entity=("city",), ttl_us=1, columns=["value"])
    with pytest.raises(FeatureJoinError, match="'value' has the name of a column"):
        point_in_time_join(left.with_columns(value=1), view, entity=("city",), ttl_us=1, columns=["value"])
    twice = ViewRows(view, ("city",), 1, ("value",))
    with pytest.raises(FeatureJoinError, match="several views have a feature named value"):
        join_views(left, [twice, twice])


def test_the_join_is_duckdbs_asof_join() -> None:
    """The plain part of it, on many rows: no availability and no ties, which ASOF does not know."""
    duckdb = pytest.importorskip("duckdb")
    rng = np.random.default_rng(5)
    rows, features, ttl_us = 20_000, 20_000, 3 * 86_400_000_000
    span = 90 * 86_400_000_000

    def frame(count: int, **columns: Any) -> pl.DataFrame:
        times = pl.Series(rng.choice(span // 1000, count, replace=False) * 1000).cast(pl.Datetime("us"))
        return pl.DataFrame({"time": times, "city": rng.integers(0, 300, count), **columns})

    left = frame(rows, number=np.arange(rows))
    view = frame(features, value=rng.random(features))
    connection = duckdb.connect()
    for name, table in (("rows", left), ("view", view)):
        columns = table.with_columns(pl.col("time").dt.epoch("us")).to_dict(as_series=False)
        names = ", ".join(f"unnest(${column}) AS {column}" for column in columns)
        connection.execute(f"CREATE TABLE {name} AS SELECT {names}", columns)
    found = connection.execute(
        "SELECT CASE WHEN view.time >= rows.time - ? THEN value END FROM rows ASOF LEFT JOIN view"
        " ON rows.city = view.city AND rows.time >= view.time ORDER BY number",
        [ttl_us],
    ).fetchall()
    joined = point_in_time_join(left, view, entity=["city"], ttl_us=ttl_us, columns=["value"])
    assert joined["value"].to_list() == [value for (value,) in found]
