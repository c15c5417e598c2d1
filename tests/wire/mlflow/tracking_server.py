"""A real server process, and how tests talk to it."""

from __future__ import annotations

import http.client
import json
import os
import signal
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


@pytest.fixture(scope="module")
def tracking_home(tmp_path_factory):
    return Home(tmp_path_factory.mktemp("tracking") / "home")


@pytest.fixture(scope="module")
def tracking_url(tracking_home):
    """A server process with an empty ledger, for the tests of one module."""
    process = start_server(tracking_home, ["--port", "0"], detached=True)
    yield tracking_home.server().url
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture
def raw(tracking_url):
    return Raw(tracking_url)
