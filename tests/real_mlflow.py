"""The real MLflow client, for tests that talk to a server with it.

    from tests.real_mlflow import mlflow, pd

skips the importing module where the client is not installed (pandas comes with it). Such modules carry the marker
`mlflow`.
"""

from __future__ import annotations

import os

import pytest

# Both are read when the client is imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

# A server that is gone is tried again for minutes by default; here it is a mistake of the test.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")

mlflow = pytest.importorskip(
    "mlflow", reason="mlflow is not in this environment; `make test-mlflow` runs these"
)
pd = pytest.importorskip("pandas")


def use_server(url: str) -> None:
    """Points the client at a server for everything: another test may have left another registry behind."""
    mlflow.set_tracking_uri(url)
    mlflow.set_registry_uri(url)
