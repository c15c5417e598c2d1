"""Features: the point-in-time join beside plain polars.

Each side works in a process of its own, so that its memory can be told from the other's.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from bench.report import Figure, figure

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
    """The join of a million rows with three views of ten features."""
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


def _run(program: str, argument: str) -> list[float]:
    command = [sys.executable, "-c", _SETTING + program, argument]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: list[float] = json.loads(done.stdout)
    return found


def _median(runs: list[list[float]], place: int) -> float:
    return sorted(run[place] for run in runs)[len(runs) // 2]
