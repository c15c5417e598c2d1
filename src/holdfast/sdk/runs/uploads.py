"""Sending a file to a run, a piece at a time, and making sure that what arrived is what was sent."""

from __future__ import annotations

import contextlib
import http.client
import os
from pathlib import Path
from urllib.parse import quote, urlsplit

import msgspec
from blake3 import blake3

from holdfast.base.client import ACTOR_HEADER, PROJECT_HEADER
from holdfast.base.errors import (
    ErrorBody,
    ErrorEnvelope,
    HoldfastError,
    InvalidError,
    RemoteError,
    UnavailableError,
)
from holdfast.base.operations import PREFIX
from holdfast.sdk.runs.folder import Destination
from holdfast.tracking.records import StoredArtifact

_PIECE_BYTES = 1 << 20
_TIMEOUT_S = 120.0


def upload(url: str, destination: Destination, path: str, file: Path) -> StoredArtifact:
    """Sends a file as the artifact `path` of a run, with bounded memory, and returns once it is durable there.

    Raises:
        InvalidError: the file cannot be read, or changed while it was sent.
        UnavailableError: the server cannot be reached, or has no room.
        RemoteError: the server refused it.
    """
    parts = urlsplit(url)
    try:
        source = file.open("rb")
    except OSError as error:
        raise InvalidError(f"{file} cannot be read ({error.strerror})") from error
    with source:
        body = _Hashed(source, os.fstat(source.fileno()).st_size, file)
        connection = http.client.HTTPConnection(
            parts.hostname or "127.0.0.1", parts.port or 80, timeout=_TIMEOUT_S, blocksize=_PIECE_BYTES
        )
        with contextlib.closing(connection):
            stored = _exchange(connection, url, destination, path, body)
    if stored.digest != body.digest():
        raise UnavailableError(
            f"{file} did not arrive as it was sent", hint="see whether disk and network are sound"
        )
    return stored


def _exchange(
    connection: http.client.HTTPConnection, url: str, destination: Destination, path: str, body: _Hashed
) -> StoredArtifact:
    headers = {
        "Content-Length": str(body.size_bytes),
        "Content-Type": "application/octet-stream",
        ACTOR_HEADER: destination.actor,
        PROJECT_HEADER: destination.project,
    }
    address = f"{PREFIX}/runs/{destination.run_id}/artifacts/{quote(path)}"
    try:
        # A server that refuses answers before it has read everything; its sentence is worth more than our broken pipe.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request("PUT", address, body, headers)
        response = connection.getresponse()
        data = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise UnavailableError(f"{url} does not answer ({error or type(error).__name__})") from error
    if response.status < 300:
        return msgspec.json.decode(data, type=StoredArtifact)
    raise _refusal(response.status, data)


def _refusal(status: int, data: bytes) -> HoldfastError:
    try:
        body = msgspec.json.decode(data, type=ErrorEnvelope).error
    except msgspec.DecodeError:
        body = ErrorBody("http", f"the server answered with status {status}")
    return UnavailableError(body.message) if status >= 500 else RemoteError(body, status)


class _Hashed:
    """A file as `http.client` reads it: exactly so many bytes as were announced, hashed on their way."""

    def __init__(self, source: object, size_bytes: int, file: Path) -> None:
        self._source = source
        self._file = file
        self._left = size_bytes
        self._hasher = blake3()
        self.size_bytes = size_bytes

    def read(self, size: int = _PIECE_BYTES) -> bytes:
        chunk: bytes = self._source.read(min(size, self._left))  # type: ignore[attr-defined]
        if not chunk and self._left:
            raise InvalidError(
                f"{self._file} became shorter while it was sent", hint="log it once it is written"
            )
        self._left -= len(chunk)
        self._hasher.update(chunk)
        return chunk

    def digest(self) -> str:
        return self._hasher.hexdigest()
