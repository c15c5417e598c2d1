"""A webhook's secret is written once and read by nobody but the sender."""

from __future__ import annotations

import os
import signal
import stat

import pytest

from holdfast.base.home import Home
from holdfast.registry.webhooks.records import Webhook
from tests.server.conftest import holdfast
from tests.wire.mlflow.tracking_server import Raw

SECRET = "hush-0123456789"
API = "/api/2.0/mlflow"


@pytest.fixture
def home(tmp_path):
    found = Home(tmp_path / "home")
    yield found
    info = found.server()
    if info is not None:
        os.kill(info.pid, signal.SIGTERM)


def test_a_secret_leaves_by_no_door(home, tmp_path):
    raw = Raw(_server(home))
    asked = {
        "name": "ci",
        "url": "http://127.0.0.1:9/hook",
        "events": [{"entity": "MODEL_VERSION", "action": "CREATED"}],
        "secret": SECRET,
    }
    status, made = raw.send("POST", f"{API}/webhooks", _json(asked), {"Content-Type": "application/json"})
    assert status == 200, made
    number = _id(made)
    other = asked | {"secret": SECRET + "-changed", "name": "other"}
    answers = [
        made,
        raw.send("GET", f"{API}/webhooks")[1],
        raw.send("GET", f"{API}/webhooks/{number}")[1],
        raw.send("PATCH", f"{API}/webhooks/{number}", _json(other))[1],
        raw.send("POST", f"{API}/webhooks/{number}/test", b"{}")[1],
        # Refusals quote what they refuse, but not this.
        raw.send("POST", f"{API}/webhooks", _json(asked | {"url": "ftp://nowhere"}))[1],
        raw.send("POST", f"{API}/webhooks", _json(asked | {"secret": [SECRET]}))[1],
        *(raw.send("GET", path)[1] for path in ("/", "/api/v1/audit", "/settings", "/api/v1/openapi.json")),
    ]
    backup = tmp_path / "backup"
    said = [
        holdfast(home, "audit", "list", "--json"),
        holdfast(home, "backup", str(backup)),
        holdfast(home, "status", "--json"),
        holdfast(home, "config", "--json"),
    ]
    texts = [answer.decode() for answer in answers] + [done.stdout + done.stderr for done in said]
    texts += [(home.run / "server.log").read_text(), *_listings(backup)]
    assert said[1].returncode == 0
    assert not [text for text in texts if "hush" in text]


def test_homes_and_backups_are_their_owners_alone(home, tmp_path):
    _server(home)
    assert holdfast(home, "backup", str(tmp_path / "backup")).returncode == 0
    for folder in (home.root, tmp_path / "backup"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_webhook_in_a_log_line_shows_no_secret():
    webhook = Webhook("1", "ci", "http://127.0.0.1:9", ("model_version.created",), 1, 2, secret=SECRET)
    assert "hush" not in repr(webhook) + str([webhook]) + f"{webhook}"
    assert "ci" in repr(webhook)


def _server(home):
    from holdfast.cli.session import start_server

    if home.server() is None:
        start_server(home, ["--port", "0"], detached=True)
    return home.server().url


def _listings(backup):
    """What a backup says of itself in plain text."""
    return [path.read_text() for path in backup.rglob("*.json")]


def _json(value):
    import json

    return json.dumps(value).encode()


def _id(body):
    import json

    return json.loads(body)["webhook"]["webhook_id"]
