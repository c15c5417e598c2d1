"""Owning child processes: telling a process from another that was given its pid, and ending a whole group."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LINUX = os.uname().sysname == "Linux"


def start_mark(pid: int) -> str | None:
    """A text that identifies this life of a pid, on this machine, or None when there is no such process.

    On Linux it is the start time in clock ticks from /proc; elsewhere what `ps` says. Servers that share a ledger
    read each other's marks, so it names the machine, and since when it runs.
    """
    if _LINUX:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] == "Z" else f"{fields[19]}@{_machine()}"
    done = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, check=False)
    started = done.stdout.decode().strip()
    return f"{started}@{_machine()}" if started else None


@functools.cache
def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = ""
    return f"{socket.gethostname()}/{boot}"


def is_same(pid: int, mark: str) -> bool:
    """Whether the process that was given `mark` still lives."""
    return start_mark(pid) == mark


def kill_group(pid: int, mark: str, *, grace_s: float = 2.0) -> None:
    """Ends the process group of a child that leads it: politely, then for certain."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not is_same(pid, mark):
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)
        deadline = time.monotonic() + grace_s
        while is_same(pid, mark) and time.monotonic() < deadline:
            time.sleep(0.01)


def die_with_parent() -> bool:
    """Asks the kernel to kill this process when its parent dies; False where that is not supported.

    Only Linux can do it. Elsewhere an orphan is found by its pid and start mark and ended at recovery.
    """
    if not _LINUX:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) == 0)
