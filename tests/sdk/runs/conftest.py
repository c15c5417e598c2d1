"""Scripts that log, run as their users run them, and one server for most of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.base.client import Client
from holdfast.base.context import local_context
from holdfast.base.home import Home
from holdfast.sdk.session import start_server
from holdfast.tracking.run_records import CurvesRequest, RunDescription, RunRequest, RunSearch, RunSummary
from holdfast.tracking.service import RunCatalog

Script = Callable[..., subprocess.Popen[str]]


class World:
    """A home with a server, and questions about what arrived there."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.process = start_server(home, ["--port", "0"], detached=True)

    @property
    def url(self) -> str:
        info = self.home.server()
        assert info is not None
        return info.url

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def restart(self) -> None:
        self.process = start_server(self.home, ["--port", "0"], detached=True)

    def close(self) -> None:
        if self.process.poll() is None:
            self.kill()

    def call(self, verb: Any, request: Any) -> Any:
        client = Client(self.url, local_context())
        try:
            return client.call(verb, request)
        finally:
            client.close()

    def runs(self, experiment: str) -> list[RunSummary]:
        """The runs of an experiment, the first started first."""
        found = self.call(RunCatalog.search, RunSearch(experiments=(experiment,), limit=1000)).runs
        return sorted(found, key=lambda run: run.started_at)

    def describe(self, run_id: str) -> RunDescription:
        found: RunDescription = self.call(RunCatalog.describe, RunRequest(run_id))
        return found

    def points(self, run_id: str, key: str) -> list[tuple[int, float]]:
        """Steps and values of a metric, as long as it is no longer than 10,000 points."""
        (curve,) = self.call(RunCatalog.curves, CurvesRequest(run_id, (key,), 10_000)).curves
        return list(zip(curve.steps, map(float, curve.values), strict=True))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(Home(tmp_path_factory.mktemp("world") / "home"))
    yield made
    made.close()


@pytest.fixture
def own_world(tmp_path: Path) -> Iterator[World]:
    """A server that a test may kill."""
    made = World(Home(tmp_path / "home"))
    yield made
    made.close()


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a script in a folder of its own; what still runs at the end is ended."""
    started: list[subprocess.Popen[str]] = []

    def start(home: Home, text: str, *arguments: str, name: str = "train.py", **environment: str) -> Any:
        folder = tmp_path / "work"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text))
        process = subprocess.Popen(
            [sys.executable, name, *arguments],
            cwd=folder,
            env={**os.environ, "HOLDFAST_HOME": str(home.root), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def finished(process: subprocess.Popen[str], within_s: float = 60.0) -> str:
    """The output of a script that went well."""
    out, err = process.communicate(timeout=within_s)
    assert process.returncode == 0, err
    return out
