"""The server that an import writes to: operations and uploads, tried again when the connection fails."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator
from typing import IO, TypeVar
from urllib.parse import quote, urlsplit

import msgspec
from blake3 import blake3

from holdfast.base.client import ACTOR_HEADER, PROJECT_HEADER, Client
from holdfast.base.context import Context
from holdfast.base.errors import HoldfastError, RemoteError, UnavailableError
from holdfast.sdk.imports.mlflow.errors import SourceAwayError

S = TypeVar("S")
RequestT = TypeVar("RequestT", bound=msgspec.Struct)
ResponseT = TypeVar("ResponseT")

_TRIES = 6
_LAST_WAIT_S = 4.0
_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = 600.0
_UPLOADS = "/api/2.0/mlflow-artifacts/artifacts/"


class UploadRefusedError(HoldfastError):
    """The server did not take a file."""

    code = "upload_refused"
    status = 400


class Target:
    """A holdfast server. Everything that an import sends may be sent twice, so a lost answer does no harm."""

    def __init__(self, client: Client, context: Context) -> None:
        self._client = client
        self._context = context
        self._address = urlsplit(client.url)
        self._connection: http.client.HTTPConnection | None = None

    def call(self, verb: Callable[[S, Context, RequestT], ResponseT], request: RequestT) -> ResponseT:
        """Calls an operation.

        Raises:
            RemoteError: the server refused.
            UnavailableError: it did not answer, however often it was asked.
        """
        wait = 0.1
        for attempt in range(_TRIES):
            try:
                return self._client.call(verb, request)
            except (UnavailableError, RemoteError) as error:
                away = not isinstance(error, RemoteError) or error.remote_status == 503
                if not away or attempt == _TRIES - 1:
                    raise
            time.sleep(wait)
            wait = min(2 * wait, _LAST_WAIT_S)
        raise AssertionError("unreachable")

    def upload(self, path: str, content: IO[bytes], size_bytes: int) -> str:
        """Sends a file to a path of the artifact store, a piece at a time, and returns the blake3 of what was sent.

        Raises:
            UploadRefusedError: the server did not take it.
            SourceAwayError: the source gave more or less than it said.
            UnavailableError: the server does not answer.
        """
        hasher = blake3()
        sent = 0

        def pieces() -> Iterator[bytes]:
            nonlocal sent
            while chunk := _read(content, path):
                hasher.update(chunk)
                sent += len(chunk)
                if sent > size_bytes:
                    break
                yield chunk

        headers = {
            "Content-Length": str(size_bytes),
            "Content-Type": "application/octet-stream",
            ACTOR_HEADER: self._context.actor.name,
            PROJECT_HEADER: self._context.project,
        }
        connection = self._connected()
        try:
            connection.request("PUT", _UPLOADS + quote(path), pieces(), headers)
            if sent != size_bytes:
                raise SourceAwayError(f"{path} came with {sent} bytes where {size_bytes} were announced")
            answer = connection.getresponse()
            data = answer.read()
        except SourceAwayError:
            self.close()
            raise
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise UnavailableError(
                f"{self._client.url} took {path} only in part ({error})", hint="type the same command again"
            ) from None
        if answer.status != 200:
            raise UploadRefusedError(f"{path} was refused: {_reason(data)}")
        return hasher.hexdigest()

    def close(self) -> None:
        """Lets go of the connection for uploads."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            host, port = self._address.hostname or "127.0.0.1", self._address.port
            self._connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
        return self._connection


def _read(content: IO[bytes], path: str) -> bytes:
    try:
        return content.read(_CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise SourceAwayError(f"{path} could be read only in part ({error})") from None


def _reason(data: bytes) -> str:
    try:
        return str(msgspec.json.decode(data, type=dict[str, object]).get("message", ""))
    except msgspec.DecodeError:
        return data.decode(errors="replace")[:200]
