"""What the server says about itself: the MLflow version it speaks, and what it can do."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from holdfast.wire.mlflow.routing import Call, Route

# The release whose REST surface this is; clients only compare it with their own.
SPOKEN_VERSION = "3.17.2"
# Clients that find False upload and download through the proxy, in one request a file.
_INFO = {
    "store_type": "SqlStore",
    "workspaces_enabled": False,
    "trace_archival_enabled": False,
    "multipart_uploads_enabled": True,
    "multipart_downloads_enabled": False,
    "presigned_upload_run_id_supported": False,
    "presigned_upload_model_id_supported": False,
}


def routes() -> list[Route]:
    """The endpoints about the server itself."""
    return [
        Route("GET", "/version", stream=_version, version=""),
        Route("GET", "/mlflow/server-info", lambda call: _INFO, version="3.0"),
    ]


async def _version(call: Call, scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": SPOKEN_VERSION.encode()})
