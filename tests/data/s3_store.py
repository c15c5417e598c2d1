"""As much of the S3 protocol as a reader of objects uses, over real HTTP: GET with ranges, HEAD, and listing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

Objects = dict[str, bytes]


@contextmanager
def s3_store(bucket: str, objects: Objects) -> Iterator[str]:
    """The address of a store with one bucket."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            key = unquote(parts.path).removeprefix(f"/{bucket}").lstrip("/")
            query = parse_qs(parts.query)
            if not key and "list-type" in query:
                self._send(200, _listing(bucket, objects, query.get("prefix", [""])[0]), "application/xml")
            elif key in objects:
                self._object(objects[key])
            else:
                self._send(404, b"<Error><Code>NoSuchKey</Code></Error>", "application/xml")

        do_HEAD = do_GET

        def _object(self, data: bytes) -> None:
            wanted = self.headers.get("Range")
            if not wanted:
                self._send(200, data)
                return
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end = int(first), min(int(last) if last else len(data) - 1, len(data) - 1)
            self._send(
                206, data[start : end + 1], extra={"Content-Range": f"bytes {start}-{end}/{len(data)}"}
            )

        def _send(
            self,
            status: int,
            body: bytes,
            kind: str = "application/octet-stream",
            extra: dict[str, str] | None = None,
        ) -> None:
            self.send_response(status)
            headers = {
                "Content-Type": kind,
                "Content-Length": str(len(body)),
                "ETag": f'"{hash(body):x}"',
                "Last-Modified": "Fri, 20 Nov 2026 10:00:00 GMT",
            }
            for name, value in (headers | (extra or {})).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _listing(bucket: str, objects: Objects, prefix: str) -> bytes:
    entries = "".join(
        f"<Contents><Key>{escape(key)}</Key><LastModified>2026-11-20T10:00:00.000Z</LastModified>"
        f"<ETag>&quot;{hash(data):x}&quot;</ETag><Size>{len(data)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        for key, data in sorted(objects.items())
        if key.startswith(prefix)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(objects)}</KeyCount>"
        f"<MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
    ).encode()
