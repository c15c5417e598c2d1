"""Backup and restore: everything acknowledged before is in it, on both ledgers and from one to the other."""

from __future__ import annotations

import http.client
import json
import os
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from holdfast.base import audit
from holdfast.base.blobs import Blobs
from holdfast.base.client import Client
from holdfast.base.clock import SystemClock
from holdfast.base.context import Actor, Context, local_context
from holdfast.base.errors import HomeError
from holdfast.base.home import Home
from holdfast.base.ledger.export import tables_of
from holdfast.base.ledger.opening import open_ledger, open_read_only
from holdfast.cli.train import declare
from holdfast.features.online.store import OnlineStore
from holdfast.loop.records import DeployRequest
from holdfast.registry.records import ListVersionsRequest
from holdfast.server.backup import back_up, restore
from holdfast.server.compose import MIGRATIONS
from holdfast.serving.deployment_file import load_deployment_file
from holdfast.serving.log import PredictionLog
from holdfast.serving.records import DeploymentKey, LabelFrame
from holdfast.serving.spool import SpoolWriter, deployment_folder
from tests.cli.test_commands import MODEL, end, rows
from tests.loop.world import World
from tests.postgresql import LedgerFactory
from tests.server.conftest import holdfast, wait_for

ADA = Context(Actor("ada"))
KEY = DeploymentKey("default", "production", "bikes")


@pytest.fixture
def world(tmp_path: Path, ledger_factory: LedgerFactory) -> Iterator[World]:
    """A home with two versions, a rollout, decisions, an audit trail, an open spool segment and an online store."""
    made = World.open(tmp_path, ledger_factory(MIGRATIONS))
    made.declare()
    for _ in range(2):
        made.register()
        made.tick()
    writer = SpoolWriter(deployment_folder(made.home.spool, KEY), "w0", 1)
    writer.append([LabelFrame(1, 1, ["p_a.0"], [2.0], [1])])
    with closing(OnlineStore(made.home.online)) as store, store.write() as transaction:
        transaction.set_mark(b"x" * 16, 7)
    yield made
    writer.close()
    made.close()


@pytest.fixture
def location(ledger_factory: LedgerFactory, tmp_path: Path, world: World) -> str:
    """The setting `ledger` of the world; on SQLite its file is made to be the home's."""
    if not ledger_factory.location:
        world.home.ledger.symlink_to(tmp_path / "ledger.db")
    return ledger_factory.location


def contents(home: Home, location: str) -> dict[str, list[tuple[Any, ...]]]:
    ledger = open_read_only(location, home.ledger, MIGRATIONS)
    with ledger.read() as reader:
        found = {
            table: sorted(
                (tuple(dict(row).items()) for row in reader.query(f"SELECT * FROM {table}")), key=repr
            )
            for table in tables_of(reader)
        }
        assert audit.verify(reader).intact
    ledger.close()
    return found


def elsewhere(location: str) -> str:
    return location and location + "_restored"


@pytest.fixture
def swept(location: str) -> Iterator[None]:
    yield
    if location:
        import psycopg

        with psycopg.connect(location.partition("?")[0], autocommit=True) as connection:
            connection.execute("SET client_min_messages = warning")
            schema = location.partition("schema=")[2]
            connection.execute(f'DROP SCHEMA IF EXISTS "{schema}_restored" CASCADE')


def test_a_home_comes_back_as_it_was(world, location, swept, tmp_path):
    made = back_up(world.home, location, tmp_path / "backup", SystemClock())
    home = Home(tmp_path / "restored")
    again = restore(home, elsewhere(location), tmp_path / "backup")
    assert (again.rows, again.blobs, again.segments) == (made.rows, made.blobs, made.segments)
    assert made.segments == made.deployments == 1 and made.blobs > 0 and made.damaged == ()
    assert contents(home, elsewhere(location)) == contents(world.home, location)
    assert PredictionLog(home).labels(KEY).height == 1
    with closing(OnlineStore(home.online)) as store, store.write() as transaction:
        assert transaction.mark(b"x" * 16) == 7
    one, another = (
        load_deployment_file(root.deployments / "default" / "production" / "bikes.json")
        for root in (world.home, home)
    )
    assert one == another


def test_numbers_go_on_where_they_were(world, location, swept, tmp_path):
    with world.ledger.read() as reader:
        last = reader.one("SELECT MAX(number) AS number FROM event")["number"]
    world.ledger.write(lambda tx: tx.execute("DELETE FROM event WHERE number = ?", (last,)))
    back_up(world.home, location, tmp_path / "backup", SystemClock())
    home = Home(tmp_path / "restored")
    restore(home, elsewhere(location), tmp_path / "backup")
    ledger = open_ledger(elsewhere(location), home.ledger, MIGRATIONS)
    insert = "INSERT INTO event (project, kind, payload, created_at) VALUES ('p', 'k', '{}', 1)"
    assert ledger.write(lambda tx: tx.insert(insert)) == last + 1
    ledger.close()


@pytest.mark.postgresql
def test_a_backup_moves_from_one_database_to_the_other(world, location, postgresql_url, swept, tmp_path):
    """Up from a file to a team's database, and back again."""
    target = "" if location else f"{postgresql_url}_other"
    back_up(world.home, location, tmp_path / "backup", SystemClock())
    home = Home(tmp_path / "restored")
    restore(home, target, tmp_path / "backup")
    assert contents(home, target) == contents(world.home, location)
    if target:
        import psycopg

        with psycopg.connect(target.partition("?")[0], autocommit=True) as connection:
            connection.execute("SET client_min_messages = warning")
            connection.execute(f'DROP SCHEMA "{target.partition("schema=")[2]}" CASCADE')


def test_a_restored_home_goes_on(world, location, swept, tmp_path):
    back_up(world.home, location, tmp_path / "backup", SystemClock())
    home = Home(tmp_path / "restored")
    restore(home, elsewhere(location), tmp_path / "backup")
    ledger = open_ledger(elsewhere(location), home.ledger, MIGRATIONS)
    again = World.open(home.root.parent, ledger, home)
    page = again.services.registry.list_versions(ADA, ListVersionsRequest("bikes"))
    assert [item.version for item in page.versions] == [2, 1]
    assert again.traffic() == world.traffic()
    again.register()
    with pytest.raises(Exception, match="already being rolled out"):
        again.services.loop.deploy(ADA, DeployRequest("bikes", version=3))
    again.close()


def test_what_is_there_is_never_overwritten(world, location, tmp_path):
    back_up(world.home, location, tmp_path / "backup", SystemClock())
    with pytest.raises(HomeError, match="is not empty, so nothing is backed up"):
        back_up(world.home, location, tmp_path / "backup", SystemClock())
    with pytest.raises(HomeError, match=r"is not empty .* so nothing is restored"):
        restore(world.home, location, tmp_path / "backup")
    if location:
        with pytest.raises(HomeError, match="the ledger to restore into is not empty"):
            restore(Home(tmp_path / "restored"), location, tmp_path / "backup")


@pytest.mark.parametrize("harm", ["changed", "missing", "unfinished"])
def test_a_backup_that_is_not_whole_is_refused_before_anything_is_restored(tmp_path, harm):
    world = World.open(tmp_path)
    world.declare()
    back_up(world.home, "", tmp_path / "backup", SystemClock())
    world.close()
    victim = next(path for path in (tmp_path / "backup" / "blobs").rglob("*") if path.is_file())
    if harm == "changed":
        victim.write_bytes(victim.read_bytes()[::-1] + b".")
    elif harm == "missing":
        victim.unlink()
    else:
        (tmp_path / "backup" / "backup.json").unlink()
    home = Home(tmp_path / "restored")
    with pytest.raises(HomeError, match=r"missing or damaged|was not finished"):
        restore(home, "", tmp_path / "backup")
    assert not home.root.exists()


def test_a_damaged_blob_is_named_when_the_backup_is_taken(tmp_path):
    world = World.open(tmp_path)
    world.declare()
    world.close()
    victim = next(path for path in world.home.blobs.rglob("*") if path.is_file())
    victim.write_bytes(b"rotten")
    done = holdfast(world.home, "backup", str(tmp_path / "backup"))
    assert done.returncode == 1
    assert f"1 blobs of the home are damaged (the first is {victim.name[:16]})" in done.stderr
    restored = holdfast(Home(tmp_path / "restored"), "restore", str(tmp_path / "backup"), "--json")
    assert json.loads(restored.stdout)["damaged"] == [victim.name]


def test_an_edited_audit_trail_shows_at_restore(tmp_path):
    world = World.open(tmp_path)
    world.declare()
    world.close()
    with sqlite3.connect(world.home.ledger) as intruder:
        intruder.execute("UPDATE audit_entry SET actor = 'mallory'")
    intruder.close()
    back_up(world.home, "", tmp_path / "backup", SystemClock())
    with pytest.raises(HomeError, match="the audit trail does not hold from entry 1"):
        restore(Home(tmp_path / "restored"), "", tmp_path / "backup")


class Load:
    """Predictions and declarations, some hundred and some ten a second, with what was acknowledged."""

    def __init__(self, home: Home, predict: str, file: Path) -> None:
        self.predictions: list[str] = []
        self.declarations = 0
        self._home, self._predict, self._file = home, urlsplit(predict), file
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=work) for work in (self._ask, self._declare)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection(self._predict.hostname, self._predict.port, timeout=10)
        while not self._stopped.wait(0.003):
            connection.request(
                "POST", self._predict.path, b'{"rows": [{"at": "2026-02-01T00:00:00", "price": 3.0}]}'
            )
            answer = json.loads(connection.getresponse().read())
            self.predictions.append(answer["predictions"][0]["id"])

    def _declare(self) -> None:
        client = Client(self._home.server().url, local_context())
        while not self._stopped.wait(0.05):
            declare(client, str(self._file), None, active=True)
            self.declarations += 1


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def test_restore_drill(database, request, tmp_path, monkeypatch):
    """A backup under load, restored: everything acknowledged before it began is there, and nothing dangles."""
    if database == "postgresql":
        monkeypatch.setenv("HOLDFAST_LEDGER", request.getfixturevalue("postgresql_url"))
    (tmp_path / "shop.py").write_text(MODEL)
    rows().write_csv(tmp_path / "sales.csv")
    home, restored = Home(tmp_path / "home"), Home(tmp_path / "restored")
    try:
        arguments = ("--port", "0", "--serve-port", "0", "--detach", "--json")
        up = holdfast(home, "up", str(tmp_path / "shop.py"), *arguments)
        assert up.returncode == 0, up.stderr
        with Load(home, json.loads(up.stdout)["predict"], tmp_path / "shop.py") as load:
            wait_for(lambda: len(load.predictions) >= 50 and load.declarations >= 3)
            before, declarations = list(load.predictions), load.declarations
            made = holdfast(home, "backup", str(tmp_path / "backup"))
            assert made.returncode == 0, made.stderr
            wait_for(lambda: len(load.predictions) > len(before) + 50)
        # The worst day: the processes are gone with the home.
        for info in (home.serving(), home.server()):
            os.kill(info.pid, signal.SIGKILL)
        if database == "postgresql":
            monkeypatch.setenv("HOLDFAST_LEDGER", os.environ["HOLDFAST_LEDGER"] + "_restored")
        back = holdfast(restored, "restore", str(tmp_path / "backup"), "--json")
        assert back.returncode == 0, back.stderr
        found = PredictionLog(restored).predictions(DeploymentKey("default", "production", "shop"))
        assert set(before) <= set(found["prediction_id"])
        assert set(found["prediction_id"]) <= set(load.predictions) | {None}
        location = os.environ.get("HOLDFAST_LEDGER", "")
        stored = contents(restored, location)
        declared = [row for row in stored["audit_entry"] if dict(row)["action"] == "declare"]
        assert declarations <= len(declared) <= load.declarations + 2
        blobs = Blobs(restored.blobs)
        for row in stored["model_version"]:
            record = json.loads(dict(row)["record"])
            assert all(blobs.verify(file["digest"]) for file in record["files"])
            assert blobs.verify(record["bundle"]) and blobs.verify(record["contract_digest"])
        # And it works: the model answers from the restored home.
        again = holdfast(restored, "up", str(tmp_path / "shop.py"), *arguments)
        assert again.returncode == 0, again.stderr
        address = urlsplit(json.loads(again.stdout)["predict"])
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
        connection.request("POST", address.path, b'{"rows": [{"at": "2026-02-01T00:00:00", "price": 3.0}]}')
        assert json.loads(connection.getresponse().read())["version"] == "1"
    finally:
        end(home)
        end(restored)
