"""`kill -9` in the midst of the demo: predictions go on, a rollback works without the server, nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.base.home import Home
from holdfast.serving.log import DeploymentKey, PredictionLog
from tests.cli.demo.conftest import COMMAND, WITHIN_S
from tests.server.conftest import holdfast

MODEL = "payment-fraud"
KEY = DeploymentKey("default", "production", MODEL)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def demo(home: Home) -> Iterator[subprocess.Popen[str]]:
    """A demo of the payments under way; ended with everything it has started."""
    process = subprocess.Popen(
        [*COMMAND, "demo", "--home", str(home.root), "--json", "--exit"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    if process.poll() is None:
        process.terminate()
        process.wait(30)


def wait(condition: Callable[[], Any], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def champion(home: Home) -> int:
    path = home.deployments / "default" / "production" / f"{MODEL}.json"
    if not path.exists():
        return 0
    variants = json.loads(path.read_bytes())["variants"]
    return next(int(item["version"]) for item in variants if item["role"] == "champion")


def answered(home: Home) -> int:
    return PredictionLog(home).predictions(KEY).height


def decisions(home: Home) -> list[dict[str, Any]]:
    """Oldest first, with the person or loop and the reason."""
    found = json.loads(holdfast(home, "trace", MODEL, "--json").stdout)
    return list(found["decisions"])


@pytest.mark.slow
def test_the_loop_survives_the_death_of_the_server_and_of_serving(
    home: Home, demo: subprocess.Popen[str]
) -> None:
    wait(lambda: champion(home) == 2)
    server = home.server()
    assert server is not None
    os.kill(server.pid, signal.SIGKILL)
    before = answered(home)
    rolled_back = holdfast(home, "rollback", MODEL, "--json")
    assert rolled_back.returncode == 0, rolled_back.stderr
    found = json.loads(rolled_back.stdout)
    assert (found["to"], found["server"]) == (1, False)
    assert home.server() is None and answered(home) > before  # predictions go on without a server

    wait(lambda: home.server() is not None and home.server() != server)
    assert champion(home) == 1  # the new server adopted the rollback instead of undoing it
    resumed = holdfast(home, "resume", MODEL, "--json")
    assert resumed.returncode == 0, resumed.stderr
    serving = home.serving()
    assert serving is not None
    os.kill(serving.pid, signal.SIGKILL)

    out, said = demo.communicate(timeout=WITHIN_S)
    assert demo.returncode == 0, said
    facts = json.loads(out)
    assert facts["predictions_sent"] == facts["predictions_logged"] == facts["labels_sent"]
    assert facts["labels_sent"] == facts["labels_joined"]
    kinds = [kind for kind, *_ in facts["decisions"]]
    adopted = kinds.index("roll back")
    assert kinds[adopted + 1] == "resume"
    assert "retrain" in kinds[adopted:]  # the loop goes on where it was
    assert facts["decisions"][adopted][2].startswith("2025-")  # on the clock of the simulation
