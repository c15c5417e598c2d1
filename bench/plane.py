"""A home with a deployed linear model, a serving process on it, and load from a process of its own."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.floor import FLOATS, WEATHER
from bench.processes import ROOT, environment, free_port, listens, running, wait_for
from holdfast.base.blobs import Blobs
from holdfast.base.encoding import to_msgpack
from holdfast.base.home import Home
from holdfast.data.records import Contract, FieldContract
from holdfast.registry.formats.linear_format import LinearModel
from holdfast.registry.records import ModelFile, Signature, SignatureColumn
from holdfast.rollout.records import Variant
from holdfast.serving.deployment_file import write_deployment_file
from holdfast.serving.records import FORMAT, DeploymentFile, ServedVersion

COEFFICIENTS = tuple(float(number) for number in range(1, 15))
ROW: dict[str, Any] = {**dict.fromkeys(FLOATS, 0.1), "weather": "rain", "holiday": False}
NAME = "bikes"
PATH = f"/v1/predict/{NAME}"


def body(rows: int = 1) -> bytes:
    """A request of so many rows."""
    return json.dumps({"rows": [ROW] * rows}).encode()


def start_load(
    port: int, path: str, data: bytes, connections: int, seconds: float
) -> subprocess.Popen[bytes]:
    """Begins to send; the process prints what it saw when its time is over."""
    script = str(ROOT / "bench" / "load.py")
    process = subprocess.Popen(
        [sys.executable, script, "127.0.0.1", str(port), str(connections), str(seconds), path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdin is not None
    process.stdin.write(data)
    process.stdin.close()
    process.stdin = None
    return process


def finish_load(process: subprocess.Popen[bytes]) -> dict[str, float]:
    """What the load saw."""
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    found: dict[str, float] = json.loads(output)
    return found


def measure(port: int, data: bytes, connections: int, seconds: float) -> dict[str, float]:
    """One turn of load, from its beginning to its end."""
    return finish_load(start_load(port, PATH, data, connections, seconds))


@contextlib.contextmanager
def floor_server(kind: str, *arguments: str) -> Iterator[int]:
    """One of the servers of `bench.floor`, by its port."""
    port = free_port()
    with running([sys.executable, "-m", "bench.floor", kind, str(port), *arguments]):
        wait_for(lambda: listens(port))
        yield port


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[int]:
    """A serving process with one deployed version, by its port."""
    home = Home(folder / "home")
    home.prepare()
    _deploy(home)
    command = [sys.executable, "-m", "holdfast.serving.plane.process", "--home", str(home.root)]
    with running(command, folder / "serving.log"):
        wait_for(home.serving)
        info = home.serving()
        assert info is not None
        yield int(info.url.rpartition(":")[2])


def _deploy(home: Home) -> None:
    variants = (Variant(1, "champion", 100),)
    file = DeploymentFile(
        FORMAT, "default", "production", NAME, 1, 1, variants, (_served(home),), (), "salt", 0
    )
    assert write_deployment_file(home, file)


def _served(home: Home) -> ServedVersion:
    fields = (
        *(FieldContract(name, "float", minimum=0.0, maximum=1.0) for name in FLOATS),
        FieldContract("weather", "string", categories=WEATHER),
        FieldContract("holiday", "boolean"),
        FieldContract("cnt", "float", role="label"),
    )
    columns = (
        *(SignatureColumn(name, "float") for name in FLOATS),
        SignatureColumn("weather", "string", categories=WEATHER),
        SignatureColumn("holiday", "boolean"),
    )
    data = to_msgpack(LinearModel(COEFFICIENTS, 1.0, False, (0.0,) * len(COEFFICIENTS)))
    file = ModelFile("linear", "native", Blobs(home.blobs).put(data), len(data))
    return ServedVersion(
        1, Signature(columns, "regression", "cnt"), (file,), Contract("rides", 1, fields), "cnt"
    )
