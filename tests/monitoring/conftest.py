"""A world for each test; the baseline is made once, because it is the slow part."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.registry.baseline import Baseline
from tests.monitoring.world import MIGRATIONS, World, make_baseline
from tests.postgresql import LedgerFactory


@pytest.fixture(scope="session")
def baseline() -> Baseline:
    return make_baseline()


@pytest.fixture
def world(tmp_path: Path, baseline: Baseline, ledger_factory: LedgerFactory) -> Iterator[World]:
    made = World(tmp_path, baseline, ledger_factory(MIGRATIONS))
    yield made
    made.close()
