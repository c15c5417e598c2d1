"""Fixtures of the tests of MLflow's surface."""

from __future__ import annotations

import uuid

import pytest

from tests.wire.mlflow.tracking_server import project, raw, registry_url, tracking_home, tracking_url

__all__ = ["client", "project", "raw", "registry_url", "tracked", "tracking_home", "tracking_url"]


@pytest.fixture
def tracked(tracking_url, monkeypatch):
    """MLflow pointed at the server, in an experiment of the test's own; its id."""
    from tests.real_mlflow import mlflow, use_server

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    use_server(tracking_url)
    experiment = mlflow.set_experiment(uuid.uuid4().hex)
    yield experiment.experiment_id
    mlflow.end_run()
    mlflow.autolog(disable=True, silent=True)


@pytest.fixture
def client(tracked, tracking_url):
    from tests.real_mlflow import mlflow

    return mlflow.MlflowClient(tracking_url)
