"""Materializing: incremental, repeatable, resumable after kill -9, in several processes, into either store."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from holdfast.base.home import Home
from holdfast.features.compute import compute_view
from holdfast.features.materialize import materialize
from holdfast.features.offline import ComputedView, join_features
from holdfast.features.online.opening import open_online
from holdfast.features.records import Aggregation, FeatureView, FeatureViewSpec
from tests.features.online.conftest import URL

HOUR = 3_600_000_000
AGGREGATIONS = (
    Aggregation("x_sum_5h", "sum", "x", 5 * HOUR),
    Aggregation("count_2h", "count", None, 2 * HOUR),
)
PLAIN = FeatureView("plain", 1, FeatureViewSpec("plain", "t", 4 * HOUR, 0, ("user",)), ("x",), "p", 0, "ann")
WINDOWED = FeatureView(
    "windowed",
    1,
    FeatureViewSpec("windowed", "t", 5 * HOUR, 5 * HOUR, ("user",), aggregations=AGGREGATIONS),
    ("x_sum_5h", "count_2h"),
    "w",
    0,
    "ann",
)
USERS = 300


def table(rows: int = 3000, late: bool = True) -> pl.DataFrame:
    number = pl.int_range(rows, eager=True)
    at = (number * 7_919_000 % 24_000) * (HOUR // 1000)
    frame = pl.DataFrame({"time": at, "user": number * 31 % USERS, "x": number / 7})
    delay = pl.col("time") % 5 * HOUR if late else pl.lit(0)
    return frame.with_columns(_available_at=pl.col("time") + delay).with_columns(
        pl.col("time", "_available_at").cast(pl.Datetime("us"))
    )


def all_rows(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows


def late_rows(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.with_columns(
        available_at=pl.col("time") + pl.duration(hours=pl.col("time").dt.epoch("us") % 5)
    )


def online(home: Home, view: FeatureView, at: int, address: str = "", project: str = "default") -> list[Any]:
    store = open_online(home, project, address)
    try:
        return [
            row or (None,) * len(view.columns) for row in store.lookup(view, [(n,) for n in range(USERS)], at)
        ]
    finally:
        store.close()


def offline(view: FeatureView, function: Any, rows: pl.DataFrame, at: int) -> list[Any]:
    asked = pl.DataFrame({"time": [at] * USERS, "user": range(USERS)}).with_columns(
        pl.col("time").cast(pl.Datetime("us"))
    )
    frame = compute_view(function, rows.lazy(), view.spec)
    return join_features(asked, [ComputedView(view.spec, frame, view.columns)]).select(view.columns).rows()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.prepare()
    return made


@pytest.mark.parametrize("view", [PLAIN, WINDOWED])
@pytest.mark.parametrize("function", [all_rows, late_rows])
def test_in_steps_it_is_what_the_join_says(home: Home, view: FeatureView, function: Any) -> None:
    rows = table(late=function is late_rows)
    written = 0
    for hour in (3, 3, 9, 14, 24):
        done = materialize(home, "default", view, function, rows, hour * HOUR, online="")
        written += done.rows
        for at in (hour * HOUR, hour * HOUR + HOUR // 2):
            known = rows.filter(pl.col("_available_at").dt.epoch("us") <= hour * HOUR)
            assert online(home, view, at) == offline(view, function, known, at)
    if function is late_rows and view is PLAIN:
        assert done.from_at == 14 * HOUR
        assert (
            written == rows.filter(pl.col("_available_at").dt.epoch("us") <= 24 * HOUR).height
        )  # each row once


def test_rows_that_came_late_into_the_source_are_found(home: Home) -> None:
    """Where nothing says when a row became available, the last TTL is looked at again."""
    rows = table(late=False)
    early = rows.filter(pl.col("user") % 2 == 0)
    materialize(home, "default", PLAIN, all_rows, early, 10 * HOUR, online="")
    materialize(home, "default", PLAIN, all_rows, rows, 11 * HOUR, online="")
    assert online(home, PLAIN, 11 * HOUR) == offline(PLAIN, all_rows, rows, 11 * HOUR)


def test_a_range_can_be_filled_in_at_any_time(home: Home) -> None:
    rows = table()
    materialize(home, "default", PLAIN, late_rows, rows, 20 * HOUR, 16 * HOUR, online="")
    assert online(home, PLAIN, 20 * HOUR) != offline(PLAIN, late_rows, rows, 20 * HOUR)
    materialize(home, "default", PLAIN, late_rows, rows, 16 * HOUR, 0, online="")
    done = materialize(home, "default", PLAIN, late_rows, rows, 20 * HOUR, online="")
    assert done.from_at is None
    assert online(home, PLAIN, 20 * HOUR) == offline(PLAIN, late_rows, rows, 20 * HOUR)


def test_several_processes_write_the_same(home: Home) -> None:
    rows = table()
    done = materialize(home, "default", WINDOWED, late_rows, rows, 20 * HOUR, online="", processes=2)
    assert done.rows > done.entities > 100
    assert online(home, WINDOWED, 20 * HOUR) == offline(WINDOWED, late_rows, rows, 20 * HOUR)


CHILD = """
import sys
from pathlib import Path
from holdfast.base.home import Home
from holdfast.features.compute import compute_view
from holdfast.features import materialize as module
from holdfast.features.online import writing
from tests.features.test_materialize import HOUR, WINDOWED, late_rows, table
real = module.write_view
def slowly(*arguments):
    import time
    found = real(*arguments)
    print("bucket", flush=True)
    time.sleep(0.05)
    return found
module.write_view = slowly
module.materialize(Home(Path(sys.argv[1])), "default", WINDOWED, late_rows, table(), 20 * HOUR, online="")
"""


def test_killed_in_the_middle_it_goes_on(home: Home) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(home.root)], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert child.stdout is not None
    for _ in range(5):
        assert child.stdout.readline().strip() == "bucket"
    child.send_signal(signal.SIGKILL)
    assert child.wait(30) == -signal.SIGKILL
    expected = offline(WINDOWED, late_rows, table(), 20 * HOUR)
    found = online(home, WINDOWED, 20 * HOUR)
    done = sum(one == other for one, other in zip(found, expected, strict=True))
    assert 0 < done < USERS
    assert {one for one, other in zip(found, expected, strict=True) if one != other} == {(None, None)}
    again = materialize(home, "default", WINDOWED, late_rows, table(), 20 * HOUR, online="")
    assert again.entities <= USERS - done + 20  # at most the bucket that was being written comes again
    assert online(home, WINDOWED, 20 * HOUR) == expected


@pytest.mark.redis
def test_into_redis(home: Home) -> None:
    redis = pytest.importorskip("redis")
    client, project = redis.Redis.from_url(URL), f"test-{uuid.uuid4().hex}"
    try:
        client.ping()
    except redis.exceptions.ConnectionError:
        pytest.skip(f"no Redis answers at {URL}")
    rows = table()
    try:
        materialize(home, project, WINDOWED, late_rows, rows, 20 * HOUR, online=URL)
        expected = offline(WINDOWED, late_rows, rows, 20 * HOUR)
        assert online(home, WINDOWED, 20 * HOUR, URL, project) == expected
        again = materialize(home, project, WINDOWED, late_rows, rows, 20 * HOUR, online=URL)
        assert (again.rows, again.from_at) == (0, 20 * HOUR)
    finally:
        client.delete(*client.scan_iter(f"holdfast:{project}:*"))
