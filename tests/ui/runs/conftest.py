"""A home into which MLflow-like clients have logged, and its pages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from starlette.testclient import TestClient

from tests.ui import logged
from tests.ui.conftest import client_of
from tests.ui.story import START_AT
from tests.ui.world import World, build


@dataclass(frozen=True)
class Logged:
    """The world, and the ids of what was logged into it."""

    world: World
    client: TestClient
    trials: list[str]
    many: str
    hostile: str

    def page(self, path: str, status: int = 200) -> str:
        """A page as a browser gets it."""
        answer = self.client.get(path)
        assert answer.status_code == status, answer.text
        return answer.text


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logged]:
    world = build(tmp_path_factory.mktemp("logged"), START_AT)
    trials = logged.log_search(world, 120, 30)
    made = Logged(world, client_of(world), trials, logged.log_many_metrics(world), logged.log_hostile(world))
    yield made
    world.ledger.close()
