"""One home a test."""

from __future__ import annotations

import pytest

from holdfast.server.compose import MIGRATIONS
from tests.loop.world import World


@pytest.fixture
def world(tmp_path, ledger_factory):
    world = World.open(tmp_path, ledger_factory(MIGRATIONS))
    yield world
    world.close()
