"""The point-in-time join against a brute-force oracle."""
# ruff: noqa: DTZ001 (times of rows are naive and in UTC)

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.features.errors import FeatureJoinError
from holdfast.features.join import point_in_time_join

START = datetime(2011, 1, 1)
KEYS = ("city", "line")
Row = tuple[int, str | None, int | None]


def frame(rows: list[Row], **columns: list[Any]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "time": [START + timedelta(microseconds=at) for at, _, _ in rows],
            "city": [city for _, city, _ in rows],
            "line": [line for _, _, line in rows],
        }
        | columns,
        schema_overrides={"time": pl.Datetime("us"), "city": pl.String, "line": pl.Int64},
    )


def oracle(rows: list[Row], view: list[Row], ttl: int, keys: int) -> list[int | None]:
    """For each row the position of its feature row, found by looking at all of them."""
    found: list[int | None] = []
    for at, *entity in rows:
        best: int | None = None
        for position, (time, *other) in enumerate(view):
            same = entity[:keys] == other[:keys] and None not in entity[:keys]
            if same and at - ttl <= time <= at and (best is None or time >= view[best][0]):
                best = position
        found.append(best)
    return found


ROWS = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from(["a", "b", None]), st.sampled_from([1, 2, None])),
    max_size=12,
)


@settings(max_examples=300, deadline=None)
@given(ROWS, ROWS, st.integers(0, 6), st.integers(0, 2))
def test_the_join_is_the_oracle(rows: list[Row], view: list[Row], ttl: int, keys: int) -> None:
    left = frame(rows, number=list(range(len(rows))))
    right = frame(view, value=list(range(len(view))), name=[f"v{number}" for number in range(len(view))])
    joined = point_in_time_join(left, right.lazy(), entity=KEYS[:keys], ttl_us=ttl, columns=["value", "name"])
    assert joined.select(left.columns).equals(left)
    expected = oracle(rows, view, ttl, keys)
    assert joined["value"].to_list() == expected
    assert joined["name"].to_list() == [None if value is None else f"v{value}" for value in expected]


def test_key_types_follow_the_rows() -> None:
    left = frame([(5, "a", 1)])
    right = frame([(4, "a", 1)], value=[7]).with_columns(pl.col("line").cast(pl.Int16)).lazy()
    joined = point_in_time_join(left.lazy(), right, entity=KEYS, ttl_us=1, columns=["value"])
    assert joined["value"].to_list() == [7]


def test_a_missing_key_and_a_taken_name_are_named() -> None:
    left = frame([(5, "a", 1)])
    view = frame([(4, "a", 1)], value=[7]).lazy()
    with pytest.raises(FeatureJoinError, match="no column 'city'"):
        point_in_time_join(left.drop("city"), view, entity=("city",), ttl_us=1, columns=["value"])
    with pytest.raises(FeatureJoinError, match="'value' has the name of a column"):
        point_in_time_join(left.with_columns(value=1), view, entity=("city",), ttl_us=1, columns=["value"])
