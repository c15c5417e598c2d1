"""From a command to a registered version, in one transaction, however often it is tried."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from holdfast.base import audit, bundle, events, lineage
from holdfast.base.blobs import Blobs
from holdfast.base.clock import SimulatedClock
from holdfast.base.context import Actor, Context
from holdfast.base.encoding import from_json
from holdfast.base.errors import UnavailableError
from holdfast.base.home import Home
from holdfast.base.ledger import SqliteLedger
from holdfast.data import store as data_store
from holdfast.data.records import Contract
from holdfast.data.service import DataService
from holdfast.features import store as features_store
from holdfast.features.service import FeatureService
from holdfast.registry import store as registry_store
from holdfast.registry.records import ListVersionsRequest
from holdfast.registry.service import RegistryService
from holdfast.tracking import store as tracking_store
from holdfast.tracking.records import GetRunRequest
from holdfast.tracking.service import TrackingService
from holdfast.training.errors import TrainingFailedError
from holdfast.training.launcher import Launcher
from holdfast.training.records import ProductionModel, TrainCommand, TrainingOutcome
from holdfast.training.service import TrainingService
from tests.training.worlds import MODEL, end_at, make_task, write_sales

ANN = Context(Actor("ann"))
MIGRATIONS = (
    *events.MIGRATIONS,
    *lineage.MIGRATIONS,
    *audit.MIGRATIONS,
    *data_store.MIGRATIONS,
    *features_store.MIGRATIONS,
    *tracking_store.MIGRATIONS,
    *registry_store.MIGRATIONS,
)


class World(NamedTuple):
    """A composed training service and its neighbours."""

    folder: Path
    ledger: SqliteLedger
    blobs: Blobs
    home: Home
    data: DataService
    tracking: TrackingService
    registry: RegistryService
    training: TrainingService

    def command(self, run_id: str, source: str = MODEL, **changes: Any) -> TrainCommand:
        task = make_task(self.folder, source)
        digest = self.blobs.put(bundle.encode(bundle.pack(self.folder / "code" / "model.py")))
        command = TrainCommand(
            run_id, task.spec, digest, "model.py", end_at(), "schedule", "{}", source=task.source
        )
        return msgspec.structs.replace(command, **changes)

    def train(self, command: TrainCommand) -> Any:
        with self.training.job_folder(command.run_id) as folder:
            return self.training.train(ANN, command, (), folder)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    home = Home(tmp_path / "home")
    home.prepare()
    write_sales(tmp_path)
    ledger, blobs, clock = SqliteLedger(home.ledger, MIGRATIONS), Blobs(home.blobs), SimulatedClock(end_at())
    data = DataService(ledger, blobs, clock)
    features, tracking = FeatureService(ledger), TrackingService(ledger)
    registry, launcher = RegistryService(ledger, blobs, clock), Launcher(1)
    training = TrainingService(ledger, blobs, clock, home, data, features, tracking, registry, launcher)
    yield World(tmp_path, ledger, blobs, home, data, tracking, registry, training)
    launcher.close()
    ledger.close()


def count(ledger: SqliteLedger, table: str) -> int:
    with ledger.read() as reader:
        row = reader.one(f"SELECT COUNT(*) AS number FROM {table}")
    assert row is not None
    return int(row["number"])


def test_a_command_becomes_a_version_with_its_whole_lineage(world: World) -> None:
    version = world.train(world.command("a" * 32))
    assert (version.name, version.version, version.stage, version.trained_because) == (
        "demand",
        1,
        "gated",
        "schedule",
    )
    assert version.entry == "model.py"
    contract = from_json(world.blobs.read(version.contract_digest), Contract)
    assert contract.urn == "sales@1"
    run = world.tracking.get_run(ANN, GetRunRequest("a" * 32))
    assert (run.status, run.experiment, run.datasets) == ("finished", "demand", ("data/sales@1",))
    assert run.metrics == version.metrics
    assert "note was left out" in run.tags["warnings"]
    assert run.code is not None
    assert run.code.bundle == version.bundle
    with world.ledger.read() as reader:
        upstream = {edge.source for edge in lineage.graph(reader, ANN, version.urn).upstream}
        assert audit.verify(reader).intact
    assert {run.urn, "data/sales@1", "features/last_sold@1", f"code/{version.bundle[:16]}"} <= upstream
    assert list(world.home.tmp.iterdir()) == []


def test_training_again_with_the_same_run_registers_nothing_twice(world: World) -> None:
    command = world.command("a" * 32)
    assert world.train(command) == world.train(command)
    assert count(world.ledger, "model_version") == count(world.ledger, "run") == 1


def test_a_crash_between_the_end_of_the_child_and_the_record_is_repaired(world: World) -> None:
    command = world.command("a" * 32)
    pids: list[int] = []
    with pytest.raises(UnavailableError), world.training.job_folder(command.run_id) as folder:
        world.ledger.write(lambda tx: world.training.begin(tx, ANN, command))
        world.training.build_task(command, (), folder)
        outcome = world.training.execute(folder, pids.append)
        assert isinstance(outcome, TrainingOutcome), outcome
        raise UnavailableError("the ledger is gone")
    with world.training.job_folder(command.run_id) as folder:
        version = world.training.train(ANN, command, (), folder, pids.append)
    assert version.metrics == outcome.metrics
    assert len(pids) == 1
    assert list(world.home.tmp.iterdir()) == []


def test_recording_is_all_or_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*arguments: Any) -> Any:
        raise RuntimeError("in the middle")

    command = world.command("a" * 32)
    with world.training.job_folder(command.run_id) as folder:
        world.ledger.write(lambda tx: world.training.begin(tx, ANN, command))
        world.training.build_task(command, (), folder)
        outcome = world.training.execute(folder)
    assert isinstance(outcome, TrainingOutcome), outcome
    with monkeypatch.context() as patched, pytest.raises(RuntimeError):
        patched.setattr(world.registry, "register", explode)
        world.training.record_outcome(ANN, command, outcome)
    tables = ("dataset_version", "feature_view", "model_version")
    assert [count(world.ledger, table) for table in tables] == [0, 0, 0]
    assert world.tracking.get_run(ANN, GetRunRequest("a" * 32)).status == "running"
    first = world.training.record_outcome(ANN, command, outcome)
    assert world.training.record_outcome(ANN, command, outcome) == first
    assert [count(world.ledger, table) for table in tables] == [1, 1, 1]


def test_a_failure_stays_with_the_run(world: World) -> None:
    broken = world.command(
        "b" * 32, MODEL.replace("    return make", "    raise KeyError('x')\n    return make")
    )
    with pytest.raises(TrainingFailedError, match=r"train raised KeyError: 'x' \(model.py, line 19\)"):
        world.train(broken)
    run = world.tracking.get_run(ANN, GetRunRequest("b" * 32))
    assert (run.status, run.error) == (
        "failed",
        "the training function train raised KeyError: 'x' (model.py, line 19)",
    )
    assert count(world.ledger, "model_version") == count(world.ledger, "dataset_version") == 0
    assert list(world.home.tmp.iterdir()) == []


@pytest.mark.slow
def test_the_next_version_is_compared_and_shares_the_dataset(world: World) -> None:
    first = world.train(world.command("a" * 32))
    production = world.training.production_model(ANN, "demand", 1)
    assert production == ProductionModel(1, first.signature, first.files, end_at())
    second = world.train(world.command("b" * 32, production=production))
    versions = world.registry.list_versions(ANN, ListVersionsRequest("demand")).versions
    assert [version.version for version in versions] == [2, 1]
    assert second.dataset == first.dataset == "data/sales@1"
    assert second.contract_digest == first.contract_digest
    assert second.gates[1].state == "insufficient data"
    assert "only 0 of 120 held-out rows are new to version 1 in production" in second.gates[1].message
    assert second.stage == "rejected"
    assert count(world.ledger, "feature_view") == 1
