"""Reading an MLflow server: signed requests that are tried again when the connection fails."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import IO, Any, cast
from urllib.parse import unquote, urlencode, urlsplit

from holdfast.base.version import VERSION
from holdfast.sdk.imports.mlflow.errors import SourceAwayError, SourceError

_TRIES = 6
_FIRST_TRIES = 3
_TIMEOUT_S = 60.0
_LAST_WAIT_S = 8.0
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})


class AnswerError(SourceError):
    """The server refused a request; `status` and `reason` say how."""

    code = "import_answer"

    def __init__(self, status: int, reason: str, path: str) -> None:
        super().__init__(f"the MLflow server answered {status} to {path}: {reason}", hint=_remedy(status))
        self.answer_status = status


class Reader:
    """GETs and searches on one kept-alive connection.

    Args:
        url: of the server, perhaps with a user and a password, and with a path where a proxy serves it below one.
        environ: MLFLOW_TRACKING_TOKEN, or _USERNAME and _PASSWORD; _INSECURE_TLS and _SERVER_CERT_PATH.
    """

    def __init__(self, url: str, environ: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        if not parts.hostname:
            raise SourceError(f"{url!r} names no server", hint="give http://HOST:PORT")
        self._parts, self._base = parts, parts.path.rstrip("/")
        port = f":{parts.port}" if parts.port else ""
        self.address = f"{parts.scheme}://{parts.hostname}{port}{self._base}"
        self._headers = {"User-Agent": f"holdfast/{VERSION}", **_credentials(url, environ)}
        self._tls = _tls(environ) if parts.scheme == "https" else None
        self._connection: http.client.HTTPConnection | None = None
        self._answered = False

    def get(self, path: str, query: Mapping[str, Any] | list[tuple[str, str]] | None = None) -> Any:
        """The JSON answer to a GET.

        Raises:
            AnswerError: the server refused.
            SourceAwayError: it did not answer, however often it was asked.
        """
        return json.loads(self._read("GET", f"{path}?{urlencode(query)}" if query else path))

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON answer to a search, which may be sent twice without harm; raises as `get`."""
        return json.loads(self._read("POST", path, json.dumps(body).encode()))

    @contextlib.contextmanager
    def stream(self, path: str, query: Mapping[str, str]) -> Iterator[IO[bytes]]:
        """The bytes of a file, to be read a piece at a time; raises as `get`."""
        response = self._exchange("GET", f"{path}?{urlencode(query)}", None)
        try:
            yield cast("IO[bytes]", response)
        finally:
            if not response.isclosed():
                # What is left unread would be taken for the next answer.
                self.close()

    def close(self) -> None:
        """Lets go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _read(self, method: str, path: str, body: bytes | None = None) -> bytes:
        return self._tried(method, path, body, whole=True)[1]

    def _exchange(self, method: str, path: str, body: bytes | None) -> http.client.HTTPResponse:
        return self._tried(method, path, body, whole=False)[0]

    def _tried(
        self, method: str, path: str, body: bytes | None, *, whole: bool
    ) -> tuple[http.client.HTTPResponse, bytes]:
        wait, last = 0.25, ""
        # An address that never answered is wrong rather than away for a moment.
        for attempt in range(_TRIES if self._answered else _FIRST_TRIES):
            if attempt:
                time.sleep(wait)
                wait = min(2 * wait, _LAST_WAIT_S)
            try:
                response = self._send(method, path, body)
                self._answered = True
                if response.status < 300:
                    return response, response.read() if whole else b""
                data = response.read()
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if isinstance(error, ssl.SSLCertVerificationError):
                    raise SourceError(f"{self.address} cannot be trusted: {error.verify_message}") from None
                last = str(error) or type(error).__name__
                continue
            if response.status not in _AGAIN:
                raise AnswerError(response.status, _reason(data), path.partition("?")[0])
            last = f"it answered {response.status}: {_reason(data)}"
        raise SourceAwayError(
            f"{self.address} does not answer ({last})", hint="type the same command again when it does"
        )

    def _send(self, method: str, path: str, body: bytes | None) -> http.client.HTTPResponse:
        if self._connection is None:
            host, port = self._parts.hostname or "", self._parts.port
            self._connection = (
                http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
                if self._tls is None
                else http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=self._tls)
            )
        headers = {**self._headers, **({"Content-Type": "application/json"} if body is not None else {})}
        self._connection.request(method, self._base + path, body, headers)
        return self._connection.getresponse()


def _credentials(url: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The Authorization header that MLflow's client would send."""
    parts = urlsplit(url)
    user = environ.get("MLFLOW_TRACKING_USERNAME") or unquote(parts.username or "")
    password = environ.get("MLFLOW_TRACKING_PASSWORD") or unquote(parts.password or "")
    token = environ.get("MLFLOW_TRACKING_TOKEN")
    if user and password:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}
    return {"Authorization": f"Bearer {token}"} if token else {}


def _tls(environ: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or None)
    if environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _reason(data: bytes) -> str:
    try:
        found = json.loads(data)
        text = found.get("message") or found.get("error_code") or ""
    except (ValueError, AttributeError):
        text = data.decode(errors="replace")
    return " ".join(str(text).split())[:300] or "without a reason"


def _remedy(status: int) -> str | None:
    if status in (401, 403):
        return "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
    return None
