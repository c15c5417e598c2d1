"""The ASGI application of a server: MLflow's surface, the API, the pages and the health check behind one guard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from holdfast.api.openapi import openapi
from holdfast.api.routes import error_response, routes
from holdfast.api.uploads import upload_routes
from holdfast.base.errors import NotFoundError
from holdfast.base.version import VERSION
from holdfast.server.compose import Services
from holdfast.server.guard import Guard
from holdfast.ui.routes import page_routes
from holdfast.ui.services import PageServices
from holdfast.wire.mlflow.app import MlflowDoor
from holdfast.wire.mlflow.endpoints import mlflow_routes
from holdfast.wire.mlflow.registry import registry_routes


def build_app(services: Services, pages: PageServices, on_request: Callable[[], None]) -> ASGIApp:
    """The application; `on_request` is told of each request, so that an idle server can leave."""
    described = msgspec.json.encode(openapi(services.doors(), VERSION))

    async def health(request: Request) -> Response:
        return Response(b'{"status": "ok"}', media_type="application/json")

    async def description(request: Request) -> Response:
        return Response(described, media_type="application/json")

    async def not_found(request: Request, error: Exception) -> Response:
        return error_response(
            NotFoundError(f"there is nothing at {request.url.path}", hint="see /api/v1/openapi.json")
        )

    app = Starlette(
        routes=[
            Route("/health", health),
            Route("/api/v1/openapi.json", description),
            *routes(services.doors()),
            *upload_routes(services.run_log),
            *page_routes(pages),
        ],
        exception_handlers={404: not_found, 405: not_found},
    )
    registry = registry_routes(
        services.models,
        services.versions,
        services.aliases,
        services.webhooks,
        services.sources,
        services.logging.models,
    )
    door = MlflowDoor(
        mlflow_routes(services.logging, services.sources, services.model_folders, registry), otherwise=app
    )
    return Guard(_Noticed(door, on_request))


class _Noticed:
    """Tells of each request."""

    def __init__(self, app: Any, on_request: Callable[[], None]) -> None:
        self._app = app
        self._on_request = on_request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._on_request()
        await self._app(scope, receive, send)
