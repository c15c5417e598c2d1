"""Fixtures of the tests with the real client."""

from tests.wire.mlflow.registry_server import registry_url, services

__all__ = ["registry_url", "services"]
