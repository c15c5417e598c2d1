"""Requests from outside and versions from outside, as a person at the terminal meets them."""

from __future__ import annotations

import json
import os
import signal

import pytest

from holdfast.base.home import Home
from tests.cli.test_commands import MODEL, refused, rows
from tests.server.conftest import holdfast
from tests.wire.mlflow.tracking_server import Raw


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with version 1 of a model live, version 2 trained, and version 3 from outside; two wishes are open."""
    folder = tmp_path_factory.mktemp("requests")
    (folder / "shop.py").write_text(MODEL)
    rows().write_csv(folder / "sales.csv")
    found = Home(folder / "home")
    for _ in range(2):
        assert holdfast(found, "train", str(folder / "shop.py")).returncode == 0
    assert holdfast(found, "deploy", "shop", "--version", "1").returncode == 0
    raw = Raw(found.server().url)
    source = "runs:/00000000000000000000000000000000/model"
    raw.ok("POST", "/model-versions/create", {"name": "shop", "source": source})
    for version in ("2", "3"):
        status, answer = raw.call(
            "POST", "/registered-models/alias", {"name": "shop", "alias": "champion", "version": version}
        )
        assert (status, answer["error_code"]) == (403, "PERMISSION_DENIED")
    yield found
    os.kill(found.server().pid, signal.SIGTERM)


def ask(home, *words):
    done = holdfast(home, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_models_show_what_came_from_outside_and_what_deploying_it_would_do(home):
    assert "shop" in ask(home, "models", "list")
    said = ask(home, "models", "show", "shop")
    assert "outside" in said and "converts it to a format that runs no code" in said
    assert "deploying version 1: is in production already" in said
    assert "deploying version 2: rolls it out as the model's rollout policy says" in said
    assert "holdfast requests approve 1" in said
    told = json.loads(ask(home, "models", "show", "shop", "--json"))
    assert [item["version"]["origin"] for item in told["versions"]] == ["outside", "trained", "trained"]
    assert json.loads(ask(home, "models", "list", "--json"))["models"][0]["name"] == "shop"
    refused(holdfast(home, "models", "show", "nothing"), "there is no model 'nothing'")


def test_requests_are_listed_declined_and_granted_by_deploying(home):
    told = json.loads(ask(home, "requests", "list", "--json"))
    assert [(item["number"], item["version"], item["alias"]) for item in told] == [
        (2, 3, "champion"),
        (1, 2, "champion"),
    ]
    # Its files are not here, so it cannot be deployed, and the wish stays open.
    refused(holdfast(home, "requests", "approve", "2"), "the source runs:/00000")
    assert "declined" in ask(home, "requests", "decline", "2", "--reason", "no files")
    refused(holdfast(home, "requests", "approve", "2"), "the alias request 2 is declined")
    refused(holdfast(home, "requests", "decline", "9"), "there is no alias request 9")
    refused(holdfast(home, "requests", "approve", "9"), "there is no alias request 9")
    assert "request 1 is granted: champion of shop is version 2" in ask(
        home, "requests", "approve", "1", "--direct"
    )
    assert "no open requests" in ask(home, "requests", "list")
    everything = ask(home, "requests", "list", "shop", "--all")
    assert "granted" in everything and "no files" in everything
    assert json.loads(ask(home, "models", "show", "shop", "--json"))["model"]["aliases"]["champion"] == 2


def test_a_challenger_is_tried_beside_the_champion(home):
    """Runs after version 2 became the champion."""
    wish = {"name": "shop", "alias": "challenger", "version": "1"}
    status, answer = Raw(home.server().url).call("POST", "/registered-models/alias", wish)
    assert (status, "--challenger" in answer["message"]) == (403, True)
    (asked,) = json.loads(ask(home, "requests", "list", "--json"))
    number = str(asked["number"])
    refused(holdfast(home, "requests", "approve", number, "--direct"), "cannot take all traffic at once")
    assert "version 1 of shop is tried beside the champion" in ask(home, "requests", "approve", number)
    aliases = json.loads(ask(home, "models", "show", "shop", "--json"))["model"]["aliases"]
    assert (aliases["champion"], aliases["challenger"]) == (2, 1)
