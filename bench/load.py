"""A load generator for one request over many kept-alive connections, in one process of its own.

    python bench/load.py HOST PORT CONNECTIONS SECONDS PATH < body

Prints one JSON object: requests, seconds, failed, p50_us, p99_us. One epoll loop without a framework, because the
generator shares the machine with what it measures and must cost it as little as possible.
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
        """Whether the answer was 200; None while it is not whole."""
        self.received += self.socket.recv(65536)
        head, gap, rest = self.received.partition(b"\r\n\r\n")
        if not gap:
            return None
        at = head.index(b"content-length: ") + 16
        end = head.find(b"\r", at)
        if len(rest) < int(head[at : end if end > 0 else None]):
            return None
        self.received = b""
        return head.startswith(b"HTTP/1.1 200")


def drive(host: str, port: int, connections: int, seconds: float, path: str, body: bytes) -> dict[str, float]:
    """Sends the same request over and over and measures every answer."""
    request = (
        f"POST {path} HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode() + body
    latencies: list[int] = []
    failed = 0
    with selectors.DefaultSelector() as selector:
        started = time.perf_counter()
        for _ in range(connections):
            connection = Connection(host, port)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.send(request)
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            for key, _ in selector.select(1.0):
                connection = key.data
                good = connection.receive()
                if good is None:
                    continue
                latencies.append(time.perf_counter_ns() - connection.sent_ns)
                failed += not good
                connection.send(request)
        taken = time.perf_counter() - started
    latencies.sort()
    return {
        "requests": len(latencies),
        "seconds": taken,
        "failed": failed,
        "p50_us": latencies[len(latencies) // 2] / 1e3,
        "p99_us": latencies[len(latencies) * 99 // 100] / 1e3,
    }


if __name__ == "__main__":
    host, port, connections, seconds, path = sys.argv[1:6]
    print(json.dumps(drive(host, int(port), int(connections), float(seconds), path, sys.stdin.buffer.read())))
