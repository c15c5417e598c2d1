"""Real server processes on free ports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.base.home import Home
from holdfast.cli.session import start_server


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


@pytest.fixture
def servers():
    """Starts servers and ends what is left of them."""
    started: list[subprocess.Popen[bytes]] = []

    def start(home: Home, *arguments: str) -> subprocess.Popen[bytes]:
        process = start_server(home, ["--port", "0", *arguments], detached=True)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def holdfast(home: Home, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Runs the command line as a user would."""
    return subprocess.run(
        [sys.executable, "-m", "holdfast.cli.main", "--home", str(home.root), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=Path(home.root).parent,
    )


def wait_for(condition: Callable[[], bool], within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
