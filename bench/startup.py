"""How fast things start and how much memory the server takes, beside bare Python and a bare server."""

from __future__ import annotations

import contextlib
import http.client
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from bench.processes import HOLDFAST, free_port, memory_mb, running, tree, wait_for, wall_s
from bench.report import Figure, figure
from holdfast.base.home import Home

_BARE = [sys.executable, "-c", "pass"]
QUICK, THOROUGH = (5, 3), (21, 9)
_STANDBY = "holdfast.training.child"


def figures(*, quick: bool) -> Iterator[Figure]:
    """Import, command line, server."""
    commands, servers = QUICK if quick else THOROUGH
    yield from _commands(commands)
    yield from _server(servers)


def _commands(repetitions: int) -> Iterator[Figure]:
    bare, imported, click, version = wall_s(
        [
            _BARE,
            [sys.executable, "-c", "import holdfast"],
            [sys.executable, "-c", "import click, msgspec"],
            [*HOLDFAST, "--version"],
        ],
        repetitions,
    )
    yield figure(
        "import holdfast",
        imported * 1e3,
        "ms",
        bare * 1e3,
        aim="≤ floor + 30 ms",
        limit="The interpreter's own start (the floor); public names are imported when they are first used.",
    )
    yield figure(
        "holdfast --version",
        version * 1e3,
        "ms",
        bare * 1e3,
        limit=f"Python with click and msgspec alone needs {click * 1e3:.0f} ms here.",
    )
    with tempfile.TemporaryDirectory() as folder, _started(Path(folder)) as (home, process):
        _settle(process)
        status, bare = wall_s([[*HOLDFAST, "--home", str(home.root), "status"], _BARE], repetitions)
    yield figure(
        "holdfast status, server running",
        status * 1e3,
        "ms",
        bare * 1e3,
        aim="≤ 200 ms",
        limit="Imports: click, msgspec, http.client and the records and services whose verb it calls.",
    )


def _server(repetitions: int) -> Iterator[Figure]:
    ready, alone, whole, bare_ready, bare_memory = [], [], [], [], []
    for _ in range(repetitions + 1):
        seconds, megabytes = _bare_server()
        bare_ready.append(seconds)
        bare_memory.append(megabytes)
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            with _started(Path(folder)) as (_, process):
                ready.append(time.perf_counter() - started)
                _settle(process)
                alone.append(memory_mb(_without_standby(process)))
                whole.append(memory_mb(tree(process)))
    floor = statistics.median(bare_memory[1:])
    yield figure(
        "server ready, from spawn to the first /health answer",
        statistics.median(ready[1:]),
        "s",
        statistics.median(bare_ready[1:]),
        aim="≤ 1.5 s",
        limit="Imports of the services, then creating the ledger; the floor is granian with Starlette and one route.",
    )
    yield figure(
        "server memory",
        statistics.median(alone[1:]),
        "MB",
        floor,
        aim="≤ 150 MB",
        limit="Python, Starlette and the services; polars (about 50 MB) joins when the first model is watched.",
    )
    yield figure(
        "server memory with the warm training child",
        statistics.median(whole[1:]),
        "MB",
        floor,
        limit="The child holds scikit-learn, scipy and polars, so that a training does not wait for their imports.",
    )


@contextlib.contextmanager
def _started(folder: Path) -> Iterator[tuple[Home, psutil.Popen]]:
    """A server that has answered /health once."""
    home = Home(folder / "home")
    command = [*HOLDFAST, "--home", str(home.root), "server", "--port", "0"]
    with running(command, folder / "server.log") as process:
        wait_for(home.server)
        info = home.server()
        assert info is not None
        assert _status(info.url, "/health") == 200
        yield home, process


def _bare_server() -> tuple[float, float]:
    """Seconds until the floor answers, and its memory."""
    port = free_port()
    started = time.perf_counter()
    with running([sys.executable, "-m", "bench.floor", "starlette", str(port)]) as process:
        wait_for(lambda: _answers(port))
        taken = time.perf_counter() - started
        return taken, memory_mb(tree(process))


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        return _status(f"http://127.0.0.1:{port}", "/health") == 200
    return False


def _status(url: str, path: str) -> int:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", path)
        return connection.getresponse().status


def _settle(process: psutil.Process) -> None:
    """Waits until the family has stopped growing: the training child imports for a while."""
    before, calm = 0.0, 0
    deadline = time.monotonic() + 20
    while calm < 3 and time.monotonic() < deadline:
        time.sleep(0.3)
        now = memory_mb(tree(process))
        calm = calm + 1 if abs(now - before) < 1.0 and len(tree(process)) > 1 else 0
        before = now


def _without_standby(process: psutil.Process) -> Sequence[psutil.Process]:
    return [item for item in tree(process) if _STANDBY not in " ".join(item.cmdline())]
