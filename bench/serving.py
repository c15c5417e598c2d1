"""Serving benchmarks: predictions a second beside a bare server, and how fast a rollback takes hold.

    python bench/serving.py

Every function returns results as {name, value, unit, floor, ratio}. Floor and holdfast run side by side and are
measured in turns, so that both meet the same machine; of several turns the best counts.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from holdfast.base.blobs import Blobs
from holdfast.base.context import Actor
from holdfast.base.encoding import to_msgpack
from holdfast.base.home import Home
from holdfast.data.records import Contract, FieldContract
from holdfast.registry.formats.linear_format import LinearModel
from holdfast.registry.records import ModelFile, Signature, SignatureColumn
from holdfast.rollout.records import Variant
from holdfast.serving.deployment_file import local_rollback, write_deployment_file
from holdfast.serving.records import FORMAT, DeploymentFile, ServedVersion

sys.path.insert(0, str(Path(__file__).parent))
from serving_floor import FLOATS, WEATHER

HERE = Path(__file__).parent
COEFFICIENTS = tuple(float(number) for number in range(1, 15))
ROW: dict[str, Any] = {**dict.fromkeys(FLOATS, 0.1), "weather": "rain", "holiday": False}
PATH = "/v1/predict/bikes"
_TURNS = 3
_TURN_S = 2.0

Result = dict[str, Any]


def throughput(rows: int = 1, connections: tuple[int, ...] = (1, 64)) -> list[Result]:
    """Requests a second of `rows` rows each: validated, routed and logged, against the bare server."""
    body = json.dumps({"rows": [ROW] * rows}).encode()
    results = []
    with tempfile.TemporaryDirectory() as folder, _floor() as floor, _holdfast(Path(folder)) as (_, port):
        for count in connections:
            turns = [(_measure(floor, count, body), _measure(port, count, body)) for _ in range(_TURNS)]
            bare = max(turn["requests"] / turn["seconds"] for turn, _ in turns)
            ours = max(turn["requests"] / turn["seconds"] for _, turn in turns)
            assert not any(turn["failed"] for _, turn in turns)
            name = f"predict, {rows} row{'s' * (rows > 1)}, {count} connection{'s' * (count > 1)}"
            results.append(_result(name, ours, "requests/s", bare))
            p99 = [min(turn[side]["p99_us"] for turn in turns) for side in (0, 1)]
            results.append(_result(f"{name}, p99", p99[1], "us", p99[0]))
    return results


def rollback_under_load(connections: int = 64, repetitions: int = 20) -> list[Result]:
    """From a local rollback's start to the last answer of the version left, under load; the worst of many."""
    body = json.dumps({"rows": [ROW]}).encode()
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder, _holdfast(Path(folder)) as (home, port):
        load = threading.Thread(
            target=_measure, args=(port, connections, body, repetitions * 0.5 + 1), daemon=True
        )
        load.start()
        time.sleep(0.5)
        for repetition in range(repetitions):
            started = time.perf_counter()
            local_rollback(home, "default", "production", "bikes", Actor("bench"), repetition)
            while _version(port, body) != "1":
                pass
            worst = max(worst, time.perf_counter() - started)
            _deploy(home, champion=2, epoch=2 * repetition + 100)
            time.sleep(0.2)
        load.join()
    return [
        _result(f"local rollback under {connections} connections, worst of {repetitions}", worst * 1e3, "ms")
    ]


def _result(name: str, value: float, unit: str, floor: float | None = None) -> Result:
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "floor": floor,
        "ratio": value / floor if floor else None,
    }


def _measure(port: int, connections: int, body: bytes, seconds: float = _TURN_S) -> dict[str, float]:
    """The load comes from a second process: in this one it would share an interpreter with the measurement."""
    command = [sys.executable, HERE / "load.py", "127.0.0.1", str(port), str(connections), str(seconds), PATH]
    done = subprocess.run(command, input=body, capture_output=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _version(port: int, body: bytes) -> str:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request("POST", PATH, body)
        return str(json.loads(connection.getresponse().read())["version"])


@contextlib.contextmanager
def _floor() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    arguments = [sys.executable, str(HERE / "serving_floor.py"), str(port), *map(str, COEFFICIENTS)]
    with _running(arguments):
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.02)
        yield port


@contextlib.contextmanager
def _holdfast(folder: Path) -> Iterator[tuple[Home, int]]:
    home = Home(folder)
    home.prepare()
    _deploy(home, champion=2, epoch=1)
    with _running([sys.executable, "-m", "holdfast.serving.plane.process", "--home", str(folder)]):
        while (info := home.serving()) is None:
            time.sleep(0.02)
        yield home, int(info.url.rpartition(":")[2])


@contextlib.contextmanager
def _running(arguments: list[str]) -> Iterator[None]:
    process = subprocess.Popen(arguments, env={**os.environ, "PYTHONPATH": str(HERE)})
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _deploy(home: Home, champion: int, epoch: int) -> None:
    versions = tuple(_served(home, number) for number in (1, 2))
    warm = tuple(item.version for item in versions if item.version != champion)
    variants = (Variant(champion, "champion", 100),)
    file = DeploymentFile(
        FORMAT, "default", "production", "bikes", epoch, epoch, variants, versions, warm, "salt", 0
    )
    assert write_deployment_file(home, file)


def _served(home: Home, version: int) -> ServedVersion:
    floats = tuple(FieldContract(name, "float", minimum=0.0, maximum=1.0) for name in FLOATS)
    contract = Contract(
        "rides",
        1,
        (
            *floats,
            FieldContract("weather", "string", categories=WEATHER),
            FieldContract("holiday", "boolean"),
            FieldContract("cnt", "float", role="label"),
        ),
    )
    columns = (
        *(SignatureColumn(name, "float") for name in FLOATS),
        SignatureColumn("weather", "string", categories=WEATHER),
        SignatureColumn("holiday", "boolean"),
    )
    data = to_msgpack(LinearModel(COEFFICIENTS, float(version), False, (0.0,) * len(COEFFICIENTS)))
    file = ModelFile("linear", "native", Blobs(home.blobs).put(data), len(data))
    return ServedVersion(version, Signature(columns, "regression", "cnt"), (file,), contract, "cnt")


if __name__ == "__main__":
    for result in [*throughput(), *throughput(rows=100, connections=(1,)), *rollback_under_load()]:
        print(json.dumps(result))
