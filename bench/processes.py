"""Starting, timing and weighing the processes that are measured."""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent
_LINUX = sys.platform == "linux"
_script = Path(sys.executable).parent / "holdfast"
HOLDFAST = [str(_script)] if _script.exists() else [sys.executable, "-m", "holdfast.cli.main"]


def environment() -> dict[str, str]:
    """The environment of measured processes: no settings of the caller's, and bytecode as an installation has it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    if kept.pop("PYTHONDONTWRITEBYTECODE", ""):
        kept.setdefault("PYTHONPYCACHEPREFIX", str(Path(tempfile.gettempdir()) / "holdfast-bench-bytecode"))
    return kept


def wall_s(commands: Sequence[Sequence[str]], repetitions: int) -> list[float]:
    """Median wall time of each command; they run in turns, so that all meet the same machine."""
    taken: list[list[float]] = [[] for _ in commands]
    for turn in range(repetitions + 1):
        for place, command in enumerate(commands):
            started = time.perf_counter()
            subprocess.run(command, env=environment(), cwd=ROOT, capture_output=True, check=True)
            if turn:  # the first finds cold files and writes bytecode
                taken[place].append(time.perf_counter() - started)
    return [statistics.median(item) for item in taken]


@contextlib.contextmanager
def running(command: Sequence[str], log: Path | None = None) -> Iterator[psutil.Popen]:
    """A process in the background; it and everything that it started has ended afterwards."""
    with contextlib.ExitStack() as files:
        output = files.enter_context(log.open("wb")) if log else subprocess.DEVNULL
        process = psutil.Popen(command, env=environment(), cwd=ROOT, stdout=output, stderr=output)
    try:
        yield process
    finally:
        family = tree(process)
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
        with contextlib.suppress(psutil.TimeoutExpired):
            process.wait(20)
        _, alive = psutil.wait_procs(family, timeout=2)
        for left in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                left.kill()


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], object], seconds: float = 60.0, pause_s: float = 0.002) -> None:
    """Waits until a condition holds.

    Raises:
        TimeoutError: it did not.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"it did not happen within {seconds:g} s")
        time.sleep(pause_s)


def listens(port: int) -> bool:
    """Whether something accepts connections on a port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def tree(process: psutil.Process) -> list[psutil.Process]:
    """A process and its descendants."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []


def memory_mb(processes: Sequence[psutil.Process]) -> float:
    """Proportional memory of processes (what they share is counted once); resident memory where that is unknown."""
    return sum(_memory_bytes(process) for process in processes) / 1e6


def _memory_bytes(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
        return process.memory_full_info().pss if _LINUX else process.memory_info().rss
    return 0


class PeakMemory:
    """Watches the memory of a process and its descendants from a thread."""

    def __init__(self, process: psutil.Process, every_s: float = 0.2) -> None:
        self.mb = 0.0
        self._process, self._every_s = process, every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(self._every_s):
            self.mb = max(self.mb, memory_mb(tree(self._process)))
