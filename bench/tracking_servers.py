"""The servers that `bench.tracking` compares, each by its port, and the peer's environment."""

from __future__ import annotations

import contextlib
import http.client
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.processes import HOLDFAST, ROOT, free_port, memory_mb, running, tree, wait_for
from holdfast.base.home import Home

_STANDBY = "holdfast.training.child"


@dataclass(frozen=True)
class Started:
    """A server that has answered once: how long that took, and its process."""

    port: int
    seconds: float
    process: psutil.Process

    def resident_mb(self) -> float:
        """Resident memory of everything that answers (a warm training child does not)."""
        kept = [one for one in tree(self.process) if _STANDBY not in " ".join(one.cmdline())]
        return sum(one.memory_info().rss for one in kept) / 1e6

    def settled_mb(self) -> float:
        """Resident memory, once it has stopped growing after the start."""
        before, deadline = 0.0, time.monotonic() + 10
        while time.monotonic() < deadline:
            time.sleep(0.3)
            now = memory_mb(tree(self.process))
            if abs(now - before) < 0.5:
                break
            before = now
        return self.resident_mb()


@contextlib.contextmanager
def holdfast(folder: Path, ledger: str = "") -> Iterator[Started]:
    """A server of ours on a home in `folder`, on SQLite or on the ledger given."""
    home = Home(folder / "home")
    command = [*HOLDFAST, "--home", str(home.root), "server", "--port", "0"]
    started = time.perf_counter()
    with running([*command, "--ledger", ledger] if ledger else command, folder / "server.log") as process:
        wait_for(home.server)
        info = home.server()
        assert info is not None
        port = int(info.url.rpartition(":")[2])
        wait_for(lambda: answers(port))
        yield Started(port, time.perf_counter() - started, process)


@contextlib.contextmanager
def mlflow(folder: Path, python: Path) -> Iterator[Started]:
    """MLflow's server with one worker on SQLite, from its own environment."""
    port = free_port()
    command = [str(python), "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    started = time.perf_counter()
    with running(command, folder / "mlflow.log") as process:
        wait_for(lambda: answers(port), seconds=180, pause_s=0.02)
        seconds = time.perf_counter() - started
        _calm(process)
        yield Started(port, seconds, process)


def _calm(process: psutil.Process) -> None:
    """Waits until a server has done what it does after its first answer (MLflow starts more processes)."""
    deadline = time.monotonic() + 60
    before = _cpu_s(process)
    while time.monotonic() < deadline:
        time.sleep(1.0)
        now = _cpu_s(process)
        if now - before < 0.1:
            return
        before = now


def _cpu_s(process: psutil.Process) -> float:
    used = 0.0
    for one in tree(process):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            used += times.user + times.system
    return used


def peer_python() -> Path | None:
    """The interpreter of the peer's environment: .venv-mlflow, or the one that HOLDFAST_BENCH_MLFLOW names."""
    named = os.environ.get("HOLDFAST_BENCH_MLFLOW")
    python = Path(named) if named else ROOT / ".venv-mlflow" / "bin" / "python"
    return python if python.exists() else None


def answers(port: int) -> bool:
    """Whether /health answers."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
    return False
