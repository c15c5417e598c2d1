"""Imports of stores that MLflow has just written, compared figure by figure by its own client."""

from __future__ import annotations

import copy
import os
import signal

import pytest

from holdfast.base.home import Home
from holdfast.cli.session import start_server
from tests.sdk.imports.record import mlflow_server
from tests.sdk.imports.scenario import log_scenario
from tests.sdk.imports.sources import run_import
from tests.sdk.imports.told import told_by_client, without_gated

pytestmark = [pytest.mark.mlflow, pytest.mark.slow]
pytest.importorskip("mlflow")


@pytest.fixture(autouse=True)
def _own_place(monkeypatch, tmp_path):
    """MLflow makes folders where it runs, and asks for the file store to be allowed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


@pytest.fixture
def new_home(tmp_path):
    """Makes homes with a running server each."""
    processes = []

    def make(name):
        home = Home(tmp_path / name)
        processes.append(start_server(home, ["--port", "0"], detached=True))
        return home

    yield make
    for process in processes:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def check_same(there, here):
    """Both clients tell the same, but for what an import asks for instead of setting, and when Default began."""
    there, here = without_gated(copy.deepcopy(there)), without_gated(here)
    for told in (there, here):
        told["experiments"]["Default"]["created"] = None
    for noun in there:
        assert here[noun] == there[noun], noun


def test_a_server_and_the_database_behind_it(tmp_path, new_home):
    from holdfast.server.process import free_port

    folder = tmp_path / "mlflow"
    folder.mkdir()
    by_url, by_file = new_home("by-url"), new_home("by-file")
    with mlflow_server(folder, free_port("127.0.0.1", 0)) as url:
        log_scenario(url)
        there = told_by_client(url)
        assert run_import(by_url, url)["problems"] == []
        check_same(there, told_by_client(by_url.server().url))
    assert run_import(by_file, f"sqlite:///{folder}/mlflow.db")["problems"] == []
    check_same(there, told_by_client(by_file.server().url))


def test_a_file_store(tmp_path, new_home):
    uri = f"file://{tmp_path}/mlruns"
    log_scenario(uri)
    there = told_by_client(uri)
    home = new_home("home")
    assert run_import(home, uri)["problems"] == []
    (curve,) = [run["curves"]["accuracy"] for run in there["runs"].values() if "accuracy" in run["curves"]]
    # MLflow wrote step 1 to the file, and reads 0 from lines about a dataset.
    assert curve[0][0] == 0
    curve[0][0] = 1
    check_same(there, told_by_client(home.server().url))
