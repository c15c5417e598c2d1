"""Features: the point-in-time join beside plain polars, the online store beside plain LMDB.

Each side of the join works in a process of its own, so that its memory can be told from the other's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lmdb
import msgspec
import numpy as np
import polars as pl

from bench.report import Figure, figure
from holdfast.base.clock import DAY_US, HOUR_US
from holdfast.base.home import Home
from holdfast.features.aggregation.windows import aggregate_at
from holdfast.features.materialize import materialize
from holdfast.features.online.store import OnlineStore
from holdfast.features.records import Aggregation, FeatureView, FeatureViewSpec

_ENTITIES = 300_000

_SETTING = """
import json, resource, sys, time
from datetime import timedelta
import numpy as np
import polars as pl
from holdfast.features.join import ViewRows, join_views

rows, entities, year_us, ttl_us = 1_000_000, 100_000, 365 * 86_400_000_000, 30 * 86_400_000_000
rng = np.random.default_rng(1)

def times():
    return pl.Series(rng.integers(0, year_us, rows)).cast(pl.Datetime("us"))

def keys():
    return rng.integers(0, entities, rows)

left = pl.DataFrame({"user": keys(), "time": times(), "label": rng.random(rows)})
views = [
    pl.DataFrame({"user": keys(), "time": times()} | {f"v{view}_{n}": rng.random(rows) for n in range(10)})
    for view in range(3)
]
delays = [pl.Series(rng.exponential(3_600_000_000, rows).astype(np.int64)) for _ in views]

def used():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024

def report(work):
    cpu, memory = used()
    found = work()
    assert found.height == rows
    cpu_after, memory_after = used()
    total = found.select(pl.col("^v._.$").sum()).row(0)
    print(json.dumps([cpu_after - cpu, memory_after - memory, sum(total)]))
"""

_FLOOR = """
def work():
    found = left.with_row_index("row").sort("time")
    for view in views:
        found = found.join_asof(view.sort("time"), on="time", by="user", strategy="backward",
                                tolerance=timedelta(microseconds=ttl_us), check_sortedness=False)
    return found.sort("row").drop("row")

report(work)
"""

_OURS = """
if sys.argv[1] == "late":
    views = [
        view.with_columns((pl.col("time").to_physical() + delay).cast(pl.Datetime("us")).alias("_available_at"))
        for view, delay in zip(views, delays)
    ]

def work():
    return join_views(left, [ViewRows(view, ("user",), ttl_us, tuple(view.columns[2:12])) for view in views])

report(work)
"""


def figures(*, quick: bool) -> Iterator[Figure]:
    """The join, windows, materializing, and reading online."""
    yield from _join(quick)
    yield from _windows()
    with tempfile.TemporaryDirectory() as folder:
        yield from _online(Path(folder), quick)


def _join(quick: bool) -> Iterator[Figure]:
    """A million rows with three views of ten features."""
    turns = 3 if quick else 7
    floors = [_run(_FLOOR, "") for _ in range(turns)]
    ours = [_run(_OURS, "") for _ in range(turns)]
    late = [_run(_OURS, "late") for _ in range(turns)]
    assert abs(ours[0][2] - floors[0][2]) < 1e-6 * abs(floors[0][2])
    name = "point-in-time join, 1M rows x 3 views x 10 features"
    limit = "Keys are sorted and searched; features are gathered once, in the order of the rows."
    yield figure(f"{name}, CPU", _median(ours, 0), "s", _median(floors, 0), aim="<= 1.3x", limit=limit)
    yield figure(f"{name}, memory", _median(ours, 1), "MB", _median(floors, 1), aim="<= 1.3x")
    limit = "Rows become available late, which the floor does not heed: it uses what was not known."
    yield figure(f"{name}, late rows, CPU", _median(late, 0), "s", _median(floors, 0), limit=limit)
    yield figure(f"{name}, late rows, memory", _median(late, 1), "MB", _median(floors, 1))


def _windows() -> Iterator[Figure]:
    """Three windows of a sum at a million instants of 100,000 entities."""
    rng = np.random.default_rng(1)
    count, hours = 1_000_000, (1, 24, 720)
    times = pl.Series(rng.integers(0, 365 * DAY_US, count)).cast(pl.Datetime("us"))
    rows = pl.DataFrame({"user": rng.integers(0, 100_000, count), "time": times, "x": rng.random(count)})
    sums = [Aggregation(f"x_sum_{hour}h", "sum", "x", hour * HOUR_US) for hour in hours]
    asked = rows.select("user", "time")

    def plainly() -> None:
        rolling = {f"s{h}": pl.col("x").rolling_sum_by("time", f"{h}h").over("user") for h in hours}
        rows.sort("time").with_columns(**rolling)

    floor = min(_used(plainly) for _ in range(3))
    value = min(
        _used(lambda: aggregate_at(rows, asked, entity=["user"], aggregations=sums, ttl_us=720 * HOUR_US))
        for _ in range(3)
    )
    limit = (
        "Exact sums, at any instants, of rows that may be late; the floor rounds, at its own rows, in time."
    )
    yield figure("windowed sums, 1M instants x 3 windows, CPU", value, "s", floor, limit=limit)


def _online(folder: Path, quick: bool) -> Iterator[Figure]:
    """300,000 entities with 30 features each: written once, read one and a hundred at a time."""
    home = Home(folder / "home")
    home.prepare()
    columns = tuple(f"f{place}" for place in range(30))
    spec = FeatureViewSpec("bench", "bench", DAY_US, 0, ("user",))
    view = FeatureView("bench", 1, spec, columns, "digest", 0, "bench")
    rng = np.random.default_rng(1)
    times = pl.Series(rng.integers(0, DAY_US, _ENTITIES)).cast(pl.Datetime("us"))
    rows = pl.DataFrame(
        {"time": times, "user": np.arange(_ENTITIES)} | {c: rng.random(_ENTITIES) for c in columns}
    )

    def ours() -> None:
        materialize(home, "default", view, lambda table: table, rows, DAY_US, online="")

    floor = _used(lambda: _write_plainly(folder / "plain", rows))
    value = _used(ours)
    limit = "Both pack every row in Python; ours also keeps what is newer, and how far it came."
    yield figure(
        "materialize 300k entities x 30 features, CPU",
        value,
        "s",
        floor,
        aim="<= 5 s",
        limit=limit,
    )
    store = OnlineStore(home.online / "default")
    plain = lmdb.open(str(folder / "plain"), readonly=True)
    limit = "One transaction, one decoded row an entity, and the two times that the TTL is judged by."
    for count in (1, 100):
        chosen = [[(int(key),) for key in rng.integers(0, _ENTITIES, count)] for _ in range(500)]
        found = store.lookup(view, chosen[0], DAY_US)
        assert found == _read_plainly(plain, chosen[0])
        turns = 9 if quick else 31
        value, floor = _fastest(
            [lambda keys: store.lookup(view, keys, DAY_US), lambda keys: _read_plainly(plain, keys)],
            chosen,
            turns,
        )
        name = f"online read, 30 features of {count} entit{'y' if count == 1 else 'ies'}"
        yield figure(name, value, "µs", floor, aim="<= 2x", limit=limit)
    plain.close()
    store.close()


def _write_plainly(folder: Path, rows: pl.DataFrame) -> None:
    folder.mkdir()
    pack = msgspec.msgpack.encode
    values = rows.drop("time", "user").rows()
    with (
        lmdb.open(str(folder), map_size=4 << 30, sync=False) as environment,
        environment.begin(write=True) as writer,
    ):
        for user, row in zip(rows["user"].to_list(), values, strict=True):
            writer.put(pack((user,)), pack(row))


def _read_plainly(environment: Any, keys: list[tuple[int]]) -> list[tuple[float, ...]]:
    with environment.begin() as reader:
        return [_decode(reader.get(_encode(key))) for key in keys]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple).decode


def _used(work: Callable[[], object]) -> float:
    """CPU seconds, because the machine may be busy with something else."""
    started = time.process_time()
    work()
    return time.process_time() - started


def _fastest(
    reads: Sequence[Callable[[list[tuple[int]]], object]], chosen: Sequence[list[tuple[int]]], turns: int
) -> list[float]:
    """Microseconds of one call of each, the fastest of several turns that take place in alternation."""
    best = [float("inf")] * len(reads)
    for _ in range(turns):
        for place, read in enumerate(reads):
            started = time.perf_counter()
            for keys in chosen:
                read(keys)
            best[place] = min(best[place], (time.perf_counter() - started) / len(chosen) * 1e6)
    return best


def _run(program: str, argument: str) -> list[float]:
    command = [sys.executable, "-c", _SETTING + program, argument]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: list[float] = json.loads(done.stdout)
    return found


def _median(runs: list[list[float]], place: int) -> float:
    return sorted(run[place] for run in runs)[len(runs) // 2]
