"""One home a test."""

from __future__ import annotations

import pytest

from tests.loop.world import World


@pytest.fixture
def world(tmp_path):
    world = World.open(tmp_path)
    yield world
    world.close()
