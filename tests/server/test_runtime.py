"""What only the leading server does, what it stops with the lead, and what it leaves alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from holdfast.base.clock import SystemClock
from holdfast.base.context import local_context
from holdfast.base.home import Home
from holdfast.base.ledger import Ledger, SqliteLedger
from holdfast.server.compose import MIGRATIONS, Services, compose
from holdfast.server.runtime import Runtime
from tests.server.conftest import wait_for

CONTEXT = local_context()


class Shared:
    """A ledger that another server may lead: `term` is None while it does."""

    def __init__(self, ledger: Ledger, term: int | None) -> None:
        self._ledger = ledger
        self.term = term

    @contextlib.contextmanager
    def leading(self) -> Iterator[int | None]:
        yield self.term

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)


class World:
    def __init__(self, folder: Path, term: int | None) -> None:
        self.home = Home(folder / "home")
        self.home.prepare()
        self.ledger = Shared(SqliteLedger(self.home.ledger, MIGRATIONS), term)
        clock = SystemClock()
        self.runtime = Runtime(clock, tick_seconds=0.02)
        composed = compose(self.home, self.ledger, clock, settle=self.runtime.settle, wake=self.runtime.wake)
        self.upgrades = 0
        composed.tracking.upgrade = self._count  # type: ignore[method-assign]
        self.services: Services = replace(composed, ledger=self.ledger)

    def _count(self) -> None:
        self.upgrades += 1

    def start(self) -> None:
        self.runtime.start(self.services)


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[Any]:
    made: list[World] = []

    def make(term: int | None) -> World:
        made.append(World(tmp_path / str(len(made)), term))
        return made[-1]

    yield make
    for world in made:
        world.runtime.stop()
        world.ledger.close()


def test_webhooks_are_delivered_by_the_leader_and_only_while_it_leads(worlds: Any) -> None:
    world = worlds(1)
    sender = world.services.webhook_sender
    assert not sender.running
    world.start()
    assert sender.running
    world.ledger.term = None
    wait_for(lambda: not sender.running)
    # The lead comes back, first unshared (the same term) and then from another server.
    for term in (1, 3):
        world.ledger.term = term
        wait_for(lambda: sender.running)
        world.ledger.term = None
        wait_for(lambda: not sender.running)


def test_a_server_that_does_not_lead_moves_nothing_of_an_older_release(worlds: Any) -> None:
    world = worlds(None)
    world.start()
    world.runtime.settle()
    assert (world.upgrades, world.services.webhook_sender.running) == (0, False)
    world.ledger.term = 2
    wait_for(lambda: world.upgrades == 1)
    world.runtime.settle()
    assert world.upgrades == 1, "once a term"


def test_uploads_of_before_go_at_the_start_and_running_ones_outlive_a_change_of_the_lead(worlds: Any) -> None:
    world = worlds(None)
    artifacts = world.services.logging.artifacts
    left = artifacts.begin_upload(CONTEXT, "0/a", 2)
    world.start()
    uploads = world.home.tmp / "uploads"
    assert not (uploads / left).exists()
    running = artifacts.begin_upload(CONTEXT, "0/b", 1)
    world.ledger.term = 1
    wait_for(lambda: world.upgrades == 1)
    artifacts.part_file(CONTEXT, running, 1).write_bytes(b"weed")
    assert artifacts.finish_upload(CONTEXT, "0/b", running, [1]).size_bytes == 4
