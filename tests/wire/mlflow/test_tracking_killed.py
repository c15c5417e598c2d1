"""kill -9 in the middle of eight clients' logging: whatever was acknowledged is there afterwards."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import threading
import time

import pytest

from holdfast.base.home import Home
from holdfast.cli.session import start_server
from tests.wire.mlflow.tracking_server import Raw, server_arguments


class Client(threading.Thread):
    """Logs metrics, batches, parameters and files until the server is gone; remembers what was acknowledged."""

    def __init__(self, url: str, number: int) -> None:
        super().__init__()
        self.raw = Raw(url)
        self.number = number
        self.run_id = self.raw.ok("POST", "/runs/create", {"run_name": f"client {number}"})["run"]["info"][
            "run_id"
        ]
        self.points: set[tuple[str, int]] = set()
        self.parameters: dict[str, str] = {}
        self.files: list[str] = []

    def run(self) -> None:
        rng = random.Random(self.number)
        with contextlib.suppress(OSError, http.client.HTTPException):
            for turn in range(100_000):
                self._log(rng, turn)

    def _log(self, rng: random.Random, turn: int) -> None:
        kind = rng.randrange(10)
        if kind < 6:
            self._batch([("single", turn)])
        elif kind < 8:
            self._batch([(f"many{number}", turn) for number in range(rng.randrange(2, 60))])
        elif kind < 9:
            body = {"run_id": self.run_id, "key": f"p{turn}", "value": str(turn)}
            self.raw.ok("POST", "/runs/log-parameter", body)
            self.parameters[f"p{turn}"] = str(turn)
        else:
            path = f"0/{self.run_id}/artifacts/f{turn}.txt"
            assert (
                self.raw.send("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{path}", b"%d" % turn * 1000)[0]
                == 200
            )
            self.files.append(path)

    def _batch(self, points: list[tuple[str, int]]) -> None:
        metrics = [{"key": key, "value": step, "timestamp": 1, "step": step} for key, step in points]
        self.raw.ok("POST", "/runs/log-batch", {"run_id": self.run_id, "metrics": metrics})
        self.points.update(points)


def verify(raw: Raw, client: Client) -> None:
    found = raw.ok("GET", f"/runs/get?run_id={client.run_id}")["run"]["data"]
    kept = {pair["key"]: pair["value"] for pair in found.get("params", [])}
    assert client.parameters.items() <= kept.items()
    newest = {metric["key"]: metric["step"] for metric in found.get("metrics", [])}
    for key in {key for key, _ in client.points}:
        history = raw.ok("GET", f"/metrics/get-history?run_id={client.run_id}&metric_key={key}")["metrics"]
        steps = [point["step"] for point in history]
        assert len(steps) == len(set(steps))
        acknowledged = {step for name, step in client.points if name == key}
        assert acknowledged <= set(steps)
        # One more at most was written and not acknowledged.
        assert len(set(steps) - acknowledged) <= 1
        assert newest[key] == max(steps)
    for path in client.files:
        turn = int(path.rpartition("/f")[2].removesuffix(".txt"))
        status, data = raw.send("GET", f"/api/2.0/mlflow-artifacts/artifacts/{path}")
        assert (status, data) == (200, b"%d" % turn * 1000)


@pytest.fixture
def start(tmp_path, ledger_factory):
    """Starts the server of one home and ledger, again and again."""
    home = Home(tmp_path / "home")
    arguments = server_arguments(ledger_factory.location)
    return lambda: (start_server(home, arguments, detached=True), home.server().url)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_acknowledged_is_lost(start, seed):
    rng = random.Random(seed)
    earlier: list[Client] = []
    for _ in range(2):
        process, url = start()
        try:
            for client in earlier:
                verify(Raw(url), client)
            clients = [Client(url, seed * 100 + number) for number in range(8)]
            for client in clients:
                client.start()
            time.sleep(rng.uniform(0.3, 1.5))
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for client in clients:
            client.join(10)
        assert sum(len(client.points) for client in clients) > 20
        earlier.extend(clients)
    process, url = start()
    try:
        for client in earlier:
            verify(Raw(url), client)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
