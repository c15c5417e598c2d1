"""Tracking through MLflow's protocol: what a call costs beside the plainest durable server, and beside MLflow.

MLflow is measured in the same turns where its environment exists (`make bench-peers` makes .venv-mlflow;
HOLDFAST_BENCH_MLFLOW names another interpreter). PostgreSQL is measured where one answers.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import tracking_data as data
from bench import tracking_servers as servers
from bench.plane import floor_server
from bench.processes import ROOT, environment
from bench.report import Figure, figure
from holdfast.base.home import Home

_OURS, _SHARED, _PEER, _FLOOR = "holdfast", "holdfast on PostgreSQL", "MLflow", "floor"
_DURABLE = (
    "One commit with its fsync (the floor is that and granian), then routing, checks and a change of threads."
)
_BATCH = "Reading 1,000 points, packing them, one row of `latest` a metric; one commit."
_CREATE = "A run, its tags and three indexes over them, in one commit."
_CLIENT = "MLflow's client itself: the floor answers at once and promises nothing."
_SEARCH = "One walk over the index of the leading metric, then reading what 100 runs logged."
_CURVE = "Unpacking a million points; what is sent are 2,000."
_BYTES = "Values are noise, of which no byte of eight can be left out; steps and times cost almost nothing."
_WRITES = (
    ("log-metric", "log_metric, raw HTTP", 20, _DURABLE),
    ("log-batch", "log_batch of 1,000 points of 10 metrics", 30, _BATCH),
    ("log-batch-keys", "log_batch of 1,000 metrics", 30, _BATCH),
    ("create-run", "create_run", 15, _CREATE),
)
# The filter and the order are about different metrics, so that neither index answers alone.
_QUESTION = {"filter": "metrics.m3 < 0.5", "order_by": ["metrics.m7 DESC"], "max_results": 100}
_OTHER_QUESTIONS = (
    ("one metric, filter and order", {"filter": "metrics.m3 < 0.5", "order_by": ["metrics.m3"]}),
    ("a filter that 0.1% meet", {"filter": "metrics.m3 < 0.001", "order_by": ["metrics.m7"]}),
    ("two filters, 1% meet both", {"filter": "metrics.m3 < 0.1 AND metrics.m4 < 0.1", "order_by": []}),
    ("a parameter that is equal", {"filter": "params.p2 = 'value 77'", "order_by": ["metrics.m7"]}),
    ("a parameter by LIKE", {"filter": "params.p5 LIKE '%77%'", "order_by": []}),
    ("a name by LIKE that one run has", {"filter": "run_name LIKE '%-4711'", "order_by": []}),
    ("ordered by a parameter", {"filter": "", "order_by": ["params.p9"]}),
    ("ordered by the end, none has one", {"filter": "", "order_by": ["attributes.end_time DESC"]}),
)


@dataclass(frozen=True)
class Amounts:
    """How much is measured: turns of each server, seconds of a turn, and how large the rest is."""

    turns: int
    seconds: float
    starts: int
    few: int = 5_000
    many: int = 100_000
    points: int = 1_000_000
    questions: bool = False
    many_shared: bool = False  # filling PostgreSQL with a hundred thousand runs takes minutes


QUICK = Amounts(5, 0.3, 3)
THOROUGH = Amounts(9, 1.0, 7, questions=True, many_shared=True)


@dataclass(frozen=True)
class _Filled:
    """A ledger with something to read, and what was measured while it was filled."""

    folder: Path
    location: str
    few: str
    many: str
    curve: str
    bytes_a_point: float


def figures(*, quick: bool) -> Iterator[Figure]:
    """Writing, reading, room and starting; on SQLite, and on PostgreSQL where there is one."""
    amounts = QUICK if quick else THOROUGH
    python, address = servers.peer_python(), data.postgresql()
    if python is None:
        print("MLflow is left out; `make bench-peers` makes its environment", file=sys.stderr)
    if not address:
        print("PostgreSQL is left out; name one in HOLDFAST_TEST_POSTGRESQL", file=sys.stderr)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        location = stack.enter_context(data.schema(address)) if address else ""
        filled = [_filled(folder / "sqlite", "", amounts)]
        if location:
            filled.append(_filled(folder / "postgresql", location, amounts))
        yield from _running(stack, folder, filled, python, amounts)
    yield from _starting(amounts, python)


def _filled(folder: Path, location: str, amounts: Amounts) -> _Filled:
    folder.mkdir()
    file = Home(folder / "home").ledger
    with data.filling(location, file):
        pass
    empty = data.size_bytes(location, file)
    with data.filling(location, file) as filler:
        curve = filler.curve(amounts.points)
    taken = data.size_bytes(location, file) - empty
    with data.filling(location, file) as filler:
        few = filler.runs(amounts.few)
        many = filler.runs(amounts.many) if amounts.many_shared or not location else ""
    data.analyse(location)
    return _Filled(folder, location, few, many, curve, taken / amounts.points)


def _running(
    stack: contextlib.ExitStack, folder: Path, filled: list[_Filled], python: Path | None, amounts: Amounts
) -> Iterator[Figure]:
    """Everything that is asked of servers that run side by side."""
    named = list(zip((_OURS, _SHARED), filled, strict=False))
    ports = {
        name: stack.enter_context(servers.holdfast(one.folder, one.location)).port for name, one in named
    }
    peer: dict[str, int] = {}
    if python is not None:
        (folder / "mlflow").mkdir()
        peer[_PEER] = stack.enter_context(servers.mlflow(folder / "mlflow", python)).port
    durable = {_FLOOR: stack.enter_context(floor_server("durable", str(folder / "floor.db")))}
    os.sync()  # what filling left to write would make every commit after it wait
    yield from _writes({**ports, **peer, **durable}, amounts)
    if python is not None:
        at_once = {_FLOOR: stack.enter_context(floor_server("nothing"))}
        yield from _client({**ports, **peer, **at_once}, python, amounts)
        data.fill_mlflow(folder / "mlflow" / "mlflow.db", amounts.few)
    yield from _searches(dict(named), ports, peer, amounts)
    yield from _curves(dict(named), ports, amounts)
    for name, one in named:
        yield figure(
            _on("bytes a metric point", name), one.bytes_a_point, "bytes", aim="≤ 15 bytes", limit=_BYTES
        )


def _writes(ports: dict[str, int], amounts: Amounts) -> Iterator[Figure]:
    for kind, name, times, limit in _WRITES:
        found = _measured(sys.executable, kind, ports, amounts)
        yield from _beside(name, found, f"≥ {times} × MLflow's speed", limit)


def _client(ports: dict[str, int], python: Path, amounts: Amounts) -> Iterator[Figure]:
    found = _measured(str(python), "client", ports, amounts)
    yield from _beside("log_metric, MLflow's client", found, "≤ 1.3 × floor", _CLIENT)


def _beside(name: str, found: dict[str, list[float]], aim: str, limit: str) -> Iterator[Figure]:
    """Our time beside the floor's, and how many times MLflow's that is, turn by turn."""
    floor = statistics.median(found[_FLOOR])
    for ours in (_OURS, _SHARED):
        if ours in found:
            yield figure(
                _on(name, ours),
                statistics.median(found[ours]),
                "ms",
                floor,
                aim=aim if ours == _OURS else "",
                limit=limit,
            )
        if ours in found and _PEER in found:
            yield _faster(_on(name, ours), found[ours], found[_PEER])


def _faster(name: str, ours: list[float], peers: list[float]) -> Figure:
    times = statistics.median(peer / own for own, peer in zip(ours, peers, strict=True))
    return figure(
        f"{name}, times MLflow's speed",
        times,
        "×",
        limit=f"MLflow 3.17.2 with one worker on SQLite took {statistics.median(peers):.3g} ms in the same turns.",
    )


def _searches(
    filled: dict[str, _Filled], ports: dict[str, int], peer: dict[str, int], amounts: Amounts
) -> Iterator[Figure]:
    for count, aim in ((amounts.few, "≤ 10 ms"), (amounts.many, "≤ 40 ms")):
        where = {name: one.few if count == amounts.few else one.many for name, one in filled.items()}
        asked = {name: _in(experiment) for name, experiment in where.items() if experiment}
        beside = peer if count == amounts.few else {}
        asked.update(dict.fromkeys(beside, _in("0")))
        found = _asked("runs/search", {**ports, **beside}, asked, amounts)
        name = f"search over {count:,} runs, 100 rows"
        for ours in (one for one in ports if one in asked):
            yield figure(_on(name, ours), statistics.median(found[ours]), "ms", aim=aim, limit=_SEARCH)
            if beside:
                yield _faster(_on(name, ours), found[ours], found[_PEER])
    if amounts.questions:
        yield from _other_searches(filled, ports, amounts)


def _other_searches(filled: dict[str, _Filled], ports: dict[str, int], amounts: Amounts) -> Iterator[Figure]:
    for name, question in _OTHER_QUESTIONS:
        asked = {ours: {**_in(one.many), **question} for ours, one in filled.items() if one.many}
        found = _asked("runs/search", ports, asked, amounts)
        for ours, taken in found.items():
            full = _on(f"search over {amounts.many:,} runs, {name}", ours)
            yield figure(full, statistics.median(taken), "ms", limit=_SEARCH)


def _curves(filled: dict[str, _Filled], ports: dict[str, int], amounts: Amounts) -> Iterator[Figure]:
    path = "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval"
    asked = {
        name: {"run_ids": [one.curve], "metric_key": "loss", "max_results": 2000}
        for name, one in filled.items()
    }
    for name, taken in _asked(path, ports, asked, amounts).items():
        full = _on(f"curve of {amounts.points:,} points, sampled to 2,000", name)
        yield figure(full, statistics.median(taken), "ms", aim="≤ 50 ms", limit=_CURVE)


def _starting(amounts: Amounts, python: Path | None) -> Iterator[Figure]:
    """From nothing to the first answer, in turns, and what it weighs then."""
    ours, peers = [], []
    for _ in range(amounts.starts):
        with tempfile.TemporaryDirectory() as folder, servers.holdfast(Path(folder)) as started:
            ours.append((started.seconds, started.settled_mb()))
        if python is not None:
            with tempfile.TemporaryDirectory() as folder, servers.mlflow(Path(folder), python) as started:
                peers.append((started.seconds, started.settled_mb()))
    limits = (
        "Imports of the services, then creating the ledger.",
        "Python, numpy and the services; resident.",
    )
    for place, (name, unit, aim) in enumerate(
        (("server ready after", "s", "≤ 1.5 s"), ("server memory, resident", "MB", "≤ 150 MB"))
    ):
        said = limits[place]
        if peers:
            said += f" MLflow 3.17.2: {statistics.median(one[place] for one in peers):.3g} {unit}."
        yield figure(name, statistics.median(one[place] for one in ours), unit, aim=aim, limit=said)


def _in(experiment: str) -> dict[str, Any]:
    return {"experiment_ids": [experiment], **_QUESTION}


def _on(name: str, ours: str) -> str:
    return name if ours == _OURS else f"{name}, PostgreSQL"


def _asked(
    path: str, ports: dict[str, int], bodies: dict[str, Any], amounts: Amounts
) -> dict[str, list[float]]:
    asked = {name: port for name, port in ports.items() if name in bodies}
    return _measured(sys.executable, "ask", asked, amounts, path=path, body=bodies)


def _measured(
    python: str, kind: str, ports: dict[str, int], amounts: Amounts, **more: object
) -> dict[str, list[float]]:
    """What a call took, by server and turn."""
    asked = {"kind": kind, "servers": ports, "turns": amounts.turns, "seconds": amounts.seconds, **more}
    done = subprocess.run(
        [python, str(ROOT / "bench" / "tracking_client.py")],
        input=json.dumps(asked),
        env={**environment(), "MLFLOW_DISABLE_TELEMETRY": "true"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found
