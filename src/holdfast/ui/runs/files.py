"""`/runs/{run_id}/file`: the bytes of an artifact, as a download unless it is a raster image that our page shows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from holdfast.ui.door import Door, context_of
from holdfast.ui.runs.artifacts import image_type, open_file
from holdfast.ui.services import PageServices

_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"


def send_file(services: PageServices, door: Door) -> Callable[[Request], Awaitable[Response]]:
    """The route's endpoint.

    Whoever logs an artifact chooses its bytes and its name, so neither decides what a browser does with it: only bytes
    that begin like a PNG, JPEG, GIF, BMP or WebP get an image's type, and everything else has no type of its own, is
    saved rather than opened, and could not run anything if it were.
    """

    async def send(request: Request) -> Response:
        try:
            return await run_in_threadpool(_answer, services, request)
        except Exception as error:
            return await door.refused(request, error)

    return send


def _answer(services: PageServices, request: Request) -> Response:
    query, run_id = request.query_params, request.path_params["run_id"]
    found, place = open_file(
        services, context_of(request), run_id, query.get("path", ""), query.get("model", "")
    )
    shown = query.get("shown") == "yes"
    kind = image_type(place) if shown else None
    name = quote(found.path.rpartition("/")[2], safe="")
    headers = {
        "Content-Disposition": "inline" if kind else f"attachment; filename*=UTF-8''{name}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": _POLICY,
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
    return FileResponse(place, headers=headers, media_type=kind or "application/octet-stream")
