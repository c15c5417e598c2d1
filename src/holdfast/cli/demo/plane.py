"""The demo's callers: one kept-alive connection to the serving process, on which nothing is lost.

A request that was not answered is sent again, byte for byte. It carries its own id, so that an answer which was
logged but never arrived is not counted twice.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec

from holdfast.base.errors import HoldfastError

_AGAIN_WITHIN_S = 60.0
_PAUSE_S = 0.05
_TIMEOUT_S = 60.0


class Answer(msgspec.Struct, frozen=True):
    """What the demo reads of an answer to a prediction."""

    revision: int
    version: str
    predictions: list[Predicted]


class Predicted(msgspec.Struct, frozen=True):
    """The id by which a row's label is sent."""

    id: str


class Served(msgspec.Struct, frozen=True):
    """What the demo reads of a deployment as the serving process runs it."""

    revision: int
    shadow_pending: int


class Plane:
    """Predicts and labels over HTTP.

    Args:
        model: the deployment.
        address: where serving listens now.
        revive: called when it did not answer; starts it again where it has died.
    """

    def __init__(self, model: str, address: Callable[[], str], revive: Callable[[], None]) -> None:
        self._model = model
        self._address = address
        self._revive = revive
        self._connection: socket.socket | None = None

    def predict(self, body: bytes) -> Answer:
        """Sends rows and returns the answer."""
        return msgspec.json.decode(self._send("POST", f"/v1/predict/{self._model}", body), type=Answer)

    def label(self, body: bytes) -> None:
        """Sends labels."""
        self._send("POST", f"/v1/labels/{self._model}", body)

    def served(self) -> Served | None:
        """The deployment as it is served; None while there is none."""
        status, data = self._repeat("GET", f"/v1/deployments/{self._model}")
        return msgspec.json.decode(data, type=Served) if status == 200 else None

    def _send(self, method: str, path: str, body: bytes) -> bytes:
        status, data = self._repeat(method, path, body)
        if status != 200:
            raise HoldfastError(f"{path} answered with status {status}: {_message(data)}")
        return data

    def _repeat(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        deadline = time.monotonic() + _AGAIN_WITHIN_S
        while True:
            try:
                status, data = self._exchange(method, path, body)
                if status != 503:
                    return status, data
                failure: object = _message(data)
            except OSError as error:
                self.close()
                failure = error
            if time.monotonic() > deadline:
                raise HoldfastError(
                    f"the serving process does not answer ({failure})",
                    hint="its log is run/serve.log in the home",
                )
            self._revive()
            time.sleep(_PAUSE_S)

    def _exchange(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        if self._connection is None:
            parts = urlsplit(self._address())
            address = (parts.hostname or "", parts.port or 80)
            self._connection = socket.create_connection(address, timeout=_TIMEOUT_S)
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Head and body in one segment, and no more of the answer's head than its length: http.client takes half as
        # long again for each of some 26,000 requests.
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
        self._connection.sendall(head.encode() + body)
        return _read_answer(self._connection)

    def close(self) -> None:
        """Closes the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _read_answer(connection: socket.socket) -> tuple[int, bytes]:
    """Status and body of an answer that says how long it is, as those of the serving process do."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _received(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    fields = dict(line.lower().split(b":", 1) for line in lines)
    length = int(fields[b"content-length"])
    while len(body) < length:
        body += _received(connection)
    return int(status.split(b" ", 2)[1]), body


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(1 << 20)
    if not data:
        raise ConnectionResetError("the connection was closed")
    return data


def _message(data: bytes) -> str:
    try:
        found: Any = msgspec.json.decode(data)
        return str(found["error"]["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return data[:200].decode(errors="replace")
