"""All endpoints of the door, from the services that answer them."""

from __future__ import annotations

from holdfast.wire.mlflow import server_info
from holdfast.wire.mlflow.routing import Route


def mlflow_routes() -> list[Route]:
    """The routes of every noun."""
    return [*server_info.routes()]
