"""Servers on PostgreSQL: commands find the ledger, two servers share it, and one takes over from the other."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from typing import Any
from urllib.parse import urlsplit

import pytest

from holdfast.base.home import Home
from tests.cli.test_commands import MODEL, rows
from tests.server.conftest import holdfast, wait_for

pytestmark = pytest.mark.postgresql

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed; pip install 'holdfast[postgres]'")


@pytest.fixture
def configured(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The ledger as a setting, which commands and servers inherit."""
    monkeypatch.setenv("HOLDFAST_LEDGER", postgresql_url)
    return postgresql_url


def ask(url: str, sql: str) -> Any:
    """The first value that the database has."""
    plain, _, schema = url.partition("?schema=")
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f'SET search_path TO "{schema}"')
        row = connection.execute(sql).fetchone()
    return row[0] if row else None


def sharing(home: Home, other: Home) -> Home:
    """A home of its own whose blobs, deployments, spool and segments are those of the other."""
    home.prepare()
    other.root.mkdir(parents=True)
    for folder in ("blobs", "serving", "segments"):
        (other.root / folder).symlink_to(home.root / folder)
    return other


def test_commands_read_the_ledger_with_and_without_a_server(home, servers, configured):
    missing = holdfast(home, "status")
    assert missing.returncode == 1
    assert "there is no ledger at postgresql://" in missing.stderr
    process = servers(home)
    assert not home.ledger.exists()
    asked = holdfast(home, "status", "--json")
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    alone = holdfast(home, "status", "--json")
    assert (asked.returncode, alone.returncode) == (0, 0), asked.stderr + alone.stderr
    assert json.loads(asked.stdout)["models"] == json.loads(alone.stdout)["models"] == []
    assert ask(configured, "SELECT holder IS NOT NULL FROM leadership")


def test_a_server_whose_database_is_away_says_so_in_one_sentence(home):
    done = holdfast(home, "server", "--port", "0", "--ledger", "postgresql://ann:secret@127.0.0.1:1/x")
    assert done.returncode == 1
    assert "the ledger postgresql://ann@127.0.0.1:1/x cannot be used now" in done.stderr
    assert "Traceback" not in done.stderr and "secret" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_password_is_not_shown(home, monkeypatch):
    monkeypatch.setenv("HOLDFAST_LEDGER", "postgresql://ann:secret@db/ml")
    for flags in ([], ["--json"]):
        shown = holdfast(home, "config", *flags).stdout
        assert "secret" not in shown and "ann:***@db/ml" in shown.replace("\n", "")


def test_a_simulated_clock_has_one_server(home, servers, configured, tmp_path):
    servers(home)
    done = holdfast(Home(tmp_path / "second"), "server", "--port", "0", "--clock", "simulated")
    assert done.returncode == 1
    assert "another server leads this ledger" in done.stderr


def test_while_the_database_is_away_a_server_answers_503_and_goes_on_afterwards(
    home, servers, cluster, monkeypatch
):
    monkeypatch.setenv("HOLDFAST_LEDGER", cluster.url)
    servers(home)
    address = urlsplit(home.server().url)

    def status(path: str) -> int:
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
        connection.request("GET", path)
        return connection.getresponse().status

    assert status("/api/v1/deployments") == 200
    cluster.stop()
    assert status("/api/v1/deployments") == 503
    assert status("/health") == 200
    cluster.start()
    wait_for(lambda: status("/api/v1/deployments") == 200)


def test_another_server_takes_over_from_one_that_was_killed_in_the_middle_of_a_training(
    home, servers, configured, tmp_path
):
    (tmp_path / "shop.py").write_text(MODEL)
    rows().write_csv(tmp_path / "sales.csv")
    follower = sharing(home, Home(tmp_path / "second"))
    leader = servers(home)
    servers(follower)
    # Asked for through the server that does not lead; the one that leads does it.
    asked = subprocess.Popen(
        [sys.executable, "-m", "holdfast.cli.main", "--home", str(follower.root), "train", "shop.py"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_for(
        lambda: ask(configured, "SELECT COUNT(*) FROM job WHERE state = 'running' AND pid IS NOT NULL") == 1
    )
    assert ask(configured, "SELECT term FROM leadership") == 1
    os.kill(leader.pid, signal.SIGKILL)
    leader.wait()
    said, _ = asked.communicate(timeout=90)
    assert asked.returncode == 0, said
    assert "shop version 1 is gated" in said
    assert ask(configured, "SELECT term FROM leadership") == 2
    assert ask(configured, "SELECT attempt FROM job") == 2
    assert ask(configured, "SELECT COUNT(*) FROM model_version") == 1
    deployed = holdfast(follower, "deploy", "shop", "--json")
    assert deployed.returncode == 0, deployed.stderr
    intact = holdfast(follower, "audit", "verify")
    assert intact.returncode == 0, intact.stderr
    # The one that was killed comes back as the one that waits.
    servers(home)
    assert holdfast(home, "status").returncode == 0
    assert ask(configured, "SELECT term FROM leadership") == 2


def test_garbage_is_collected_by_the_server_that_leads_whichever_is_asked(
    home, servers, configured, tmp_path
):
    follower = sharing(home, Home(tmp_path / "second"))
    servers(home)
    servers(follower)
    address = urlsplit(follower.server().url)

    def ask_mlflow(method: str, path: str, body: bytes) -> Any:
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
        connection.request(method, f"/api/2.0/{path}", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        return json.loads(answer.read())

    runs = [
        ask_mlflow("POST", "mlflow/runs/create", b'{"experiment_id": "0"}')["run"]["info"]["run_id"]
        for _ in range(2)
    ]
    for run_id in runs:
        ask_mlflow("PUT", f"mlflow-artifacts/artifacts/0/{run_id}/artifacts/file", run_id.encode())
    assert holdfast(follower, "runs", "delete", runs[0]).returncode == 0
    blobs = [path for path in home.blobs.glob("*/*") if path.is_file()]
    assert len(blobs) == 2
    for path in blobs:
        os.utime(path, (path.stat().st_mtime - 7200,) * 2)
    freed = holdfast(follower, "runs", "gc", "--older-than", "0d", "--yes")
    assert freed.returncode == 0, freed.stderr
    assert "freed 32 B: 1 run, 1 artifact, 1 blob (deleted before" in freed.stdout
    assert [path.read_text() for path in blobs if path.exists()] == [runs[1]]
    assert ask(configured, "SELECT term FROM leadership") == 1
