"""The door: an ASGI application that answers MLflow's paths and hands every other request on.

It routes by itself, because a dictionary lookup costs a fraction of trying a hundred patterns, and logging one metric
is meant to cost little more than making it durable.
"""

from __future__ import annotations

import asyncio
import functools
import re
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from holdfast.base.client import ACTOR_HEADER, PROJECT_HEADER
from holdfast.base.context import Context, context_from
from holdfast.base.errors import InvalidError
from holdfast.wire.mlflow.envelope import EndpointNotFoundError, NotImplementedYetError, error_answer
from holdfast.wire.mlflow.messages import encode
from holdfast.wire.mlflow.routing import Call, Route, Router

_THREADS = 32
_BODY_BYTES_MOST = 64 << 20
# Messages of this size (a batch of a thousand points) are read and checked on the event loop: another thread would
# need the interpreter for as long, and two changes of threads besides.
_QUICK_BYTES = 256 << 10
_END_WITHIN_S = 0.02
_JSON = (b"content-type", b"application/json")
_PROJECT = re.compile(r"/p/([^/]+)(/.*)")
_PREFIXES = re.compile(
    r"/(?:ajax-)?api/\d\.\d/(?:preview/)?mlflow(?:-artifacts)?/|/(?:model-versions/)?get-artifact$|/version$"
)
_UPLOADS = re.compile(r"/(?:ajax-)?api/2\.0/mlflow-artifacts/(?:artifacts|mpu/parts)/")
_TRACES = re.compile(r"/api/\d\.\d/mlflow/(?:traces\b|[a-z-]*trace)")
_NOT_YET = re.compile(
    r"/api/\d\.\d/mlflow/"
    r"(?:scorers?|gateway|issues|datasets|prompt-optimization|label-schemas|review-queues|jobs|genai|demo)\b"
)
_ACTOR = ACTOR_HEADER.lower().encode()
_PROJECT_HEADER = PROJECT_HEADER.lower().encode()


class TooLargeError(InvalidError):
    """The body is larger than an endpoint takes that is not for artifacts."""

    code = "too_large"
    status = 413


class Disconnected(Exception):
    """The client hung up in the middle of its request."""


def is_mlflow(path: str) -> bool:
    """Whether a path belongs to MLflow's surface.

    Example:
        >>> is_mlflow("/p/team/api/2.0/mlflow/runs/create"), is_mlflow("/api/v1/runs")
        (True, False)
    """
    return _PREFIXES.match(_split(path)[1]) is not None


def is_upload(method: str, path: str) -> bool:
    """Whether a request brings a file, which is taken in piece by piece however large it is."""
    return method == "PUT" and _UPLOADS.match(_split(path)[1]) is not None


class MlflowDoor:
    """Answers MLflow's surface; every other request goes to `otherwise`."""

    def __init__(self, routes: Iterable[Route], otherwise: ASGIApp) -> None:
        self._router = Router(routes)
        self._otherwise = otherwise
        self._answering = _Answering()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="mlflow")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._otherwise(scope, receive, send)
            return
        self._answering.end_answered()
        project, path = _split(scope["path"])
        if not _PREFIXES.match(path):
            await self._otherwise(scope, receive, send)
            return
        try:
            await self._answer(project, path, scope, receive, send)
        except Disconnected:
            return
        except Exception as error:
            status, body = error_answer(error)
            await respond(send, status, body, retry=status == 503)

    async def _answer(
        self, project: str | None, path: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        path = path.replace("/ajax-api/", "/api/", 1).replace("/preview/mlflow/", "/mlflow/", 1)
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        found = self._router.find(method, path)
        if found is None:
            raise _unknown(method, path)
        route, fields = found
        call = Call(
            context=_context(scope, project),
            method=method,
            query_string=scope["query_string"].decode("latin-1"),
            path=fields,
            base_url=_base_url(scope, project),
        )
        if route.stream is not None:
            await route.stream(call, scope, receive, send)
            return
        if method != "GET":
            call.body = await read_body(receive)
        if route.submit is not None and len(call.body) <= _QUICK_BYTES:
            await self._answering.respond(route.submit(call), send)
            return
        body = await asyncio.get_running_loop().run_in_executor(self._threads, _run, route, call)
        await respond(send, 200, body)


class _Answering:
    """Answers with the results of futures, from whichever thread is done with them.

    granian's `send` takes an answer at once and from any thread. So the thread that made a change durable sends the
    answer itself. The request is ended on the event loop when the next one comes, or a moment later: waking the
    loop for it would keep the writer from the next commit, as both need the interpreter.
    """

    def __init__(self) -> None:
        self._answered: deque[asyncio.Future[None]] = deque()
        self._open = 0
        self._timer: asyncio.TimerHandle | None = None

    async def respond(self, queued: Future[Any], send: Send) -> None:
        """Answers with the result of a future, or with its error."""
        if not _sends_at_once(send):
            await respond(send, 200, encode(await asyncio.wrap_future(queued)))
            return
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        self._open += 1
        if self._timer is None:
            self._timer = loop.call_later(_END_WITHIN_S, self._look)

        def answer(done: Future[Any]) -> None:
            try:
                for message in _messages(done):
                    send(message)
            finally:
                self._answered.append(ended)

        queued.add_done_callback(answer)
        await ended

    def end_answered(self) -> None:
        """Ends the requests that have their answer."""
        while self._answered:
            ended = self._answered.popleft()
            self._open -= 1
            if not ended.done():
                ended.set_result(None)

    def _look(self) -> None:
        self.end_answered()
        again = asyncio.get_running_loop().call_later
        self._timer = again(_END_WITHIN_S, self._look) if self._open else None


def _run(route: Route, call: Call) -> bytes:
    if route.submit is not None:
        return encode(route.submit(call).result())
    assert route.answer is not None
    return encode(route.answer(call))


def _sends_at_once(send: Send) -> bool:
    return type(getattr(send, "__self__", None)).__name__ == "ASGIHTTPProtocol"


def _messages(done: Future[Any]) -> tuple[Message, Message]:
    """The answer to a change that is done."""
    raised = done.exception()
    try:
        if raised is None:
            return response(200, encode(done.result()))
    except Exception as error:
        raised = error
    status, body = error_answer(raised if isinstance(raised, Exception) else RuntimeError(repr(raised)))
    return response(status, body, retry=status == 503)


async def read_body(receive: Receive, most: int = _BODY_BYTES_MOST) -> bytes:
    """The whole body.

    Raises:
        TooLargeError: it is larger than `most`.
        Disconnected: the client hung up.
    """
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        return bytes(message.get("body", b""))
    parts, size = [], 0
    while True:
        if message["type"] == "http.disconnect":
            raise Disconnected
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            raise TooLargeError(f"a body of more than {most} bytes is not taken here")
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()


async def respond(send: Send, status: int, body: bytes, *, retry: bool = False) -> None:
    """Sends a JSON answer."""
    for message in response(status, body, retry=retry):
        await send(message)


def response(status: int, body: bytes, *, retry: bool = False) -> tuple[Message, Message]:
    """The two messages of a JSON answer."""
    headers = [_JSON, (b"content-length", str(len(body)).encode())]
    if retry:
        headers.append((b"retry-after", b"1"))
    return (
        {"type": "http.response.start", "status": status, "headers": headers},
        {"type": "http.response.body", "body": body},
    )


def _split(path: str) -> tuple[str | None, str]:
    """The project that a path names, and the path without it."""
    match = _PROJECT.fullmatch(path) if path.startswith("/p/") else None
    return (match[1], match[2]) if match else (None, path)


def _context(scope: Scope, project: str | None) -> Context:
    actor, named = None, None
    for name, value in scope["headers"]:
        if name == _ACTOR:
            actor = value.decode("latin-1")
        elif name == _PROJECT_HEADER:
            named = value.decode("latin-1")
    return _named_context(actor, project or named)


@functools.lru_cache(maxsize=1024)
def _named_context(actor: str | None, project: str | None) -> Context:
    # Asking the system who runs this process, for every metric, would cost more than reading the metric.
    return context_from(actor, project)


def _base_url(scope: Scope, project: str | None) -> str:
    host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
    return f"{scope.get('scheme', 'http')}://{host}" + (f"/p/{project}" if project else "")


def _unknown(method: str, path: str) -> Exception:
    if _TRACES.match(path):
        return NotImplementedYetError(
            "holdfast does not keep traces yet", hint="runs, models and artifacts it does"
        )
    if _NOT_YET.match(path):
        return NotImplementedYetError(f"holdfast does not answer {path} yet")
    return EndpointNotFoundError(f"there is no endpoint {method} {path}")
