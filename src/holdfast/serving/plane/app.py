"""The RSGI application: which path goes where, reading bodies, and the shape of errors on each door."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec

from holdfast.base.errors import HoldfastError
from holdfast.serving.plane import open_inference, overview
from holdfast.serving.plane.errors import MethodError, NotServedError, TooLargeError
from holdfast.serving.plane.loaded import LoadedDeployment
from holdfast.serving.plane.requests import BODY_BYTES_MOST
from holdfast.serving.plane.worker import Worker

if TYPE_CHECKING:
    from granian._granian import RSGIHTTPProtocol as HTTPProtocol
    from granian.rsgi import Scope

logger = logging.getLogger(__name__)

# Below this the work is so short that handing it to a thread costs more than it frees: a single row through a
# compiled model takes 10 to 30 µs, a hand-over about 60. Above it the loop must stay free for other callers.
INLINE_US = 2_000.0
_INLINE_BYTES = 64 << 10
_LENGTH_DIGITS = 8

_JSON = [("content-type", "application/json")]
_JSON_RETRY = [*_JSON, ("retry-after", "1")]
_INTERNAL = b'{"error":{"code":"internal","message":"holdfast failed on this request; its log says why"}}'
_PREDICT, _LABELS, _DEPLOYMENTS, _OPEN = "/v1/predict/", "/v1/labels/", "/v1/deployments", "/v2"

Work = Callable[[bytes], bytes]


class Application:
    """Routes the requests of one worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._deployments = worker.deployments

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._worker.start()

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._worker.stop()

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Answers one request."""
        started_ns = time.perf_counter_ns()
        path, method = scope.path, scope.method
        try:
            if method == "POST":
                deployment, work = self._worker_of(path, started_ns)
                length = scope.headers.get("content-length")
                # Most bodies are small and say so: those are read at once.
                known = length is not None and len(length) < _LENGTH_DIGITS
                body = await protocol() if known else await _read_bounded(protocol, length)
                if _is_short(deployment, body):
                    answer = work(body)
                else:
                    answer = await asyncio.get_running_loop().run_in_executor(self._worker.pool, work, body)
            elif method == "GET":
                answer = self._description(path)
            else:
                raise MethodError(f"{method} is not possible here", hint="send a GET or a POST")
            protocol.response_bytes(200, _JSON, answer)
        except HoldfastError as error:
            _refuse(protocol, error, path)
        except Exception:
            logger.exception("%s %s failed", method, path)
            protocol.response_bytes(500, _JSON, _INTERNAL)

    def _worker_of(self, path: str, started_ns: int) -> tuple[LoadedDeployment, Work]:
        """The deployment that a POST is for, and what answers its body."""
        worker, get = self._worker, self._deployments.get
        if path.startswith(_PREDICT):
            deployment = get(unquote(path[len(_PREDICT) :]))
            return deployment, lambda body: worker.predictor.friendly(deployment, body, started_ns)
        if path.startswith(_LABELS):
            deployment = get(unquote(path[len(_LABELS) :]))
            return deployment, lambda body: worker.labels.take(deployment, body)
        name, version, action = _model_path(path)
        if action != "infer":
            raise MethodError(f"POST is not possible on {path[:100]}", hint="send a GET")
        deployment = get(name)
        return deployment, lambda body: worker.open_inference.infer(deployment, version, body, started_ns)

    def _description(self, path: str) -> bytes:
        """The answer to a GET."""
        if path == _DEPLOYMENTS or path.startswith(f"{_DEPLOYMENTS}/"):
            return overview.answer(self._worker, unquote(path[len(_DEPLOYMENTS) :]).strip("/"))
        if path.startswith((_PREDICT, _LABELS)):
            raise MethodError(f"GET is not possible on {path[:100]}", hint="send a POST")
        server = _SERVER.get(path.rstrip("/"))
        if server is not None:
            return _encode(server())
        name, version, action = _model_path(path)
        if action == "infer":
            raise MethodError(f"GET is not possible on {path[:100]}", hint="send a POST")
        describe = open_inference.model_ready if action == "ready" else open_inference.model_metadata
        return _encode(describe(self._deployments.get(name), version))


_SERVER: dict[str, Callable[[], dict[str, Any]]] = {
    "/v2": open_inference.server_metadata,
    "/v2/health/live": lambda: {"live": True},
    "/v2/health/ready": lambda: {"ready": True},
}


def _is_short(deployment: LoadedDeployment, body: bytes) -> bool:
    # With feature views a request waits for the online store's one writer, which may be another process.
    size = len(body)
    return size <= _INLINE_BYTES and deployment.features is None and deployment.expected_us(size) <= INLINE_US


def _model_path(path: str) -> tuple[str, str | None, str]:
    """Name, version and action of `/v2/models/{name}[/versions/{version}][/{action}]`; no action is metadata."""
    version: str | None = None
    match [unquote(part) for part in path.rstrip("/").split("/")[1:]]:
        case ["v2", "models", name, "versions", str(number), *action]:
            version = number
        case ["v2", "models", name, *action]:
            pass
        case _:
            raise _no_such(path)
    if action not in ([], ["ready"], ["infer"]):
        raise _no_such(path)
    return name, version, action[0] if action else ""


async def _read_bounded(protocol: HTTPProtocol, length: str | None) -> bytes:
    """A body that is large, or does not say how large it is."""
    if length is not None and length.isdigit() and int(length) > BODY_BYTES_MOST:
        raise _too_large()
    chunks: list[bytes] = []
    size = 0
    async for chunk in protocol:
        size += len(chunk)
        if size > BODY_BYTES_MOST:
            raise _too_large()
        chunks.append(chunk)
    return b"".join(chunks)


def _refuse(protocol: HTTPProtocol, error: HoldfastError, path: str) -> None:
    body: Any = {"error": str(error)} if path.startswith(_OPEN) else error.envelope()
    protocol.response_bytes(error.status, _JSON_RETRY if error.retryable else _JSON, _encode(body))


def _encode(value: Any) -> bytes:
    return msgspec.json.encode(value)


def _no_such(path: str) -> NotServedError:
    return NotServedError(
        f"there is no {path[:100]}", hint="see GET /v1/deployments and GET /v2", code="not_found"
    )


def _too_large() -> TooLargeError:
    return TooLargeError(
        f"the body is larger than {BODY_BYTES_MOST >> 20} MB", hint="send the rows in several requests"
    )
