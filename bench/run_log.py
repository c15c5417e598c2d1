"""What logging costs the script that is tracked."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.processes import HOLDFAST, running, wait_for
from bench.report import Figure, figure
from holdfast.base.home import Home

_ROUNDS = {True: 5, False: 15}
_CALLS = 20_000


def figures(*, quick: bool) -> Iterator[Figure]:
    """`run.log` with two metrics while a server takes them, beside a JSON line that nobody sends anywhere."""
    import holdfast as hf

    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        command = [*HOLDFAST, "--home", str(home.root), "server", "--port", "0"]
        with running(command, Path(folder) / "server.log"):
            wait_for(home.server)
            with hf.run("bench", home=str(home.root), quiet=True) as run:
                logged = [
                    _microseconds(lambda step: run.log(loss=0.5, accuracy=0.25, step=step))
                    for _ in range(_ROUNDS[quick])
                ]
        with _lines(Path(folder) / "lines.jsonl") as write:
            written = [_microseconds(write) for _ in range(_ROUNDS[quick])]
    yield figure(
        "run.log with two metrics, while they are sent",
        statistics.median(logged),
        "µs",
        statistics.median(written),
        aim="≤ 10 µs",
        limit="The floor is a JSON line a call, written at once; both outlive a kill -9 of the script.",
    )


@contextlib.contextmanager
def _lines(path: Path) -> Iterator[Callable[[int], None]]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(step: int) -> None:
        line = json.dumps({"at": time.time(), "step": step, "loss": 0.5, "accuracy": 0.25}) + "\n"
        os.write(descriptor, line.encode())

    try:
        yield write
    finally:
        os.close(descriptor)


def _microseconds(call: Callable[[int], None]) -> float:
    started = time.perf_counter()
    for step in range(_CALLS):
        call(step)
    return (time.perf_counter() - started) / _CALLS * 1e6
