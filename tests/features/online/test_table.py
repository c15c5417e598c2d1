"""The online store answers what the offline join would, at every instant, whichever process asks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.base.clock import HOUR_US, format_time, parse_time
from holdfast.base.encoding import to_msgpack
from holdfast.data.errors import TableError
from holdfast.data.records import Contract, FieldContract
from holdfast.features.compute import compute_view
from holdfast.features.errors import OnlineStoreError
from holdfast.features.join import point_in_time_join
from holdfast.features.offline import ComputedView, join_features
from holdfast.features.online import OnlineStore, OnlineTable
from holdfast.features.online.packing import TailRow, look_up, pack_tail, time_key, time_of_key, unpack_tail
from holdfast.features.online.store import PendingInput
from holdfast.features.online.writing import forget_entity
from holdfast.features.records import Aggregation, FeatureView, FeatureViewSpec

START = parse_time("2011-01-01")
TTL_HOURS, LOOKBACK_HOURS = 5, 4
CONTRACT = Contract(
    "rides",
    1,
    (
        FieldContract("at", "datetime", "time"),
        FieldContract("city", "string", "key"),
        FieldContract("temp", "float"),
        FieldContract("cnt", "float", "label"),
    ),
)


def demand(rides: pl.LazyFrame) -> pl.LazyFrame:
    """The last count and the sum of the last hours, both ends included, known one hour later."""
    return rides.sort("time").select(
        pl.col("time") + pl.duration(hours=1),
        "city",
        last=pl.col("cnt"),
        total=pl.col("cnt").rolling_sum_by("time", f"{LOOKBACK_HOURS - 1}h", closed="both").over("city"),
    )


def everywhere(rides: pl.LazyFrame) -> pl.LazyFrame:
    return rides.sort("time").select(pl.col("time") + pl.duration(hours=1), anywhere=pl.col("cnt"))


def view_of(
    function: Any, columns: tuple[str, ...], entity: tuple[str, ...] = (), version: int = 1
) -> FeatureView:
    spec = FeatureViewSpec(
        function.__name__, "rides", TTL_HOURS * HOUR_US, LOOKBACK_HOURS * HOUR_US, entity=entity
    )
    return FeatureView(function.__name__, version, spec, columns, f"digest {version}", 0, "ann")


DEMAND = view_of(demand, ("last", "total"), ("city",))
EVERYWHERE = view_of(everywhere, ("anywhere",))
VIEWS = [(DEMAND, demand), (EVERYWHERE, everywhere)]


def at(hour: float) -> int:
    return START + int(hour * HOUR_US)


def row(hour: float, city: str | None) -> dict[str, Any]:
    return {"at": format_time(at(hour)), "city": city, "temp": 0.5}


def feed(
    table: OnlineTable, hour: int, city: str, count: float, known: float, row_id: str | None = None
) -> None:
    row_id = row_id or f"p_{city}{hour}.0"
    table.on_predict([row_id], at(hour), [row(hour, city)])
    assert table.on_labels([row_id], [count], [at(known)]).matched == 1


@pytest.fixture
def store(tmp_path: Path) -> OnlineStore:
    opened = OnlineStore(tmp_path / "online")
    yield opened
    opened.close()


@pytest.fixture
def table(store: OnlineStore) -> OnlineTable:
    return OnlineTable(store, CONTRACT, "at", VIEWS)


# An hour and a city happen once; the label comes one to nine hours later, and may be corrected later still.
EVENTS = st.dictionaries(
    st.tuples(st.integers(0, 20), st.sampled_from(["a", "b"])),
    st.tuples(
        st.integers(0, 9), st.integers(1, 9), st.none() | st.tuples(st.integers(0, 9), st.integers(1, 9))
    ),
    max_size=14,
)


@settings(max_examples=35, deadline=None)
@given(EVENTS, st.booleans())
def test_online_lookup_is_the_offline_join(
    events: dict[tuple[int, str], tuple[int, int, tuple[int, int] | None]], in_minutes: bool
) -> None:
    labels = []
    for (hour, city), (count, delay, correction) in events.items():
        labels.append((hour + delay, hour, city, float(count)))
        if correction:
            labels.append((hour + delay + correction[1], hour, city, float(correction[0])))
    with tempfile.TemporaryDirectory() as folder:
        store = OnlineStore(Path(folder))
        table = OnlineTable(store, CONTRACT, "at", VIEWS)
        ids = [f"p_{city}{hour}.0" for hour, city in events]
        table.on_predict(ids, at(0), [row(hour, city) for hour, city in events])
        known: dict[tuple[int, str], float] = {}
        for query in range(40):
            due = [label for label in labels if label[0] == query]
            if due:
                known.update({(hour, city): count for _, hour, city, count in due})
                table.on_labels(
                    [f"p_{city}{hour}.0" for _, hour, city, _ in due],
                    [count for *_, count in due],
                    [at(query)] * len(due),
                )
            instant = at(query) + (59 * HOUR_US // 60 if in_minutes else 0)
            assert online(store, instant) == offline(known, instant)
        store.close()


def online(store: OnlineStore, instant: int) -> list[Any]:
    keyed = store.lookup(DEMAND, [("a",), ("b",), ("unknown",)], instant)
    return [*keyed, *store.lookup(EVERYWHERE, [()], instant)]


def offline(known: dict[tuple[int, str], float], instant: int) -> list[Any]:
    """The same by the training path: all rows known by now, the view, the join."""
    keys = sorted(known)
    rows = pl.DataFrame(
        {
            "time": [at(hour) for hour, _ in keys],
            "city": [city for _, city in keys],
            "cnt": [known[key] for key in keys],
        },
        schema={"time": pl.Int64, "city": pl.String, "cnt": pl.Float64},
    ).with_columns(pl.col("time").cast(pl.Datetime("us")))
    asked = pl.DataFrame({"time": [instant] * 3, "city": ["a", "b", "unknown"]}).with_columns(
        pl.col("time").cast(pl.Datetime("us"))
    )
    found = []
    for view, function in VIEWS:
        computed = compute_view(function, rows.lazy(), view.spec).lazy()
        joined = point_in_time_join(
            asked if view.spec.entity else asked.head(1),
            computed,
            entity=view.spec.entity,
            ttl_us=view.spec.ttl_us,
            columns=view.columns,
        )
        values = joined.select(view.columns).rows()
        found += [None if all(value is None for value in row) else row for row in values]
    return found


def record(rides: pl.LazyFrame) -> pl.LazyFrame:
    """Counts are known one hour after they happened, and that is their time."""
    return rides.select(pl.col("time") + pl.duration(hours=1), "city", "cnt")


AGGREGATIONS = tuple(
    Aggregation(f"cnt_{op}_{hours}h", op, "cnt", hours * HOUR_US)
    for op in ("sum", "mean", "count", "distinct", "last", "min", "max")
    for hours in (1, 4)
)
RECORD = FeatureView(
    "record",
    1,
    FeatureViewSpec("record", "rides", 3 * HOUR_US, 4 * HOUR_US, ("city",), aggregations=AGGREGATIONS),
    tuple(one.name for one in AGGREGATIONS),
    "digest",
    0,
    "ann",
)


@settings(max_examples=25, deadline=None)
@given(EVENTS)
def test_windows_fed_by_labels_are_the_offline_ones(
    events: dict[tuple[int, str], tuple[int, int, tuple[int, int] | None]],
) -> None:
    """Labels come late, in any order, and corrected; between them rows leave their windows by themselves."""
    labels = []
    for (hour, city), (count, delay, correction) in events.items():
        labels.append((hour + delay, hour, city, float(count)))
        if correction:
            labels.append((hour + delay + correction[1], hour, city, float(correction[0])))
    with tempfile.TemporaryDirectory() as folder:
        store = OnlineStore(Path(folder))
        table = OnlineTable(store, CONTRACT, "at", [(RECORD, record)])
        table.on_predict(
            [f"p_{city}{hour}.0" for hour, city in events], at(0), [row(hour, city) for hour, city in events]
        )
        known: dict[tuple[int, str], float] = {}
        for query in range(36):
            due = [label for label in labels if label[0] == query]
            if due:
                known.update({(hour, city): count for _, hour, city, count in due})
                ids = [f"p_{city}{hour}.0" for _, hour, city, _ in due]
                table.on_labels(ids, [count for *_, count in due], [at(query)] * len(due))
            if due or query % 5 == 0:
                for instant in (at(query), at(query) + HOUR_US - 1):
                    found = store.lookup(RECORD, [("a",), ("b",)], instant)
                    assert [value or (None,) * len(RECORD.columns) for value in found] == windows(
                        known, instant
                    )
        store.close()


def windows(known: dict[tuple[int, str], float], instant: int) -> list[Any]:
    keys = sorted(known)
    rows = pl.DataFrame(
        {"time": [at(h) for h, _ in keys], "city": [c for _, c in keys], "cnt": [known[k] for k in keys]},
        schema={"time": pl.Int64, "city": pl.String, "cnt": pl.Float64},
    ).with_columns(pl.col("time").cast(pl.Datetime("us")))
    asked = pl.DataFrame({"time": [instant] * 2, "city": ["a", "b"]}).with_columns(
        pl.col("time").cast(pl.Datetime("us"))
    )
    computed = ComputedView(RECORD.spec, compute_view(record, rows.lazy(), RECORD.spec), RECORD.columns)
    return join_features(asked, [computed]).select(RECORD.columns).rows()


def test_an_entity_is_forgotten_with_its_rows_and_waiting_inputs(
    table: OnlineTable, store: OnlineStore
) -> None:
    feed(table, 0, "a", 7.0, known=1)
    feed(table, 0, "b", 1.0, known=1)
    table.on_predict(["p_w.0"], at(1), [row(1, "a")])
    assert store.forget_rows({"city": "a"}) == 4  # in two histories, and two inputs
    assert forget_entity(store, DEMAND, ("a",))
    assert store.lookup(DEMAND, [("a",), ("b",)], at(1)) == [None, (1.0, 1.0)]
    assert table.on_labels(["p_w.0", "p_a0.0"], [3.0, 3.0], [at(2)] * 2).matched == 0
    feed(table, 2, "a", 5.0, known=3)
    assert store.lookup(DEMAND, [("a",)], at(3)) == [(5.0, 5.0)]
    assert store.forget_rows({"city": "a"}) == 3
    assert store.forget_rows({"city": "nobody"}) == 0


def test_ttl_is_inclusive(table: OnlineTable, store: OnlineStore) -> None:
    feed(table, 0, "a", 7.0, known=1)
    assert store.lookup(DEMAND, [("a",)], at(1) - 1) == [None]
    assert store.lookup(DEMAND, [("a",)], at(1)) == [(7.0, 7.0)]
    assert store.lookup(DEMAND, [("a",)], at(1 + TTL_HOURS)) == [(7.0, 7.0)]
    assert store.lookup(DEMAND, [("a",)], at(1 + TTL_HOURS) + 1) == [None]


def test_the_oldest_row_that_a_usable_value_needs_is_kept(table: OnlineTable, store: OnlineStore) -> None:
    feed(table, 0, "a", 1.0, known=1)
    feed(table, 3, "a", 3.0, known=4)
    feed(table, 1, "a", 10.0, known=4 + TTL_HOURS)
    assert store.lookup(DEMAND, [("a",)], at(4 + TTL_HOURS)) == [(3.0, 14.0)]


def test_a_label_is_seen_at_once_and_in_every_table_of_the_process(store: OnlineStore) -> None:
    one, two = (OnlineTable(store, CONTRACT, "at", VIEWS) for _ in range(2))
    for hour in range(50):
        feed((one, two)[hour % 2], hour, "a", float(hour), known=hour + 1)
        assert store.lookup(DEMAND, [("a",)], at(hour + 1))[0][0] == float(hour)
        expected = sum(range(max(0, hour - LOOKBACK_HOURS + 1), hour + 1))
        assert store.lookup(DEMAND, [("a",)], at(hour + 1))[0][1] == float(expected)


def test_a_correction_replaces_and_an_unknown_id_is_counted(table: OnlineTable, store: OnlineStore) -> None:
    feed(table, 0, "a", 7.0, known=1)
    outcome = table.on_labels(["p_a0.0", "p_never.0"], [9.0, 1.0], [at(2), at(2)])
    assert (outcome.matched, outcome.unmatched, outcome.entities) == (1, 1, 2)
    assert store.lookup(DEMAND, [("a",)], at(2)) == [(9.0, 9.0)]


def test_labels_by_entity_and_time_find_the_latest_prediction(table: OnlineTable, store: OnlineStore) -> None:
    table.on_predict(["p_x.0", "p_y.0"], at(0), [row(0, "a"), row(0, "a")])
    assert table.on_labels([f'e_{at(0)}_["a"]', f'e_{at(1)}_["a"]'], [3.0, 4.0], [at(1)] * 2).matched == 1
    assert store.lookup(DEMAND, [("a",)], at(1)) == [(3.0, 3.0)]
    assert table.event_times([row(2.5, "a")]) == [at(2.5)]


def test_null_keys_belong_to_no_entity(table: OnlineTable, store: OnlineStore) -> None:
    table.on_predict(["p_n.0"], at(0), [row(0, None)])
    assert table.on_labels(["p_n.0"], [3.0], [at(1)]).entities == 1
    assert store.lookup(DEMAND, [(None,)], at(1)) == [None]
    assert store.lookup(EVERYWHERE, [()], at(1)) == [(3.0,)]


def test_a_row_without_a_time_is_the_callers_mistake(table: OnlineTable) -> None:
    with pytest.raises(TableError, match="the time of row 1"):
        table.on_predict(["p_n.0"], at(0), [row(0, "a") | {"at": None}])


def test_a_function_that_raises_leaves_the_others_and_the_label(store: OnlineStore) -> None:
    def broken(rides: pl.LazyFrame) -> pl.LazyFrame:
        raise ZeroDivisionError("no rides")

    views = [(view_of(broken, ("x",)), broken), (DEMAND, demand)]
    table = OnlineTable(store, CONTRACT, "at", views)
    table.on_predict(["p_a0.0"], at(0), [row(0, "a")])
    (failure,) = table.on_labels(["p_a0.0"], [7.0], [at(1)]).failures
    assert failure.startswith("broken raised ZeroDivisionError: no rides (test_table.py, line ")
    assert store.lookup(DEMAND, [("a",)], at(1)) == [(7.0, 7.0)]
    table.set_views(VIEWS)
    feed(table, 1, "a", 1.0, known=2)
    assert store.lookup(DEMAND, [("a",)], at(2)) == [(1.0, 8.0)]


def history_file(folder: Path, hours: range, city: str = "a") -> Path:
    path = folder / f"history-{hours.start}-{hours.stop}.parquet"
    times = pl.Series([at(hour) for hour in hours]).cast(pl.Datetime("us"))
    pl.DataFrame(
        {
            "at": times,
            "city": [city] * len(hours),
            "temp": [0.5] * len(hours),
            "cnt": [float(hour) for hour in hours],
            "time": times,
            "_available_at": times.dt.offset_by("1h"),
            "_row_id": ["" if hour < 5 else f"p_{city}{hour}.0" for hour in hours],
        }
    ).write_parquet(path)
    return path


def test_seeding_continues_from_a_history_once(
    table: OnlineTable, store: OnlineStore, tmp_path: Path
) -> None:
    assert table.seed(history_file(tmp_path, range(8)), "blob 1") == 8
    assert store.lookup(DEMAND, [("a",)], at(8)) == [(7.0, 22.0)]
    assert table.seed(history_file(tmp_path, range(8)), "blob 1") == 0
    feed(table, 8, "a", 100.0, known=9)
    assert store.lookup(DEMAND, [("a",)], at(9)) == [(100.0, 118.0)]


def test_seeding_never_overwrites_what_serving_learned(
    table: OnlineTable, store: OnlineStore, tmp_path: Path
) -> None:
    table.seed(history_file(tmp_path, range(6)), "blob 1")
    feed(table, 6, "a", 60.0, known=7)
    feed(table, 7, "a", 70.0, known=8)
    newer = view_of(demand, ("last", "total"), ("city",), version=2)
    table.set_views([*VIEWS, (newer, demand)])
    table.seed(history_file(tmp_path, range(7)), "blob 2")
    for view in (DEMAND, newer):
        assert store.lookup(view, [("a",)], at(8)) == [(70.0, 139.0)]


def test_seeding_that_fails_leaves_nothing(store: OnlineStore, tmp_path: Path) -> None:
    def broken(rides: pl.LazyFrame) -> pl.LazyFrame:
        raise ZeroDivisionError("no rides")

    table = OnlineTable(store, CONTRACT, "at", [(DEMAND, demand), (view_of(broken, ("x",)), broken)])
    with pytest.raises(Exception, match="broken raised ZeroDivisionError"):
        table.seed(history_file(tmp_path, range(8)), "blob 1")
    assert store.lookup(DEMAND, [("a",)], at(8)) == [None]
    table.set_views(VIEWS)
    assert table.seed(history_file(tmp_path, range(8)), "blob 1") == 8


def test_pending_inputs_are_bounded_by_number_and_age(tmp_path: Path) -> None:
    store = OnlineStore(tmp_path, pending_rows_most=3, pending_age_us=10 * HOUR_US)
    table = OnlineTable(store, CONTRACT, "at", VIEWS)
    for hour in range(5):
        table.on_predict([f"p_{hour}.0"], at(hour), [row(hour, "a")])
    labels = [f"p_{hour}.0" for hour in range(5)] + [f'e_{at(0)}_["a"]', f'e_{at(4)}_["a"]']
    assert table.on_labels(labels, [1.0] * 7, [at(5)] * 7).matched == 4
    table.on_predict(["p_new.0"], at(14.5), [row(14.5, "a")])
    assert [table.on_labels([f"p_{name}.0"], [1.0], [at(15)]).matched for name in ("3", "4", "new")] == [
        0,
        0,
        1,
    ]
    store.close()


def test_histories_are_cut_to_what_views_need(table: OnlineTable, store: OnlineStore) -> None:
    for hour in range(100):
        feed(table, hour, "a", 1.0, known=hour + 1)
    with store.write() as transaction:
        group = table._histories.group(("city",), ("a",))
        assert len(transaction.history(group, 0)) == TTL_HOURS + LOOKBACK_HOURS
        assert transaction.pending("rides", "p_a99.0") == PendingInput(
            at(99), row(99, "a"), transaction.pending("rides", "p_a99.0").alias
        )


def test_a_full_store_says_so(tmp_path: Path) -> None:
    store = OnlineStore(tmp_path, map_size_bytes=1 << 17)
    table = OnlineTable(store, CONTRACT, "at", VIEWS)
    with pytest.raises(OnlineStoreError, match="is full"):
        for hour in range(2000):
            table.on_predict([f"p_{hour}.0"], at(hour), [row(hour, "a" * 200)])
    store.close()


def test_a_store_of_an_earlier_start_of_the_machine_is_discarded(tmp_path: Path) -> None:
    for boot, expected in ((None, [(7.0, 7.0)]), ("another start", [None])):
        store = OnlineStore(tmp_path)
        if boot is None:
            feed(OnlineTable(store, CONTRACT, "at", VIEWS), 0, "a", 7.0, known=1)
        store.close()
        if boot is not None:
            if not (tmp_path / "boot").exists():
                pytest.skip("the operating system does not tell when it was started")
            (tmp_path / "boot").write_text(boot)
        store = OnlineStore(tmp_path)
        assert store.lookup(DEMAND, [("a",)], at(1)) == expected
        store.close()


_CHILD = """
import os, signal, sys
from pathlib import Path
from holdfast.features.offline import ComputedView, join_features
from holdfast.features.online import OnlineStore, OnlineTable
from tests.features.online.test_table import CONTRACT, VIEWS, feed
table = OnlineTable(OnlineStore(Path(sys.argv[1])), CONTRACT, "at", VIEWS)
for hour in range(int(sys.argv[2]), 40, int(sys.argv[3])):
    feed(table, hour, "a", float(hour), known=41)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_processes_lose_nothing_and_see_each_other(tmp_path: Path) -> None:
    """Two processes write the same entity at once and are killed; a third one reads all of it."""
    root = Path(__file__).parents[3]
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(tmp_path), str(first), "2"], cwd=root, env=os.environ
        )
        for first in range(2)
    ]
    assert [child.wait(60) for child in children] == [-signal.SIGKILL] * 2
    store = OnlineStore(tmp_path)
    assert store.lookup(DEMAND, [("a",)], at(41)) == [(39.0, 39.0 + 38 + 37 + 36)]
    assert OnlineTable(store, CONTRACT, "at", VIEWS).on_labels(["p_a0.0"], [5.0], [at(41)]).matched == 1
    store.close()


@given(st.lists(st.integers(-(2**62), 2**62), min_size=2, unique=True))
def test_keys_sort_like_times(times: list[int]) -> None:
    assert [time_of_key(key) for key in sorted(map(time_key, times))] == sorted(times)


@given(st.lists(st.integers(0, 30)), st.integers(-1, 31), st.integers(0, 10))
def test_a_tail_gives_the_latest_usable_row(times: list[int], now: int, ttl: int) -> None:
    times.sort()
    values = [(float(position), "é", None, True) for position in range(len(times))]
    rows = [TailRow(time, time, 0, to_msgpack(row)) for time, row in zip(times, values, strict=True)]
    usable = [row for time, row in zip(times, values, strict=True) if now - ttl <= time <= now]
    assert look_up(pack_tail(rows), now, ttl) == (usable[-1] if usable else None)
    assert unpack_tail(pack_tail(rows)) == rows


def test_the_label_of_a_table_without_one_changes_nothing(store: OnlineStore) -> None:
    fields = tuple(field for field in CONTRACT.fields if field.role != "label")
    contract = msgspec.structs.replace(CONTRACT, fields=fields)

    def seen(rides: pl.LazyFrame) -> pl.LazyFrame:
        return rides.select("time", "city", "temp")

    view = view_of(seen, ("temp",), ("city",))
    table = OnlineTable(store, contract, "at", [(view, seen)])
    feed(table, 0, "a", 1.0, known=1)
    assert store.lookup(view, [("a",)], at(1)) == [(0.5,)]
