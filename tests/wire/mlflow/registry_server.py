"""A whole server in this process, for tests that want to look behind it too."""

from __future__ import annotations

import threading
import time
from random import Random

import pytest

from holdfast.base.clock import SystemClock
from holdfast.base.home import Home
from holdfast.base.ledger import SqliteLedger
from holdfast.server.app import build_app
from holdfast.server.compose import MIGRATIONS, compose
from holdfast.server.process import free_port
from holdfast.server.runtime import Runtime


@pytest.fixture
def services(tmp_path):
    home = Home(tmp_path / "home")
    home.prepare()
    ledger = SqliteLedger(home.ledger, MIGRATIONS)
    clock = SystemClock()
    runtime = Runtime(clock, 0.5)
    made = compose(home, ledger, clock, settle=runtime.settle, wake=runtime.wake, rng=Random(7))
    runtime.start(made)
    yield made
    runtime.stop()
    ledger.close()


@pytest.fixture
def registry_url(services, monkeypatch):
    import uvicorn

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    app = build_app(services, services.pages(SystemClock(), services.ledger), lambda: None)
    port = free_port("127.0.0.1", 0)
    config = uvicorn.Config(app, "127.0.0.1", port, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(5)
