"""How fast a rollback takes hold while 64 connections ask for predictions, by the prediction log itself."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from bench.plane import finish_load, start_load
from bench.processes import HOLDFAST, ROOT, environment, memory_mb, running, wait_for
from bench.report import Figure, figure
from holdfast.base.blobs import replace_file
from holdfast.base.client import Client
from holdfast.base.context import local_context
from holdfast.base.home import Home
from holdfast.loop.records import DeployRequest, RollbackRequest
from holdfast.loop.service import LoopService
from holdfast.serving.log import DeploymentKey, PredictionLog

_CONNECTIONS = 64
_KEY = DeploymentKey("default", "production", "shop")
_ROW = {"at": "2026-02-01T00:00:00", "price": 3.0}
_MODEL = """
import holdfast as hf
from sklearn.linear_model import LinearRegression

sales = hf.Table("sales", source="sales.csv", time="at", label="sold", label_delay="1h")

@hf.model("shop", table=sales, task="regression", gates=[hf.at_most("mae", 5)], rollout=hf.direct())
def train(data, params):
    return LinearRegression().fit(data.X, data.y)
"""
_SETTLE_S, _APART_S = 0.4, 0.6


class _Moment(NamedTuple):
    """One rollback: when it was asked for, when the next deployment began (µs since the epoch), and how long the
    caller waited for its answer."""

    asked_at: int
    until_at: int
    wall_ms: float


def figures(*, quick: bool) -> Iterator[Figure]:
    """Rollbacks through the API and through the command line, under one load."""
    through_api, through_command = (8, 4) if quick else (30, 10)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        home = Home(folder / "home")
        server = [*HOLDFAST, "--home", str(home.root), "server", "--port", "0"]
        serve = [*HOLDFAST, "--home", str(home.root), "serve", "--port", "0"]
        with running(server, folder / "server.log") as process, running(serve, folder / "serve.log"):
            wait_for(lambda: home.server() and home.serving())
            _prepare(folder, home)
            yield from _measure(home, process, through_api, through_command)


def _measure(home: Home, server: psutil.Process, through_api: int, through_command: int) -> Iterator[Figure]:
    client, serving = _client(home), home.serving()
    assert serving is not None
    calm_mb = memory_mb([server])
    seconds = 3.0 + (through_api + through_command) * (_SETTLE_S + _APART_S + 0.5)
    data = json.dumps({"rows": [_ROW]}).encode()
    load = start_load(int(serving.url.rpartition(":")[2]), "/v1/predict/shop", data, _CONNECTIONS, seconds)
    time.sleep(1.0)
    moments = [_roll_back(home, client, command=False) for _ in range(through_api)]
    durable_ms = _durable_write_ms(home)
    by_command = [_roll_back(home, client, command=True) for _ in range(through_command)]
    bare_ms = _bare_python_ms()
    busy_mb = memory_mb([server])
    seen = finish_load(load)
    taken = _until_last_old(home, moments)
    walls = [moment.wall_ms for moment in by_command]
    yield figure(
        f"rollback under {_CONNECTIONS} connections, median of {len(taken)}",
        statistics.median(taken),
        "ms",
        durable_ms,
        aim="≤ 100 ms",
        limit="From the request to the last assignment to the version left: two durable commits, the deployment file"
        " (the floor), and a look every 20 ms, on a machine that the load keeps busy.",
    )
    yield figure(
        f"rollback under {_CONNECTIONS} connections, worst of {len(taken)}",
        max(taken),
        "ms",
        durable_ms,
        aim="≤ 100 ms",
        limit="As above, when the server has to wait for a processor or the disk.",
    )
    yield figure(
        "holdfast rollback, the command's wall time under this load",
        statistics.median(walls),
        "ms",
        bare_ms,
        limit="Python's start and imports, which the load slows as it slows everything.",
    )
    yield figure(
        "failed requests during the rollbacks",
        seen["failed"],
        "requests",
        aim="0",
        limit=f"{seen['requests']:.0f} requests were answered, {seen['requests'] / seen['seconds']:.0f} a second.",
    )
    yield figure(
        "server memory, watching one model",
        calm_mb,
        "MB",
        aim="≤ 150 MB",
        limit="polars and numpy, which reading the prediction log needs.",
    )
    yield figure(
        "server memory, watching this load",
        busy_mb,
        "MB",
        limit="The part of the log between two looks of the loop is in memory while it is condensed into windows.",
    )


def _prepare(folder: Path, home: Home) -> None:
    """Two trained versions, the second live and the first warm."""
    (folder / "shop.py").write_text(_MODEL)
    rows = [f"2026-01-{hour // 24 + 1:02d}T{hour % 24:02d}:00:00,{hour % 7 * 1.5},{hour % 7 * 3 + hour % 3}"
            for hour in range(400)]  # fmt: skip
    (folder / "sales.csv").write_text("\n".join(["at,price,sold", *rows, ""]))
    for version in ("1", "2"):
        _holdfast(home, "train", str(folder / "shop.py"), "--json")
        _holdfast(home, "deploy", "shop", "--version", version, "--direct", "--json")


def _roll_back(home: Home, client: Client, *, command: bool) -> _Moment:
    """Back to version 1; afterwards version 2 is live again."""
    time.sleep(_APART_S)
    started = time.perf_counter()
    asked_at = _now()
    if command:
        _holdfast(home, "rollback", "shop", "--json")
    else:
        client.call(LoopService.rollback, RollbackRequest("shop"))
    wall_ms = (time.perf_counter() - started) * 1e3
    time.sleep(_SETTLE_S)
    until_at = _now()
    client.call(LoopService.deploy, DeployRequest("shop", 2, direct=True, lift_quarantine=True))
    return _Moment(asked_at, until_at, wall_ms)


def _until_last_old(home: Home, moments: list[_Moment]) -> list[float]:
    """Milliseconds from each request for a rollback to the last prediction of version 2 in the log."""
    log = PredictionLog(home).predictions(_KEY)
    found = []
    for moment in moments:
        window = log.filter((log["received_at"] >= moment.asked_at) & (log["received_at"] < moment.until_at))
        assert window.filter(window["version"] == 1).height, "the rollback did not take hold"
        old = window.filter(window["version"] == 2)["received_at"]
        found.append((int(old.max() or moment.asked_at) - moment.asked_at) / 1e3)  # type: ignore[arg-type]
    return found


def _durable_write_ms(home: Home) -> float:
    """What replacing a file of the deployment file's size durably takes under this load."""
    target = home.tmp / "bench"
    taken = []
    for _ in range(20):
        started = time.perf_counter()
        replace_file(target, b"x" * 4096)
        taken.append((time.perf_counter() - started) * 1e3)
    return statistics.median(taken)


def _bare_python_ms() -> float:
    taken = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], env=environment(), check=True)
        taken.append((time.perf_counter() - started) * 1e3)
    return statistics.median(taken)


def _client(home: Home) -> Client:
    server = home.server()
    assert server is not None
    return Client(server.url, local_context())


def _holdfast(home: Home, *arguments: str) -> None:
    command = [*HOLDFAST, "--home", str(home.root), *arguments]
    done = subprocess.run(command, env=environment(), cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed: {done.stderr or done.stdout}")


def _now() -> int:
    """Microseconds since the epoch, as the log has them."""
    return time.time_ns() // 1000
