"""Starting and ending training children, and keeping one warm.

Children lead sessions of their own, so that ending one ends everything that it started. They are started from one
thread that lives as long as the launcher, because Linux sends the parent-death signal when the *thread* that
started a child ends.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from holdfast.base import processes
from holdfast.base.encoding import from_json
from holdfast.training.child import FAILURE, OUTCOME, PARENT_VARIABLE, STDERR, STDOUT
from holdfast.training.records import TrainingFailure, TrainingOutcome

_POLL_S = 0.05
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "POLARS_MAX_THREADS",
)
_ERROR_LINES = 5


class Launcher:
    """Runs job folders in child processes, one child a job.

    Args:
        cpu_count: how many threads the numeric libraries of a child may use.
        standby: keep one child warm that has imported everything and waits for the next job.
    """

    def __init__(self, cpu_count: int, *, standby: bool = False) -> None:
        self._cpu_count = cpu_count
        self._keep_standby = standby
        self._standby: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="training-starter")

    def warm(self) -> None:
        """Starts the standby where one is wanted and there is none; returns at once."""
        with self._lock:
            if self._keep_standby and (self._standby is None or self._standby.poll() is not None):
                self._standby = self._start(["--wait"], None)

    def run(
        self,
        folder: Path,
        tell_pid: Callable[[int], None] | None = None,
        cancelled: threading.Event | None = None,
    ) -> TrainingOutcome | TrainingFailure:
        """Runs the job of a folder and waits for its end; a job that has ended before is only read.

        Args:
            tell_pid: called with the child's pid as soon as there is one.
            cancelled: setting it ends the child and everything that it has started.
        """
        known = read_result(folder)
        if known is not None:
            return known
        child = self._take_standby(folder) or self._start([str(folder)], folder)
        try:
            if tell_pid is not None:
                tell_pid(child.pid)
            self._wait(child, cancelled)
        finally:
            self._end(child)
        self.warm()
        return read_result(folder) or _died(folder, child.returncode, cancelled)

    def close(self) -> None:
        """Ends the standby."""
        with self._lock:
            if self._standby is not None:
                self._end(self._standby)
                self._standby = None
        self._starter.shutdown()

    def _wait(self, child: subprocess.Popen[bytes], cancelled: threading.Event | None) -> None:
        while cancelled is None or not cancelled.is_set():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(None if cancelled is None else _POLL_S)
                return

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        mark = processes.start_mark(child.pid) if child.poll() is None else None
        if mark is not None:
            processes.kill_group(child.pid, mark)
        child.wait()
        if child.stdin is not None:
            with contextlib.suppress(OSError):
                child.stdin.close()

    def _take_standby(self, folder: Path) -> subprocess.Popen[bytes] | None:
        with self._lock:
            child, self._standby = self._standby, None
        if child is None or child.poll() is not None or child.stdin is None:
            return None
        try:
            child.stdin.write(f"{folder}\n".encode())
            child.stdin.flush()
        except OSError:
            self._end(child)
            return None
        return child

    def _start(self, arguments: list[str], folder: Path | None) -> subprocess.Popen[bytes]:
        return self._starter.submit(self._popen, arguments, folder).result()

    def _popen(self, arguments: list[str], folder: Path | None) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "holdfast.training.child", *arguments]
        with contextlib.ExitStack() as files:
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE if folder is None else subprocess.DEVNULL,
                stdout=_open(files, folder, STDOUT),
                stderr=_open(files, folder, STDERR),
                env=self._environment(),
                start_new_session=True,
            )

    def _environment(self) -> dict[str, str]:
        threads = dict.fromkeys(_THREAD_VARIABLES, str(self._cpu_count))
        # Idle OpenMP threads that spin starve whatever else runs on a small machine; a fixed hash seed keeps the
        # order of sets in user code the same from run to run.
        fixed = {"OMP_WAIT_POLICY": "PASSIVE", "PYTHONHASHSEED": "0", PARENT_VARIABLE: str(os.getpid())}
        return {**os.environ, **threads, **fixed}


def read_result(folder: Path) -> TrainingOutcome | TrainingFailure | None:
    """What a child has left in its job folder; None when it has not ended there."""
    with contextlib.suppress(FileNotFoundError):
        return from_json((folder / OUTCOME).read_bytes(), TrainingOutcome)
    with contextlib.suppress(FileNotFoundError):
        return from_json((folder / FAILURE).read_bytes(), TrainingFailure)
    return None


def _died(folder: Path, code: int, cancelled: threading.Event | None) -> TrainingFailure:
    detail = ""
    with contextlib.suppress(OSError):
        detail = (folder / STDERR).read_text(errors="replace")
    if cancelled is not None and cancelled.is_set():
        return TrainingFailure("cancelled", "the training was cancelled", detail)
    how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
    last = " / ".join(detail.strip().splitlines()[-_ERROR_LINES:])
    message = f"the training process {how} without a result" + (f" ({last})" if last else "")
    hint = "; perhaps the machine ran out of memory" if code == -9 else ""
    return TrainingFailure("child_died", message + hint, detail)


def _open(files: contextlib.ExitStack, folder: Path | None, name: str) -> IO[bytes] | int:
    if folder is None:
        return subprocess.DEVNULL
    return files.enter_context((folder / name).open("ab"))
