"""One server a home: it starts, answers, refuses what it must, ends cleanly and comes back as it was."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sqlite3
import time
from urllib.parse import urlsplit

import pytest

import holdfast as hf
from holdfast.base.client import Client
from holdfast.base.clock import parse_time
from holdfast.base.context import Actor, Context
from holdfast.base.errors import RemoteError
from holdfast.base.home import Home
from holdfast.base.operations import Empty
from holdfast.base.simulation import AdvanceClockRequest, ClockService
from holdfast.sdk.session import start_background_server
from holdfast.tracking.run_records import CurvesRequest
from holdfast.tracking.service import RunCatalog
from tests.server.conftest import holdfast

ADA = Context(Actor("ada"))


def ask(home, method: str = "GET", path: str = "/health", body: bytes | None = None, **headers: str):
    address = urlsplit(home.server().url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read() or b"null")


def test_it_answers_and_ends_cleanly(home, servers):
    process = servers(home)
    assert ask(home) == (200, {"status": "ok"})
    status, document = ask(home, path="/api/v1/openapi.json")
    assert status == 200
    assert "/api/v1/models/{name}/rollback" in document["paths"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert home.server() is None


def test_a_second_server_of_the_home_is_refused(home, servers):
    servers(home)
    done = holdfast(home, "server", "--port", "0")
    assert done.returncode == 1
    assert "already has a running server process (pid" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_one_sentence(home):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = holdfast(home, "server", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert "cannot be used (Address already in use); name another with --port" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_address_that_is_not_local_is_refused(home):
    done = holdfast(home, "server", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 1
    assert "without tokens the server does not listen on 0.0.0.0" in done.stderr


def test_a_home_of_a_newer_schema_is_refused_and_left_alone(home, servers):
    servers(home).send_signal(signal.SIGTERM)
    while home.server():
        time.sleep(0.01)
    with sqlite3.connect(home.ledger) as ledger:
        ledger.execute("INSERT INTO schema_migration VALUES ('future', 1)")
    for command in (["server", "--port", "0"], ["status"]):
        done = holdfast(home, *command)
        assert done.returncode == 1
        assert "written by a newer holdfast" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Content_Length": "99999999999"}, 413),
        ({}, 409),
    ],
)
def test_other_sites_and_huge_bodies_are_kept_out(home, servers, headers, status):
    servers(home)
    answered, body = ask(home, "POST", "/api/v1/clock/advance", b'{"to_at": 1}', **headers)
    assert answered == status, body


def test_unknown_paths_and_methods_are_404_in_the_one_error_shape(home, servers):
    servers(home)
    for method, path in (("GET", "/api/v1/nothing"), ("DELETE", "/api/v1/status")):
        status, body = ask(home, method, path)
        assert status == 404
        assert body["error"]["code"] == "not_found"


def test_the_simulated_clock_moves_forward_only_and_outlives_kill_minus_nine(home, servers):
    process = servers(home, "--clock", "simulated", "--from", "2026-01-01T00:00:00Z")
    client = Client(home.server().url, ADA)
    there = parse_time("2026-01-05T00:00:00Z")
    assert client.call(ClockService.advance, AdvanceClockRequest(there)).settled
    assert client.call(ClockService.advance, AdvanceClockRequest(there - 1)).now_at == there
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    servers(home, "--clock", "simulated", "--from", "2026-01-01T00:00:00Z")
    again = Client(home.server().url, ADA)
    assert again.call(ClockService.now, Empty()).now_at == there


def test_real_time_cannot_be_moved(home, servers):
    servers(home)
    with pytest.raises(RemoteError, match="start one with --clock simulated"):
        Client(home.server().url, ADA).call(ClockService.advance, AdvanceClockRequest(1))


def test_a_server_with_nothing_to_do_leaves(home, servers):
    process = servers(home, "--idle-exit", "0.5")
    assert process.wait(20) == 0


def test_a_server_in_the_background_takes_the_configured_port_and_gives_way(
    home, servers, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    monkeypatch.setenv("HOLDFAST_PORT", str(port))
    other = Home(tmp_path / "other")
    try:
        for found in (home, other):
            start_background_server(found)
        assert home.server().url == f"http://127.0.0.1:{port}" and home.server().until_idle
        assert other.server().url != home.server().url, "the port was taken"
        before = home.server().pid
        run = hf.run("kept", home=str(home.root), quiet=True, system_metrics=False)
        run.log(x=1, step=0)
        assert run.flush()
        process = servers(home, "--port", str(port))  # as a person would start it
        assert process.pid == home.server().pid != before
        assert home.server().url == f"http://127.0.0.1:{port}" and not home.server().until_idle
        run.log(x=2, step=1)
        run.finish()
        client = Client(home.server().url, Context(Actor("ada")))
        (curve,) = client.call(RunCatalog.curves, CurvesRequest(run.run_id, ("x",))).curves
        assert list(curve.steps) == [0, 1]
        assert "already has a running server process" in holdfast(home, "server", "--port", "0").stderr
    finally:
        os.kill(other.server().pid, signal.SIGTERM)
