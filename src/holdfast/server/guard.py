"""What keeps a local server to its user: checks of Host and Origin, and a bound on bodies.

Without tokens the server listens on a loopback address only. A web page elsewhere can still make the user's
browser send requests to it, so names that are not loopback are refused (DNS rebinding), and so is every
changing request that another origin caused.
"""

from __future__ import annotations

import functools
import ipaddress
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from holdfast.api.routes import error_response
from holdfast.api.uploads import is_artifact_upload
from holdfast.base.errors import ForbiddenError, HoldfastError, InvalidError
from holdfast.wire.mlflow.app import is_mlflow, is_upload, respond
from holdfast.wire.mlflow.envelope import error_answer

_LOOKED_AT = frozenset({b"host", b"origin", b"content-length"})
_SAFE = {"GET", "HEAD", "OPTIONS"}
_BODY_BYTES_MOST = 64 << 20


class TooLargeError(InvalidError):
    """The body is larger than the server takes."""

    code = "too_large"
    status = 413


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    """ASGI middleware that refuses what a local server must not take."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = {
                name: value.decode("latin-1") for name, value in scope["headers"] if name in _LOOKED_AT
            }
            refused = _refusal(scope["method"], headers, scope["path"])
            if refused is not None:
                await _refuse(refused, scope, receive, send)
                return
        await self._app(scope, receive, send)


async def _refuse(refused: HoldfastError, scope: Scope, receive: Receive, send: Send) -> None:
    if is_mlflow(scope["path"]):
        await respond(send, *error_answer(refused))
    else:
        await error_response(refused)(scope, receive, send)


@functools.lru_cache(maxsize=256)
def _names_loopback(host: str) -> bool:
    return is_loopback(urlsplit(f"//{host}").hostname or "")


def _refusal(method: str, headers: dict[bytes, str], path: str) -> HoldfastError | None:
    host = headers.get(b"host", "")
    if not _names_loopback(host):
        return ForbiddenError(f"this server answers to loopback addresses only, not to {host!r}")
    origin = headers.get(b"origin")
    if method not in _SAFE and origin is not None and urlsplit(origin).netloc != host:
        return ForbiddenError(f"a page of {origin} may not change anything here")
    length = headers.get(b"content-length", "0")
    streamed = is_upload(method, path) or is_artifact_upload(method, path)
    if not length.isdigit() or (int(length) > _BODY_BYTES_MOST and not streamed):
        return TooLargeError(f"a body of {length} bytes is more than the {_BODY_BYTES_MOST} that are taken")
    return None
