"""Fixtures of the tests with the real client."""

from tests.wire.mlflow.registry_server import registry_url, services
from tests.wire.mlflow.tracking_server import raw, tracking_home, tracking_url

__all__ = ["raw", "registry_url", "services", "tracking_home", "tracking_url"]
