"""A load generator for one request over many kept-alive connections, in one process of its own.

    python bench/load.py HOST PORT CONNECTIONS SECONDS PATH < body

Prints one JSON object: requests, seconds, failed, p50_us, p99_us. One epoll loop without a framework, because the
generator shares the machine with what it measures and must cost it as little as possible. A connection that the
server closes, and an answer other than 200, counts as failed.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time


class Connection:
    """One request in flight at a time."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.sent_ns = 0

    def send(self, request: bytes) -> None:
        self.sent_ns = time.perf_counter_ns()
        self.socket.sendall(request)

    def receive(self) -> bool | None:
        """Whether the answer was 200; None while it is not whole.

        Raises:
            ConnectionError: the server closed the connection.
        """
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        self.received += data
        head, gap, rest = self.received.partition(b"\r\n\r\n")
        if not gap:
            return None
        at = head.index(b"content-length: ") + 16
        end = head.find(b"\r", at)
        if len(rest) < int(head[at : end if end > 0 else None]):
            return None
        self.received = b""
        return head.startswith(b"HTTP/1.1 200")


class Load:
    """Sends the same request over and over on every connection and measures every answer."""

    def __init__(self, host: str, port: int, path: str, body: bytes) -> None:
        self._address = (host, port)
        self._request = (
            f"POST {path} HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        ).encode() + body
        self._latencies: list[int] = []
        self._failed = 0

    def drive(self, connections: int, seconds: float) -> dict[str, float]:
        """Keeps so many requests in flight for so long."""
        with selectors.DefaultSelector() as selector:
            started = time.perf_counter()
            for _ in range(connections):
                self._connect(selector)
            until = started + seconds
            while time.perf_counter() < until:
                for key, _ in selector.select(1.0):
                    self._take(selector, key.data)
            taken = time.perf_counter() - started
        return self._summary(taken)

    def _connect(self, selector: selectors.BaseSelector) -> None:
        connection = Connection(*self._address)
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        connection.send(self._request)

    def _take(self, selector: selectors.BaseSelector, connection: Connection) -> None:
        try:
            good = connection.receive()
        except OSError:
            self._failed += 1
            selector.unregister(connection.socket)
            connection.socket.close()
            self._connect(selector)
            return
        if good is not None:
            self._latencies.append(time.perf_counter_ns() - connection.sent_ns)
            self._failed += not good
            connection.send(self._request)

    def _summary(self, seconds: float) -> dict[str, float]:
        ordered = sorted(self._latencies)
        count = len(ordered)
        return {
            "requests": count,
            "seconds": seconds,
            "failed": self._failed,
            "p50_us": ordered[count // 2] / 1e3,
            "p99_us": ordered[count * 99 // 100] / 1e3,
        }


if __name__ == "__main__":
    host, port, connections, seconds, path = sys.argv[1:6]
    load = Load(host, int(port), path, sys.stdin.buffer.read())
    print(json.dumps(load.drive(int(connections), float(seconds))))
