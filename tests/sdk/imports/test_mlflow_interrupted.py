"""Imports that are killed, and servers that are killed under them: nothing is missing and nothing doubled."""

from __future__ import annotations

import math
import os
import random
import signal
import sqlite3
import subprocess
import time

import pytest

from holdfast.base.home import Home
from holdfast.cli.session import start_server
from tests.sdk.imports.sources import import_command, make_database, run_import
from tests.sdk.imports.told import number
from tests.wire.mlflow.tracking_server import Raw

RUNS, POINTS, LONG = 300, 200, 150_000


@pytest.fixture
def store(tmp_path):
    """The recorded store with some hundred runs more, a curve of many points, and larger artifacts."""
    path = make_database(tmp_path)
    database = sqlite3.connect(path)
    ids = [f"{index:032x}" for index in range(RUNS)]
    database.executemany(
        "INSERT INTO runs (run_uuid, name, status, start_time, end_time, lifecycle_stage, artifact_uri,"
        " experiment_id) VALUES (?, ?, 'FINISHED', ?, ?, 'active', ?, 1)",
        [
            (run_id, run_id[-4:], at, at + 5, f"mlflow-artifacts:/1/{run_id}/artifacts")
            for at, run_id in enumerate(ids)
        ],
    )
    rows = [("loss", step / 7, step, run_id, step) for run_id in ids for step in range(POINTS)]
    rows += [("long", math.sin(step), step, ids[7], step) for step in range(LONG)]
    database.executemany(
        "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, 0)", rows
    )
    database.commit()
    for run_id in ids[::20]:
        folder = tmp_path / "mlartifacts" / "1" / run_id / "artifacts"
        folder.mkdir(parents=True)
        (folder / "weights.bin").write_bytes(random.Random(run_id).randbytes(2 << 20))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_killed_and_started_again_it_goes_on_and_doubles_nothing(tmp_path, store, seed):
    rng = random.Random(seed)
    home = Home(tmp_path / "home")
    server = start_server(home, ["--port", "0"], detached=True)
    for attempt in range(6):
        process = subprocess.Popen(
            import_command(home, store, "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        time.sleep(rng.uniform(0.2, 1.5))
        if attempt % 3 == 2:
            # The server this time; the import may outlive it, and gives up in the end.
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
            process.send_signal(signal.SIGINT)
            process.wait(20)
            server = start_server(home, ["--port", "0"], detached=True)
        else:
            process.kill()
            process.wait()
    report = run_import(home, store)
    assert report["problems"] == []
    assert report["runs"]["new"] + report["runs"]["known"] == RUNS + 10
    try:
        _compare(home, store)
        again = run_import(home, store)
        assert (again["runs"]["known"], again["points"], again["files"]) == (RUNS + 10, 0, 0)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _compare(home, store):
    source = sqlite3.connect(store)
    ledger = sqlite3.connect(home.ledger)
    (points,) = source.execute("SELECT count(*) FROM metrics").fetchone()
    kept = [
        ledger.execute(f"SELECT sum(points) FROM {table}").fetchone()[0] or 0
        for table in ("metric_tail", "metric_block")
    ]
    assert sum(kept) == points
    assert ledger.execute("SELECT count(*) FROM run").fetchone()[0] == RUNS + 10
    raw = Raw(home.server().url)
    long = f"{7:032x}"
    found = raw.ok("GET", f"/metrics/get-history?run_id={long}&metric_key=long")["metrics"]
    assert [(point["step"], number(point["value"])) for point in found] == [
        (step, number(math.sin(step))) for step in range(LONG)
    ]
    for index in range(0, RUNS, 20):
        run_id = f"{index:032x}"
        status, content = raw.send("GET", f"/get-artifact?run_id={run_id}&path=weights.bin")
        assert (status, content) == (200, random.Random(run_id).randbytes(2 << 20))


def test_a_run_that_goes_on_is_followed_point_by_point(tmp_path):
    """Each import while a run goes on adds its new points alone, whatever their values."""
    path = make_database(tmp_path)
    database = sqlite3.connect(path)
    (run_id,) = database.execute("SELECT run_uuid FROM runs WHERE name = 'still running'").fetchone()
    home = Home(tmp_path / "home")
    server = start_server(home, ["--port", "0"], detached=True)
    try:
        run_import(home, path)
        step = 0
        for count in (1, 30, 5):
            rows = [("m", 0.0, 5, run_id, step + index, (step + index) % 3 == 0) for index in range(count)]
            step += count
            database.executemany(
                "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, ?)",
                rows,
            )
            database.commit()
            assert run_import(home, path)["points"] == count
        found = Raw(home.server().url).ok("GET", f"/metrics/get-history?run_id={run_id}&metric_key=m")[
            "metrics"
        ]
        assert [str(point["value"]) for point in found] == [
            "NaN" if at % 3 == 0 else "0.0" for at in range(step)
        ]
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
