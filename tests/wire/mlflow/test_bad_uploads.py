"""Uploads that go wrong: paths that climb, bodies too large, a client that hangs up, a disk that is full.

Whatever happens, the answer is MLflow's error, no part of a file is shown, and neither files nor descriptors are left.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import resource
import socket
import time
from urllib.parse import urlsplit

import psutil
import pytest

from holdfast.base.home import Home
from tests.wire.mlflow.tracking_server import Raw, tracking_server

PROXY = "/api/2.0/mlflow-artifacts/artifacts"
PARTS = "/api/2.0/mlflow-artifacts/mpu"


@pytest.fixture
def root(raw):
    """Where a new run's artifacts are, below the proxy."""
    run = raw.ok("POST", "/runs/create", {"experiment_id": "0"})["run"]["info"]
    return run["artifact_uri"].removeprefix("mlflow-artifacts:/")


@pytest.fixture
def server(tracking_home):
    return psutil.Process(tracking_home.server().pid)


def listed(raw, root):
    found = raw.ok("GET", f"/artifacts/list?run_id={root.split('/')[1]}")
    return [item["path"] for item in found.get("files", [])]


def left(home):
    """Files that are still coming in, or came in only in part."""
    return [
        str(path)
        for folder in (home.blobs, home.tmp)
        for path in folder.rglob("*")
        if path.is_file() and (path.name.startswith(".incoming") or "uploads" in path.parts)
    ]


def eventually(ask, seconds=10.0):
    until = time.monotonic() + seconds
    while not ask() and time.monotonic() < until:
        time.sleep(0.02)
    return ask()


CLIMBS = ("..", "../x", "a/../../x", "a\\..\\..\\x", "\\\\host\\x", "C:\\x", "a\x00b", "a\nb")
# Below a run's root these are plain names.
ELSEWHERE = ("/etc/x", "~/x", "file:///x")


def spellings(paths):
    """Each path as it is, and with its marks encoded once, twice and thrice."""
    for path in paths:
        coded = path
        for _ in range(4):
            if coded.isprintable() and "\\" not in coded:
                yield coded
            coded = "".join(char if char.isalnum() else f"%{ord(char):02x}" for char in coded)


def test_no_spelling_of_a_path_leads_out(raw, root, tracking_home):
    before = {
        path for path in tracking_home.root.parent.rglob("*") if not path.is_relative_to(tracking_home.root)
    }
    tried = [(path, "") for path in spellings(CLIMBS + ELSEWHERE)]
    tried += [(path, f"{root}/") for path in spellings(CLIMBS)]
    for path, below in tried:
        for method, address in (
            ("PUT", f"{PROXY}/{below}{path}"),
            ("GET", f"{PROXY}/{below}{path}"),
            ("DELETE", f"{PROXY}/{below}{path}"),
            ("POST", f"{PARTS}/create/{below}{path}"),
            ("POST", f"{PARTS}/complete/{below}{path}"),
            ("GET", f"/get-artifact?run_id={root.split('/')[1]}&path={path}"),
            ("GET", f"/api/2.0/mlflow/artifacts/list?run_id={root.split('/')[1]}&path={path}"),
            ("GET", f"{PROXY}?path={path}"),
        ):
            body = {"PUT": b"x", "POST": b'{"path": "x", "upload_id": "x", "parts": []}'}.get(method)
            status, answer = raw.send(method, address, body)
            assert status in (400, 404), (method, address, answer)
            assert json.loads(answer)["error_code"], (method, address)
    after = {
        path for path in tracking_home.root.parent.rglob("*") if not path.is_relative_to(tracking_home.root)
    }
    assert (after, listed(raw, root)) == (before, [])


def test_the_name_that_a_part_upload_gives_cannot_climb_either(raw, root):
    for name in ("..", "a/..", "..\\", "a\x00", "%2e%2e", "%252e%252e", "", "a/"):
        status, answer = raw.call("POST", f"/create/{root}", {"path": name, "num_parts": 1}, prefix=PARTS)
        assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), (name, answer)
    for count in (0, -1, 10_001, "x", 2**63):
        status, answer = raw.call("POST", f"/create/{root}", {"path": "a", "num_parts": count}, prefix=PARTS)
        assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), (count, answer)


def chunked(plug, path, sizes, method="POST"):
    """Sends a body of unknown length, as far as the server takes it."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    plug.sendall(head.encode())
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for size in sizes:
            plug.sendall(b"%x\r\n" % size + b" " * size + b"\r\n")
        plug.sendall(b"0\r\n\r\n")


def test_a_message_without_a_length_is_bounded_too(raw, tracking_url, server):
    parts = urlsplit(tracking_url)
    before = server.memory_info().rss
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as plug:
        chunked(plug, "/api/2.0/mlflow/runs/log-batch", itertools.repeat(1 << 20, 80))
        answer = http.client.HTTPResponse(plug)
        answer.begin()
        said = json.loads(answer.read())
    assert (answer.status, said["error_code"]) == (413, "INVALID_PARAMETER_VALUE")
    assert server.memory_info().rss - before < 200 << 20
    assert raw.send("GET", "/version")[0] == 200


def test_a_file_without_a_length_is_taken_whole(raw, root, tracking_url):
    parts = urlsplit(tracking_url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as plug:
        chunked(plug, f"{PROXY}/{root}/blank.txt", [1, 70_000, 3], method="PUT")
        answer = http.client.HTTPResponse(plug)
        answer.begin()
        assert (answer.status, answer.read()) == (200, b"{}")
    assert raw.send("GET", f"{PROXY}/{root}/blank.txt") == (200, b" " * 70_004)


def test_lengths_that_are_none_are_refused(raw, tracking_url, root):
    parts = urlsplit(tracking_url)
    for length in (b"-1", b"abc", b"\xb2", b"1, 2", b"99999999999999999999999999"):
        with socket.create_connection((parts.hostname, parts.port), timeout=20) as plug:
            plug.sendall(
                b"POST /api/2.0/mlflow/runs/create HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + length
            )
            plug.sendall(b"\r\n\r\n{}")
            said = plug.recv(4096)
        assert not said or said.startswith((b"HTTP/1.1 400", b"HTTP/1.1 413")), (length, said)
    assert raw.send("GET", "/version")[0] == 200


def test_clients_that_hang_up_leave_neither_files_nor_descriptors(
    raw, root, tracking_url, tracking_home, server
):
    parts = urlsplit(tracking_url)
    upload = raw.ok("POST", f"/create/{root}", {"path": "parts.bin", "num_parts": 2}, prefix=PARTS)
    part = urlsplit(upload["credentials"][0]["url"]).path
    data = b"x" * 65536
    raw.send("PUT", f"{PROXY}/{root}/large.bin", data * 100)
    raw.connection.close()
    assert eventually(lambda: not left_incoming(tracking_home))
    before = server.num_fds()
    # A hundred of them: what each left would show beside the few connections that a ledger opens under load.
    for number in range(20):
        for path in (f"{PROXY}/{root}/big{number}", part):
            for head, sent in (
                (b"Content-Length: 5000000", data * 4),
                (b"Transfer-Encoding: chunked", b"10000\r\n" + data + b"\r\n"),
                (b"Transfer-Encoding: chunked", b"10000\r\n" + data[:500]),
                (b"Content-Length: 5000000", b""),
            ):
                with socket.create_connection((parts.hostname, parts.port)) as plug:
                    plug.sendall(
                        b"PUT %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n" % (path.encode(), head) + sent
                    )
        # In the middle of a download, too.
        with socket.create_connection((parts.hostname, parts.port)) as plug:
            plug.sendall(
                b"GET %s/%s/large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n" % (PROXY.encode(), root.encode())
            )
            plug.recv(1000)
    assert eventually(lambda: not left_incoming(tracking_home)), left_incoming(tracking_home)
    assert eventually(lambda: server.num_fds() < before + 20), (before, server.num_fds())
    again = Raw(tracking_url)
    assert listed(again, root) == ["large.bin"]
    again.ok("POST", f"/abort/{root}", {"path": "parts.bin", "upload_id": upload["upload_id"]}, prefix=PARTS)
    assert left(tracking_home) == []


def left_incoming(home):
    return [path for path in left(home) if ".incoming" in path]


def test_an_upload_that_nobody_finishes_is_cleared_after_a_day(raw, root, tracking_home):
    asked = {"path": "old.bin", "num_parts": 1}
    old = raw.ok("POST", f"/create/{root}", asked, prefix=PARTS)
    kept = raw.ok("POST", f"/create/{root}", asked, prefix=PARTS)
    assert raw.send("PUT", urlsplit(old["credentials"][0]["url"]).path, b"x")[0] == 200
    folder = tracking_home.tmp / "uploads" / old["upload_id"]
    os.utime(folder, (time.time() - 25 * 3600,) * 2)
    other = raw.ok("POST", f"/create/{root}", asked, prefix=PARTS)
    assert not folder.exists()
    assert raw.send("PUT", urlsplit(old["credentials"][0]["url"]).path, b"x")[0] == 404
    for upload in (kept, other):
        assert raw.send("PUT", urlsplit(upload["credentials"][0]["url"]).path, b"x")[0] == 200
        body = {"path": "old.bin", "upload_id": upload["upload_id"]}
        raw.ok("POST", f"/abort/{root}", body, prefix=PARTS)
    assert left(tracking_home) == []


def test_an_upload_that_is_refused_hears_why_although_it_is_large(tracking_url, root):
    parts = urlsplit(tracking_url)
    for path in (f"{PROXY}/{root}/a/../../x", f"{PARTS}/parts/{'0' * 32}/1"):
        # No second try here, which the other helper makes.
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
        connection.request("PUT", path, b"x" * (40 << 20))
        answer = connection.getresponse()
        assert answer.status in (400, 404) and json.loads(answer.read())["error_code"]
        connection.close()


@pytest.fixture
def no_room(server):
    """No file of the server can grow beyond 5 MiB: what a full disk or a quota does to a large upload."""
    server.rlimit(resource.RLIMIT_FSIZE, (5 << 20, resource.RLIM_INFINITY))
    yield
    server.rlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@pytest.mark.skipif(
    not hasattr(psutil.Process, "rlimit"), reason="limits of another process are set on Linux only"
)
def test_a_full_disk_is_said_and_leaves_nothing(raw, root, tracking_url, tracking_home, server, no_room):
    large = b"x" * (6 << 20)
    fds = server.num_fds()
    upload = raw.ok("POST", f"/create/{root}", {"path": "parts.bin", "num_parts": 2}, prefix=PARTS)
    for path in (f"{PROXY}/{root}/a.bin", urlsplit(upload["credentials"][0]["url"]).path):
        status, answer = raw.send("PUT", path, large)
        assert (status, json.loads(answer)["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
        assert "room" in json.loads(answer)["message"]
    server.rlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    for path in (f"{PROXY}/{root}/tiny.bin", urlsplit(upload["credentials"][0]["url"]).path):
        status, answer = raw.send("PUT", path, b"a byte is too much")
        assert (status, json.loads(answer)["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
    status, answer = raw.call("POST", f"/create/{root}", {"path": "parts.bin", "num_parts": 2}, prefix=PARTS)
    assert (status, answer["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
    server.rlimit(resource.RLIMIT_FSIZE, (5 << 20, resource.RLIM_INFINITY))
    # Each part has room, and the whole has none.
    sent = []
    for credential in upload["credentials"]:
        assert raw.send("PUT", urlsplit(credential["url"]).path, large[: 4 << 20])[0] == 200
        sent.append({"part_number": credential["part_number"]})
    done = {"path": "parts.bin", "upload_id": upload["upload_id"], "parts": sent}
    status, answer = raw.call("POST", f"/complete/{root}", done, prefix=PARTS)
    assert (status, answer["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
    assert (listed(raw, root), left_incoming(tracking_home)) == ([], [])
    assert raw.send("PUT", f"{PROXY}/{root}/small.bin", b"fits")[0] == 200
    server.rlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    raw.ok("POST", f"/complete/{root}", done, prefix=PARTS)
    assert raw.send("PUT", f"{PROXY}/{root}/a.bin", large)[0] == 200
    assert sorted(listed(raw, root)) == ["a.bin", "parts.bin", "small.bin"]
    assert left(tracking_home) == []
    raw.connection.close()
    assert eventually(lambda: server.num_fds() < fds + 10), (fds, server.num_fds())


@pytest.mark.skipif(
    not hasattr(psutil.Process, "rlimit"), reason="limits of another process are set on Linux only"
)
def test_a_ledger_without_room_says_so_and_goes_on_when_there_is_some(tmp_path):
    """On SQLite alone: the disk of PostgreSQL is PostgreSQL's."""
    home = Home(tmp_path / "home")
    with tracking_server(home, "") as url:
        raw, server = Raw(url), psutil.Process(home.server().pid)
        run_id = raw.ok("POST", "/runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]

        def log(step):
            body = {"run_id": run_id, "key": "m", "value": step, "timestamp": 1, "step": step}
            return raw.call("POST", "/runs/log-metric", body)

        def steps():
            found = raw.ok("GET", f"/metrics/get-history?run_id={run_id}&metric_key=m")
            return [point["step"] for point in found["metrics"]]

        assert log(0)[0] == 200
        server.rlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        status, answer = log(1)
        assert (status, answer["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE"), answer
        assert steps() == [0]
        server.rlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert log(2)[0] == 200
        assert steps() == [0, 2]
