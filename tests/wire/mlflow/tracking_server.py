"""A real server process, and how tests talk to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from holdfast.base.home import Home
from holdfast.cli.session import start_server


class Raw:
    """One connection to a server, without MLflow's client."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.url = url
        self.connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)

    def send(self, method, path, body=None, headers=None):
        """Status and bytes of the answer.

        A server that refuses a request before it has read the body closes the connection afterwards, which the
        next request may find out only when it writes.
        """
        try:
            self.connection.request(method, path, body, headers or {})
            answer = self.connection.getresponse()
        except (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):
            self.connection.close()
            self.connection.request(method, path, body, headers or {})
            answer = self.connection.getresponse()
        return answer.status, answer.read()

    def call(self, method, path, body=None, prefix="/api/2.0/mlflow"):
        """Status and decoded JSON of the answer to a JSON body."""
        data = None if body is None else json.dumps(body).encode()
        status, answer = self.send(method, prefix + path, data, {"Content-Type": "application/json"})
        return status, json.loads(answer)

    def ok(self, method, path, body=None, prefix="/api/2.0/mlflow"):
        """The decoded answer, which must not be an error."""
        status, answer = self.call(method, path, body, prefix)
        assert status == 200, (status, answer)
        return answer


@contextlib.contextmanager
def tracking_server(home: Home, ledger: str) -> Iterator[str]:
    """The address of a server process as a user starts it, ended with kill -9 afterwards.

    Args:
        ledger: what `--ledger` says; empty for SQLite in the home.
    """
    process = start_server(home, server_arguments(ledger), detached=True)
    try:
        info = home.server()
        assert info is not None
        yield info.url
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def server_arguments(ledger: str) -> list[str]:
    """What a user writes behind `holdfast server`."""
    return ["--port", "0", *(["--ledger", ledger] if ledger else [])]


@pytest.fixture(scope="module")
def tracking_home(tmp_path_factory, ledger_location):
    """The home of `tracking_url`."""
    return Home(tmp_path_factory.mktemp("tracking") / "home")


@pytest.fixture(scope="module")
def tracking_url(tracking_home, ledger_location):
    """A server process with an empty ledger, for the tests of one module, on SQLite and then on PostgreSQL."""
    with tracking_server(tracking_home, ledger_location) as url:
        yield url


@pytest.fixture
def project():
    """A project that nobody has used yet: a world of its own on a server that tests share."""
    return f"t{uuid.uuid4().hex}"


@pytest.fixture
def registry_url(tracking_url, project, monkeypatch):
    """The address of an empty tracking and registry server, by the prefix of a new project."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    return f"{tracking_url}/p/{project}"


@pytest.fixture
def raw(tracking_url):
    return Raw(tracking_url)
