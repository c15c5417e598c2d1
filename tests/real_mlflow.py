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

mlflow = pytest.importorskip(
    "mlflow", reason="mlflow is not in this environment; `make test-mlflow` runs these"
)
pd = pytest.importorskip("pandas")
