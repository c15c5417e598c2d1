"""The client of `bench.tracking`: the same requests to every server, in turns, from one process.

    python bench/tracking_client.py < asked.json

`asked.json` holds kind, turns, seconds (of one turn at one server) and servers (name: port). Printed is one JSON
object: by server, the milliseconds a call took in each turn. Everything is sent over one kept-alive connection,
and the bodies are made before the clock starts, so that no client is measured with the server; the kind `client`
is the other way round and logs through MLflow's own client, which then has to be installed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

sys.path.insert(0, str(Path(__file__).parent))

from load import Connection  # beside this file: the client also runs where holdfast is not installed

_API = "/api/2.0/mlflow"
_NO_RUN = "0" * 32
_AT_MS = 1_700_000_000_000
_AHEAD = 16
_BATCH = 1000
# Making the bodies takes longer than some servers take to answer them; a turn ends after so many times its seconds.
_WITHIN = 3


class Client:
    """One connection to one server."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._connection = Connection("127.0.0.1", port)

    def timed(self, request: bytes) -> float:
        """Seconds until the whole answer is there.

        Raises:
            RuntimeError: the answer is an error.
        """
        connection = self._connection
        started = time.perf_counter()
        connection.send(request)
        while (good := connection.receive()) is None:
            pass
        taken = time.perf_counter() - started
        if not good:
            raise RuntimeError(f"port {self.port} refused {request[:300]!r}")
        return taken

    def post(self, path: str, body: object) -> bytes:
        """A POST as it travels."""
        data = json.dumps(body).encode()
        head = (
            f"POST {_API}/{path} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
        )
        return head.encode() + data

    def get(self, path: str, fields: dict[str, object]) -> bytes:
        """A GET as it travels."""
        asked = urlencode(fields, doseq=True)
        return f"GET {path}?{asked} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\n\r\n".encode()


def new_run(port: int) -> str:
    """The id of a new run of experiment 0; servers that know none get a constant one."""
    from http.client import HTTPConnection

    connection = HTTPConnection("127.0.0.1", port)
    body = json.dumps({"experiment_id": "0", "start_time": _AT_MS})
    connection.request("POST", f"{_API}/runs/create", body, {"content-type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return str(answer["run"]["info"]["run_id"]) if "run" in answer else _NO_RUN


def requests(kind: str, client: Client, run_id: str, first: int) -> list[bytes]:
    """The next requests of a kind; `first` makes each of them new."""
    numbers = range(first, first + _AHEAD)
    if kind == "log-metric":
        return [
            client.post("runs/log-metric", {"run_id": run_id, **_point("loss", step)}) for step in numbers
        ]
    if kind == "create-run":
        body = {"experiment_id": "0", "run_name": "bench", "start_time": _AT_MS, "tags": _TAGS}
        return [client.post("runs/create", body)] * _AHEAD
    if kind == "log-batch":
        metrics = [
            [_point(f"m{item % 10}", 100 * number + item // 10) for item in range(_BATCH)]
            for number in numbers
        ]
    else:  # log-batch-keys
        metrics = [[_point(f"m{item}", number) for item in range(_BATCH)] for number in numbers]
    return [client.post("runs/log-batch", {"run_id": run_id, "metrics": batch}) for batch in metrics]


_TAGS = [{"key": "mlflow.user", "value": "bench"}, {"key": "mlflow.source.name", "value": "train.py"}]


def _point(key: str, step: int) -> dict[str, object]:
    # Values are noise, as packing smooth ones would cost less than most curves do.
    value = ((step * 2654435761 + len(key)) % 1_000_003) / 1_000_003
    return {"key": key, "value": value, "timestamp": _AT_MS + step, "step": step}


def raw(kind: str, port: int) -> Callable[[float], float]:
    """A turn: milliseconds a call over so many seconds."""
    run_id, count = new_run(port), 0

    def turn(seconds: float) -> float:
        nonlocal count
        client = Client(port)
        client.timed(requests(kind, client, run_id, count)[0])
        count += _AHEAD
        taken: list[float] = []
        until = time.perf_counter() + _WITHIN * seconds
        while sum(taken) < seconds and time.perf_counter() < until:
            for request in requests(kind, client, run_id, count):
                taken.append(client.timed(request))
            count += _AHEAD
        return sum(taken) / len(taken) * 1e3

    return turn


def asking(body: dict[str, object], path: str, port: int) -> Callable[[float], float]:
    """A turn of one question, asked over and over: the median in milliseconds."""

    def turn(seconds: float) -> float:
        client = Client(port)
        request = client.get(path, body) if path.startswith("/") else client.post(path, body)
        client.timed(request)
        taken: list[float] = []
        while sum(taken) < seconds or len(taken) < 3:
            taken.append(client.timed(request))
        return sorted(taken)[len(taken) // 2] * 1e3

    return turn


def through_mlflow(port: int) -> Callable[[float], float]:
    """A turn of MLflow's own client: milliseconds a call of log_metric."""
    from mlflow import MlflowClient

    client, run_id = MlflowClient(tracking_uri=f"http://127.0.0.1:{port}"), new_run(port)

    def steps() -> Iterator[int]:
        yield from range(1 << 40)

    numbers = steps()

    def turn(seconds: float) -> float:
        client.log_metric(run_id, "loss", 0.5, timestamp=_AT_MS, step=next(numbers))
        started, calls = time.perf_counter(), 0
        while time.perf_counter() - started < seconds:
            client.log_metric(run_id, "loss", 0.5, timestamp=_AT_MS, step=next(numbers))
            calls += 1
        return (time.perf_counter() - started) / calls * 1e3

    return turn


def main() -> None:
    """Reads what is asked and prints what it took."""
    asked = json.load(sys.stdin)
    turns: dict[str, Callable[[float], float]] = {}
    for name, port in asked["servers"].items():
        if asked["kind"] == "ask":
            turns[name] = asking(asked["body"][name], asked["path"], port)
        elif asked["kind"] == "client":
            turns[name] = through_mlflow(port)
        else:
            turns[name] = raw(asked["kind"], port)
    found: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(asked["turns"] + 1):
        for name, turn in turns.items():
            taken = turn(asked["seconds"])
            if number:  # the first turn fills caches, of everybody
                found[name].append(taken)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
