"""Fixtures of the tests of MLflow's surface."""

from tests.wire.mlflow.tracking_server import project, raw, registry_url, tracking_home, tracking_url

__all__ = ["project", "raw", "registry_url", "tracking_home", "tracking_url"]
