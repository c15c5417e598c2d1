"""A home with a deployment in it, and a real serving process on it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from holdfast.base.blobs import Blobs
from holdfast.base.encoding import to_msgpack
from holdfast.base.home import Home
from holdfast.data.records import Contract, FieldContract
from holdfast.registry.formats.linear_format import LinearModel
from holdfast.registry.records import ModelFile, Signature, SignatureColumn, Task
from holdfast.rollout.records import Variant
from holdfast.serving.deployment_file import write_deployment_file
from holdfast.serving.log import DeploymentKey
from holdfast.serving.records import FORMAT, DeploymentFile, ServedVersion

KEY = DeploymentKey("default", "production", "bikes")
WEATHER = ("clear", "rain", "snow")
CONTRACT = Contract(
    "rides",
    1,
    (
        FieldContract("store", "string", role="key"),
        FieldContract("temp", "float", minimum=0.0, maximum=1.0),
        FieldContract("weather", "string", categories=WEATHER),
        FieldContract("hr", "integer", minimum=0.0, maximum=23.0),
        FieldContract("holiday", "boolean", required=False),
        FieldContract("cnt", "float", role="label"),
    ),
)
COLUMNS = (
    SignatureColumn("temp", "float"),
    SignatureColumn("weather", "string", categories=WEATHER),
    SignatureColumn("hr", "integer"),
    SignatureColumn("holiday", "boolean"),
)
ROW: dict[str, Any] = {"store": "s1", "temp": 0.5, "weather": "rain", "hr": 7, "holiday": False}
START_S = 20.0


def value_of(version: int, row: dict[str, Any] = ROW) -> float:
    """What version `version` of the model answers: 100 × version + temp + 2 × weather + 3 × hr + 4 × holiday."""
    return float(
        100 * version
        + row["temp"]
        + 2 * WEATHER.index(row["weather"])
        + 3 * row["hr"]
        + 4 * bool(row.get("holiday"))
    )


def served(home: Home, version: int, *, broken: bool = False, task: Task = "regression") -> ServedVersion:
    """A linear version; a broken one answers infinity."""
    model = LinearModel((float("inf") if broken else 1.0, 2.0, 3.0, 4.0), 100.0 * version, False, (0.0,) * 4)
    data = to_msgpack(model)
    digest = Blobs(home.blobs).put(data)
    files = (ModelFile("linear", "native", digest, len(data)),)
    return ServedVersion(version, Signature(COLUMNS, task, "cnt"), files, CONTRACT, "cnt", key=("store",))


def deploy(
    home: Home,
    revision: int,
    variants: tuple[Variant, ...],
    versions: tuple[ServedVersion, ...],
    name: str = "bikes",
) -> DeploymentFile:
    """Publishes a revision; versions that no variant names are warm."""
    used = {variant.version for variant in variants}
    warm = tuple(item.version for item in versions if item.version not in used)
    file = DeploymentFile(
        FORMAT, "default", "production", name, revision, revision, variants, versions, warm, "salt", revision
    )
    assert write_deployment_file(home, file)
    return file


def simple(home: Home, champion: int, revision: int = 1, *warm: int) -> DeploymentFile:
    """One champion with all the traffic."""
    versions = tuple(served(home, number) for number in (champion, *warm))
    return deploy(home, revision, (Variant(champion, "champion", 100),), versions)


class Plane:
    """A running serving process."""

    def __init__(self, home: Home, process: subprocess.Popen[bytes], port: int) -> None:
        self.home, self.process, self.port = home, process, port

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any, dict[str, str]]:
        """Status, decoded body and headers (lower case)."""
        connection = self.connect()
        with contextlib.closing(connection):
            data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            connection.request(method, path, data)
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, json.loads(answer.read()), headers

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        return self.call("POST", path, body)[:2]

    def get(self, path: str) -> tuple[int, Any]:
        return self.call("GET", path)[:2]

    def predict(self, rows: Any, **rest: Any) -> Any:
        status, answer = self.post("/v1/predict/bikes", {"rows": rows, **rest})
        assert status == 200, answer
        return answer

    def settle(self) -> None:
        """Waits until the shadows have scored everything."""
        wait(lambda: self.get("/v1/deployments/bikes")[1]["shadow_pending"] == 0)

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children]


@contextlib.contextmanager
def serving(home: Home, *options: str) -> Iterator[Plane]:
    """Starts a serving process on any free port, and ends it gracefully."""
    plane = start(home, *options)
    try:
        yield plane
    finally:
        if plane.process.poll() is None:
            plane.process.send_signal(signal.SIGTERM)
        try:
            plane.process.wait(15)
        except subprocess.TimeoutExpired:
            plane.process.kill()
            raise


def start(home: Home, *options: str) -> Plane:
    home.prepare()
    log = (home.root / "serving.log").open("ab")
    process = subprocess.Popen(
        [sys.executable, "-m", "holdfast.serving.plane.process", "--home", str(home.root), *options],
        stdout=log,
        stderr=log,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    log.close()

    def ready() -> bool:
        assert process.poll() is None, (home.root / "serving.log").read_text()
        info = home.serving()
        return info is not None and info.pid == process.pid

    wait(ready)
    info = home.serving()
    assert info is not None
    return Plane(home, process, int(info.url.rpartition(":")[2]))


def wait(condition: Any, seconds: float = START_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
