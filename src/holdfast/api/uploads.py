"""Artifacts of runs come in as they are, a piece at a time, so that neither side holds a large file in memory.

PUT /api/v1/runs/{run_id}/artifacts/{path}    the bytes of one file; shown once all of them are durable
"""

from __future__ import annotations

import asyncio
import re

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from holdfast.api.context import context_of
from holdfast.api.routes import error_response
from holdfast.base.blobs import IncomingBlob
from holdfast.base.errors import UnavailableError
from holdfast.base.operations import PREFIX
from holdfast.tracking.service import RunLogService

_PATH = PREFIX + "/runs/{run_id}/artifacts/{path:path}"
_UPLOAD = re.compile(rf"{PREFIX}/runs/[^/]+/artifacts/")
# What clients send is cut small on its way; writing is a change of threads, so it is done with more at once.
_PIECE_BYTES = 1 << 20


def is_artifact_upload(method: str, path: str) -> bool:
    """Whether a request brings an artifact, which is taken in piece by piece however large it is."""
    return method == "PUT" and _UPLOAD.match(path) is not None


def upload_routes(runs: RunLogService) -> list[Route]:
    """The route by which scripts upload their artifacts."""

    async def upload(request: Request) -> Response:
        try:
            context, fields = context_of(request), request.path_params
            place = await run_in_threadpool(runs.place, context, fields["run_id"], fields["path"])
            with runs.receive() as incoming:
                await _take(request, incoming)
                kept = await run_in_threadpool(runs.keep, context, place, incoming)
            return Response(msgspec.json.encode(kept), media_type="application/json")
        except ClientDisconnect:
            # Nobody is left to read an answer, and nothing was shown.
            return Response(status_code=499)
        except OSError as error:
            return error_response(_no_space(error))
        except Exception as error:
            return error_response(error)

    return [Route(_PATH, upload, methods=["PUT"], name="RunLogService.upload")]


async def _take(request: Request, incoming: IncomingBlob) -> None:
    """Writes the body as it comes.

    Raises:
        ClientDisconnect: the client hung up, or sent less than it announced.
    """
    waiting, size = bytearray(), 0
    async for chunk in request.stream():
        waiting += chunk
        size += len(chunk)
        if len(waiting) >= _PIECE_BYTES:
            await asyncio.to_thread(incoming.write, bytes(waiting))
            waiting.clear()
    if waiting:
        await asyncio.to_thread(incoming.write, bytes(waiting))
    announced = request.headers.get("content-length")
    if announced is not None and int(announced) != size:
        raise ClientDisconnect


def _no_space(error: OSError) -> UnavailableError:
    return UnavailableError(
        f"the artifact could not be stored ({error.strerror})", hint="make room on the server's disk"
    )
