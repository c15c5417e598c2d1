"""What every online store must do: answer as the offline join does, whatever was written in which order."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.features.errors import OnlineStoreError
from holdfast.features.offline import ComputedView, join_features
from holdfast.features.online.backend import OnlineBackend, Stored
from holdfast.features.online.writing import forget_entity, write_view
from holdfast.features.records import Aggregation, FeatureView, FeatureViewSpec
from tests.features.online.conftest import Opener

TTL = 6
OPS = ("mean", "distinct", "last", "min")
AGGREGATIONS = (
    *(Aggregation(f"x_{op}_5", op, "x", 5) for op in OPS),
    Aggregation("x_sum_2", "sum", "x", 2),
)
AGGREGATIONS += (Aggregation("s_last_5", "last", "s", 5), Aggregation("count_9", "count", None, 9))
_fresh = itertools.count(1)

PLAIN = FeatureViewSpec("weather", "weather", TTL, 0, ("key",))
WINDOWED = FeatureViewSpec("record", "landings", TTL, 9, ("key",), aggregations=AGGREGATIONS)

Row = tuple[int, int, int, str, float | None, str | None]
"""Event time, when it became available, when it was created, entity, two values."""


def new_version(spec: FeatureViewSpec) -> FeatureView:
    """A view that no other test has written, so that stores need not be emptied."""
    columns = tuple(one.name for one in spec.aggregations) or ("x", "s")
    return FeatureView(spec.name, next(_fresh), spec, columns, "digest", 0, "ann")


def frame(rows: list[Row]) -> pl.DataFrame:
    schema = {
        "time": pl.Int64,
        "_available_at": pl.Int64,
        "_created_at": pl.Int64,
        "key": pl.String,
        "x": pl.Float64,
        "s": pl.String,
    }
    whole = pl.DataFrame(rows, schema=schema, orient="row")
    return whole.with_columns(pl.col("time", "_available_at", "_created_at").cast(pl.Datetime("us")))


def offline(view: FeatureView, rows: list[Row], at: int) -> list[tuple[Any, ...] | None]:
    asked = pl.DataFrame({"time": [at] * 3, "key": ["a", "b", "c"]}).with_columns(
        pl.col("time").cast(pl.Datetime("us"))
    )
    joined = join_features(asked, [ComputedView(view.spec, frame(rows), view.columns)])
    found = joined.select(view.columns).rows()
    return [None if all(value is None for value in row) else row for row in found]


def online(store: OnlineBackend, view: FeatureView, at: int) -> list[tuple[Any, ...] | None]:
    found = store.lookup(view, [("a",), ("b",), ("c",)], at)
    return [None if row is None or all(value is None for value in row) else row for row in found]


VALUES = st.sampled_from([None, 0.1, -3.0, 1e16, 2.5])
ROWS = st.lists(
    st.tuples(
        st.integers(0, 20),
        st.integers(0, 8),
        st.integers(0, 3),
        st.sampled_from("ab"),
        VALUES,
        st.sampled_from([None, "u", "v"]),
    ),
    max_size=14,
).map(lambda rows: [(time, time + delay, created, *rest) for time, delay, created, *rest in rows])


def told_apart(rows: list[Row]) -> list[Row]:
    """One row for each entity, time and creation: which of two equals is the newer, only their file's order tells,
    and writers come in any order."""
    return list({(row[0], row[2], row[3]): row for row in rows}.values())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS, st.randoms(use_true_random=False), st.sampled_from([PLAIN, WINDOWED]))
def test_online_is_offline_for_every_history(
    backend: OnlineBackend, rows: list[Row], chance: Any, spec: FeatureViewSpec
) -> None:
    """Rows arrive when they become available or later, in batches of any order, some of them twice."""
    rows, view = told_apart(rows), new_version(spec)
    written: list[Row] = []
    for now in (2, 8, 15, 28):
        due = [row for row in rows if row[1] <= now and row not in written]
        again = [row for row in written if chance.random() < 0.2 and row[0] > now - 9]
        written += due
        batch = due + again
        chance.shuffle(batch)
        middle = len(batch) // 2
        for part in (batch[:middle], batch[middle:]):
            write_view(backend, view, frame(part), now)
        for at in (now, now + 3):
            assert online(backend, view, at) == offline(view, written, at), (now, at)


@pytest.mark.parametrize("spec", [PLAIN, WINDOWED])
def test_rows_known_in_advance_count_from_when_they_do(backend: OnlineBackend, spec: FeatureViewSpec) -> None:
    view = new_version(spec)
    rows: list[Row] = [(1, 1, 0, "a", 1.0, "u"), (4, 6, 0, "a", 2.0, "v"), (9, 9, 0, "a", 3.0, None)]
    write_view(backend, view, frame(rows), 2)
    for at in (2, 4, 5, 6, 8, 9, 11, 13, 14, 15, 18):
        assert online(backend, view, at) == offline(view, rows, at)


def test_a_late_write_never_replaces_a_newer_value(backend: OnlineBackend) -> None:
    view = new_version(PLAIN)
    write_view(backend, view, frame([(10, 10, 5, "a", 10.0, "new")]), 10)
    write_view(backend, view, frame([(7, 7, 9, "a", 7.0, "old")]), 11)
    write_view(backend, view, frame([(10, 10, 4, "a", 9.0, "created before")]), 11)
    assert backend.lookup(view, [("a",)], 11) == [(10.0, "new")]
    write_view(backend, view, frame([(10, 11, 6, "a", 11.0, "corrected")]), 11)
    assert backend.lookup(view, [("a",)], 11) == [(11.0, "corrected")]


def test_the_ttl_is_inclusive_and_an_old_value_can_still_be_told_from_none(backend: OnlineBackend) -> None:
    view = new_version(PLAIN)
    write_view(backend, view, frame([(10, 10, 0, "a", 1.0, None)]), 10)
    assert backend.lookup(view, [("a",)], 10 + TTL) == [(1.0, None)]
    assert backend.lookup(view, [("a",)], 11 + TTL) == [None]
    assert backend.find(view, [("a",), ("b",)], 11 + TTL) == [(10, (1.0, None)), None]
    assert backend.find(view, [("a",)], 9) == [None]


def test_versions_of_a_view_do_not_meet(backend: OnlineBackend) -> None:
    one, two = new_version(PLAIN), new_version(PLAIN)
    write_view(backend, one, frame([(1, 1, 0, "a", 1.0, None)]), 1)
    assert backend.lookup(two, [("a",)], 1) == [None]


@pytest.mark.parametrize("spec", [PLAIN, WINDOWED])
def test_an_entity_is_forgotten(backend: OnlineBackend, spec: FeatureViewSpec) -> None:
    view = new_version(spec)
    write_view(backend, view, frame([(1, 1, 0, "a", 1.0, "u"), (1, 1, 0, "b", 2.0, "u")]), 1)
    before = backend.lookup(view, [("b",)], 1)
    assert forget_entity(backend, view, ("a",))
    assert not forget_entity(backend, view, ("a",))
    assert backend.find(view, [("a",), ("b",)], 1) == [None, (1, before[0])]
    write_view(backend, view, frame([(1, 1, 0, "a", 5.0, "u")]), 1)
    assert backend.lookup(view, [("a",)], 1) == offline(view, [(1, 1, 0, "a", 5.0, "u")], 1)[:1]


def test_a_change_that_fails_leaves_nothing_not_even_its_mark(backend: OnlineBackend) -> None:
    view = new_version(PLAIN)

    def fail(old: Any) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        backend.change(view, [("a",)], fail, {b"mark": b"1"})
    assert backend.mark_of(b"mark") is None
    write_view(backend, view, frame([(1, 1, 0, "a", 1.0, "u")]), 1, {b"mark": b"2"})
    assert backend.mark_of(b"mark") == b"2"


def test_two_writers_of_one_entity_lose_nothing(opener: Opener) -> None:
    """Redis notices that it was overtaken and works its change out again; LMDB lets one write at a time."""
    one, two = opener(), None
    view = new_version(WINDOWED)
    calls = []

    def overtaken(old: Any) -> Any:
        calls.append(old)
        return old

    one.change(view, [("a",)], overtaken)
    if type(one).__name__ == "RedisStore":
        two = opener()
        writer = two

        def change(old: Any) -> Any:
            if len(calls) == 1:
                write_view(writer, view, frame([(1, 1, 0, "a", 1.0, "u")]), 2)
            calls.append(old)
            return [Stored(old[0].tail, (old[0].events or b"") + b"x")]

        one.change(view, [("a",)], change)
        assert len(calls) == 3
        assert calls[2][0].events is not None
        two.close()
    one.close()


def test_text_keys_of_any_length_and_several_keys(backend: OnlineBackend) -> None:
    spec = msgspec.structs.replace(PLAIN, entity=("key", "line"))
    view = new_version(spec)
    long = "é" * 2000
    rows = frame([(1, 1, 0, long, 1.0, None), (1, 1, 0, "b", 2.0, None)]).with_columns(
        line=pl.Series([7, None])
    )
    assert write_view(backend, view, rows, 1) == 1
    assert backend.lookup(view, [(long, 7), (long, 8), ("b", None)], 1) == [(1.0, None), None, None]


def test_a_store_that_cannot_be_reached_says_so() -> None:
    pytest.importorskip("redis")
    from holdfast.features.online.redis_store import RedisStore

    with pytest.raises(OnlineStoreError, match="cannot be reached"):
        RedisStore("redis://127.0.0.1:1/0", "p")
    with pytest.raises(OnlineStoreError, match="cannot be reached"):
        RedisStore("nonsense", "p")
