"""Windowed aggregates against a brute-force oracle: every row, every instant, plain loops."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.features.aggregation import windows
from holdfast.features.aggregation.exact import running_sums
from holdfast.features.aggregation.windows import EVENT_AT, aggregate_at
from holdfast.features.errors import FeatureFunctionError
from holdfast.features.records import Aggregation

OPS = ("sum", "mean", "count", "distinct", "last", "min", "max")
WINDOWS = (1, 3, 8)
AGGREGATIONS = [Aggregation(f"x_{op}_{w}", op, "x", w) for op in OPS for w in WINDOWS]
AGGREGATIONS += [Aggregation(f"count_{w}", "count", None, w) for w in WINDOWS]
AGGREGATIONS += [Aggregation(f"s_{op}_3", op, "s", 3) for op in ("count", "distinct", "last")]
AGGREGATIONS += [Aggregation(f"n_{op}_3", op, "n", 3) for op in ("sum", "min", "max", "mean", "distinct")]


class Event(NamedTuple):
    time: int
    available: int
    created: int
    key: str
    x: float | None
    s: str | None
    n: int | None


class Ask(NamedTuple):
    time: int | None
    key: str | None


def events_frame(events: list[Event]) -> pl.DataFrame:
    schema = {
        "time": pl.Int64,
        "_available_at": pl.Int64,
        "_created_at": pl.Int64,
        "key": pl.String,
        "x": pl.Float64,
        "s": pl.String,
        "n": pl.Int64,
    }
    frame = pl.DataFrame(events, schema=schema, orient="row")
    return frame.with_columns(pl.col("time", "_available_at", "_created_at").cast(pl.Datetime("us")))


def asked_frame(asked: list[Ask]) -> pl.DataFrame:
    frame = pl.DataFrame(asked, schema={"time": pl.Int64, "key": pl.String}, orient="row")
    return frame.with_columns(pl.col("time").cast(pl.Datetime("us")))


def oracle(events: list[Event], ask: Ask, one: Aggregation, ttl: int) -> Any:
    if ask.time is None or ask.key is None:
        return None
    known = [
        event for event in events if event.key == ask.key and max(event.time, event.available) <= ask.time
    ]
    if not known:
        return None
    latest = max(enumerate(known), key=lambda item: (item[1].time, item[1].created, item[0]))[1]
    if latest.time < ask.time - ttl:
        return None
    inside = [event for event in known if event.time > ask.time - one.window_us]
    if one.column is None:
        return len(inside)
    if one.op == "last":
        return getattr(latest, one.column) if inside else None
    values = [getattr(event, one.column) for event in inside]
    values = [value for value in values if value is not None and value == value]
    return summary(one.op, values)


def summary(op: str, values: list[Any]) -> Any:
    if op == "count":
        return len(values)
    if op == "distinct":
        return len(set(values))
    if op == "sum":
        return float(sum(Fraction(value) for value in values))
    if not values:
        return None
    if op == "mean":
        return float(sum(Fraction(value) for value in values)) / len(values)
    return min(values) if op == "min" else max(values)


def same(found: Any, expected: Any) -> bool:
    if isinstance(found, float) and isinstance(expected, float):
        return math.isclose(found, expected, rel_tol=1e-15, abs_tol=0) or (
            found != found and expected != expected
        )
    return type(found) is type(expected) and found == expected


NUMBER = st.sampled_from([None, 0.0, 1.0, -2.5, 0.1, 1e16, -1e16, 3e-9, float("nan")])
EVENTS = st.lists(
    st.builds(
        Event,
        st.integers(0, 15),
        st.integers(0, 20),
        st.integers(0, 2),
        st.sampled_from("ab"),
        NUMBER,
        st.sampled_from([None, "u", "v", "w"]),
        st.sampled_from([None, 0, 3, -7, 2**62]),
    ),
    max_size=14,
)
ASKED = st.lists(
    st.builds(Ask, st.none() | st.integers(0, 25), st.sampled_from(["a", "b", "c", None])), max_size=12
)


@settings(max_examples=200, deadline=None)
@given(EVENTS, ASKED, st.integers(0, 12), st.booleans())
def test_the_aggregates_are_the_oracle(
    events: list[Event], asked: list[Ask], ttl: int, many_entities: bool
) -> None:
    """With very many entities or years, entity and time fit into one integer only as ranks."""
    with pytest.MonkeyPatch.context() as patch:
        if many_entities:
            patch.setattr(windows, "_KEY_MOST", 0)
        found = aggregate_at(
            events_frame(events), asked_frame(asked), entity=["key"], aggregations=AGGREGATIONS, ttl_us=ttl
        )
    assert found.height == len(asked)
    for one in AGGREGATIONS:
        for ask, value in zip(asked, found[one.name].to_list(), strict=True):
            expected = oracle(events, ask, one, ttl)
            assert same(value, expected), (one.name, ask, value, expected)


@settings(max_examples=60, deadline=None)
@given(EVENTS, ASKED, st.permutations(range(6)))
def test_the_order_of_the_rows_and_who_else_is_asked_change_no_bit(
    events: list[Event], asked: list[Ask], order: list[int]
) -> None:
    """So that a value computed online for one entity is the value computed for all of them at once."""
    events = events[:6]
    plain = [one for one in AGGREGATIONS if one.op != "last"]  # ties of `last` are decided by the order
    whole = aggregate_at(
        events_frame(events), asked_frame(asked), entity=["key"], aggregations=plain, ttl_us=9
    )
    shuffled = events_frame([events[place] for place in order if place < len(events)])
    for place, ask in enumerate(asked):
        own = shuffled.filter(pl.col("key") == ask.key) if ask.key else shuffled.clear()
        alone = aggregate_at(own, asked_frame([ask]), entity=["key"], aggregations=plain, ttl_us=9)
        assert alone.row(0) == whole.row(place)


def test_without_a_key_all_rows_are_one_entity() -> None:
    events = [Event(1, 1, 0, "a", 2.0, "u", 1), Event(2, 5, 0, "b", 3.0, "v", 1)]
    found = aggregate_at(
        events_frame(events).drop("key"),
        asked_frame([Ask(2, "a"), Ask(5, "a"), Ask(9, "a"), Ask(11, "a")]).drop("key"),
        entity=[],
        aggregations=[Aggregation("total", "sum", "x", 8)],
        ttl_us=8,
    )
    assert found["total"].to_list() == [2.0, 5.0, 3.0, None]
    assert found[EVENT_AT].to_list() == [1, 2, 2, None]


def test_text_has_no_sum() -> None:
    events = events_frame([Event(1, 1, 0, "a", 2.0, "u", 1)])
    with pytest.raises(FeatureFunctionError, match="'s' is of type String, of which there is no sum"):
        aggregate_at(
            events,
            asked_frame([Ask(2, "a")]),
            entity=["key"],
            aggregations=[Aggregation("x", "sum", "s", 8)],
            ttl_us=8,
        )


def test_infinity_stays_where_it_is() -> None:
    events = [Event(1, 1, 0, "a", math.inf, None, 0), Event(2, 2, 0, "a", 1.0, None, 0)]
    events.append(Event(3, 3, 0, "a", -math.inf, None, 0))
    found = aggregate_at(
        events_frame(events),
        asked_frame([Ask(1, "a"), Ask(2, "a"), Ask(3, "a"), Ask(4, "a"), Ask(6, "a")]),
        entity=["key"],
        aggregations=[Aggregation("x", "sum", "x", 3)],
        ttl_us=9,
    )
    assert [str(value) for value in found["x"]] == ["inf", "inf", "nan", "-inf", "0.0"]


FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=200, deadline=None)
@given(st.lists(FLOATS, min_size=1, max_size=30))
def test_sums_are_exact(values: list[float]) -> None:
    count = len(values)
    first, end = np.arange(count), np.full(count, count)
    sums = running_sums(np.array(values), first, end, count)
    for place in range(count):
        exact = sum(Fraction(value) for value in values[: place + 1])
        try:
            expected = float(exact)
        except OverflowError:
            expected = math.inf if exact > 0 else -math.inf
        assert math.isclose(sums[place], expected, rel_tol=1e-15, abs_tol=5e-324)
