"""The client dispatches from the operations' declarations; there is no method a verb to keep in step.

client = Client("http://127.0.0.1:8470", context)
revision = client.call(DeploymentService.rollback, RollbackRequest(name="bike-demand"))
"""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from holdfast.base.context import Context
from holdfast.base.errors import ErrorBody, ErrorEnvelope, RemoteError, UnavailableError
from holdfast.base.operations import operation_of

S = TypeVar("S")
RequestT = TypeVar("RequestT", bound=msgspec.Struct)
ResponseT = TypeVar("ResponseT")

ACTOR_HEADER = "X-Holdfast-Actor"
PROJECT_HEADER = "X-Holdfast-Project"


class Client:
    """Calls the operations of one server over one kept-alive connection; not shared between threads.

    Raises (from `call`):
        RemoteError: the server refused, with its own code and text.
        UnavailableError: the server cannot be reached.
    """

    def __init__(self, url: str, context: Context, *, timeout_s: float = 600.0) -> None:
        parts = urlsplit(url)
        self.url = url.rstrip("/")
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._context = context
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None

    def call(self, verb: Callable[[S, Context, RequestT], ResponseT], request: RequestT) -> ResponseT:
        """Calls a service verb on the server and returns its response."""
        operation = operation_of(verb)
        path, body = operation.url(request), None
        fields = {
            name: value
            for name, value in msgspec.to_builtins(request).items()
            if name not in operation.path_fields
        }
        if operation.method == "GET":
            query = {name: _query_value(value) for name, value in fields.items() if value is not None}
            path = f"{path}?{urlencode(query, doseq=True)}" if query else path
        else:
            body = msgspec.json.encode(fields)
        data = self.request(operation.method, path, body)
        response: ResponseT = msgspec.json.decode(data, type=operation.response)
        return response

    def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Sends one request and returns the body of a 2xx answer."""
        headers = {
            "Content-Type": "application/json",
            ACTOR_HEADER: self._context.actor.name,
            PROJECT_HEADER: self._context.project,
        }
        status, data = self._exchange(method, path, body, headers)
        if status >= 300:
            raise RemoteError(_error_body(status, data), status)
        return data

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        """One exchange; a kept connection that the server has closed meanwhile is opened again, once."""
        for fresh in (self._connection is None, True):
            connection = self._connected()
            try:
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                return response.status, response.read()
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
                self.close()
                if fresh or (method != "GET" and not isinstance(error, http.client.RemoteDisconnected)):
                    raise self._unreachable(error) from error
            except (OSError, http.client.HTTPException) as error:
                self.close()
                raise self._unreachable(error) from error
        raise self._unreachable(ConnectionError("no answer"))

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(*self._address, timeout=self._timeout_s)
            try:
                self._connection.connect()
            except OSError as error:
                self._connection = None
                raise self._unreachable(error) from error
            self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._connection

    def _unreachable(self, error: Exception) -> UnavailableError:
        return UnavailableError(
            f"{self.url} does not answer ({error or type(error).__name__})",
            hint="see whether it runs with `holdfast status`, or start it with `holdfast server`",
        )


def _query_value(value: Any) -> str | list[str]:
    if isinstance(value, list | tuple):
        return [str(item) for item in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _error_body(status: int, data: bytes) -> ErrorBody:
    try:
        return msgspec.json.decode(data, type=ErrorEnvelope).error
    except msgspec.DecodeError:
        return ErrorBody("http", f"the server answered with status {status}")
