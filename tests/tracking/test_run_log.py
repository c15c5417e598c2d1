"""Runs that scripts keep: begun under their own id, logged and ended twice without harm."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest

from holdfast.base import audit, events, lineage
from holdfast.base.blobs import Blobs
from holdfast.base.clock import SimulatedClock
from holdfast.base.context import Actor, Context
from holdfast.base.errors import InvalidError, NotFoundError
from holdfast.base.ledger import Ledger
from holdfast.base.urn import run as run_urn
from holdfast.tracking import store
from holdfast.tracking.errors import NotActiveError, ParameterChangedError
from holdfast.tracking.log_records import (
    BeginRun,
    CodeGiven,
    EndRun,
    LogToRun,
    NoteInputs,
    PointGiven,
    ResumeRun,
)
from holdfast.tracking.records import DatasetUsed, EnvironmentSnapshot, GetRunRequest, RunInput
from holdfast.tracking.service import (
    ArtifactService,
    ExperimentService,
    MetricService,
    RunLogService,
    RunService,
    TrackingService,
)
from tests.postgresql import LedgerFactory

ANN = Context(Actor("ann"))
RUN_ID, CHILD_ID = "a" * 32, "b" * 32


class World:
    def __init__(self, ledger: Ledger, folder: Path) -> None:
        clock, ids = SimulatedClock(1_000), random.Random(1)
        self.ledger = ledger
        self.blobs = Blobs(folder / "blobs")
        self.experiments = ExperimentService(ledger, clock)
        self.runs = RunService(ledger, clock, self.experiments, ids)
        self.tracking = TrackingService(ledger)
        artifacts = ArtifactService(ledger, self.blobs, clock, folder / "uploads", ids)
        self.log = RunLogService(ledger, self.blobs, self.experiments, self.runs, self.tracking, artifacts)
        self.metrics = MetricService(ledger)

    def begin(self, run_id: str = RUN_ID, **given: object) -> None:
        self.log.begin(ANN, msgspec.structs.replace(BeginRun(run_id, "my experiment", 500), **given))


@pytest.fixture
def world(ledger_factory: LedgerFactory, tmp_path: Path) -> World:
    return World(
        ledger_factory((*events.MIGRATIONS, *lineage.MIGRATIONS, *audit.MIGRATIONS, *store.MIGRATIONS)),
        tmp_path,
    )


def test_everything_may_come_twice(world: World) -> None:
    code = CodeGiven("train.py", b"bundle", "c" * 40, "diff")
    environment = EnvironmentSnapshot("3.11", "linux", 2, {"numpy": "2"}, {"processor": "abacus"})
    batch = LogToRun(
        RUN_ID,
        (PointGiven("loss", 0.5, 600, 1), PointGiven("loss", "NaN", 700, 2)),
        {"depth": "6"},
        {"team": "risk"},
    )
    inputs = NoteInputs(RUN_ID, (RunInput(DatasetUsed("rides", "d1")),))
    for _ in range(2):
        world.begin(name="base", seed=7, tags={"kind": "test"}, code=code, environment=environment)
        world.log.log(ANN, batch)
        world.log.note_inputs(ANN, inputs)
        assert world.log.end(ANN, EndRun(RUN_ID, 900)).status == "finished"
    run = world.tracking.get_run(ANN, GetRunRequest(RUN_ID))
    assert (run.name, run.experiment, run.seed, run.created_by) == ("base", "my experiment", 7, "ann")
    assert (run.started_at, run.ended_at, run.parameters) == (500, 900, {"depth": "6"})
    assert run.tags == {"kind": "test", "mlflow.runName": "base", "team": "risk"}
    assert run.environment == environment
    assert run.code is not None and world.blobs.read(run.code.bundle) == b"bundle"
    assert run.code.git_diff == "diff"
    assert len(world.metrics.history(ANN, RUN_ID, "loss").points()) == 2
    with world.ledger.read() as reader:
        graph = lineage.graph(reader, ANN, run_urn(RUN_ID), depth=1)
    assert sorted(edge.relation for edge in graph.upstream) == ["ran", "trained"]


def test_a_run_that_failed_says_why_and_may_go_on(world: World) -> None:
    world.begin()
    assert world.log.end(ANN, EndRun(RUN_ID, 900, "failed", "KeyError: 'x'")).status == "failed"
    # What comes late changes nothing: neither how it ended nor when.
    assert world.log.end(ANN, EndRun(RUN_ID, 950, "finished")).status == "failed"
    run = world.tracking.get_run(ANN, GetRunRequest(RUN_ID))
    assert (run.error, run.ended_at) == ("KeyError: 'x'", 900)
    assert world.log.resume(ANN, ResumeRun(RUN_ID)).status == "running"
    run = world.tracking.get_run(ANN, GetRunRequest(RUN_ID))
    assert (run.error, run.ended_at) == (None, None)
    assert world.log.end(ANN, EndRun(RUN_ID, 990, "killed")).status == "killed"
    assert world.tracking.get_run(ANN, GetRunRequest(RUN_ID)).error == "the run was killed"


def test_a_part_names_the_whole(world: World) -> None:
    world.begin()
    world.begin(CHILD_ID, parent=RUN_ID)
    assert world.runs.get(ANN, CHILD_ID).tags["mlflow.parentRunId"] == RUN_ID


def test_the_rules_of_runs_hold(world: World) -> None:
    world.begin(parameters={"depth": "6"})
    with pytest.raises(ParameterChangedError):
        world.log.log(ANN, LogToRun(RUN_ID, parameters={"depth": "7"}))
    with pytest.raises(InvalidError, match="at most 1000 metrics"):
        world.log.log(ANN, LogToRun(RUN_ID, tuple(PointGiven("x", 1.0, 1, step) for step in range(1001))))
    for verb, request in (
        (world.log.log, LogToRun(CHILD_ID, tags={"a": "b"})),
        (world.log.end, EndRun(CHILD_ID, 900)),
        (world.log.resume, ResumeRun(CHILD_ID)),
    ):
        with pytest.raises(NotFoundError):
            verb(ANN, request)  # type: ignore[operator]
    world.runs.delete(ANN, RUN_ID)
    with pytest.raises(NotActiveError, match="runs restore aaaaaaaa"):
        world.log.resume(ANN, ResumeRun(RUN_ID))
    with pytest.raises(NotActiveError):
        world.log.place(ANN, RUN_ID, "model.bin")


@pytest.mark.parametrize(
    "given",
    [
        {"run_id": "../../etc"},
        {"run_id": "A" * 32},
        {"parent": "someone"},
        {"experiment": " "},
        {"name": "x" * 501},
        {"started_at": -5_000},
        {"tags": {"": "x"}},
        {"parameters": {f"p{i}": "1" for i in range(101)}},
        {"seed": 2**70},
    ],
)
def test_a_bad_beginning_begins_nothing(world: World, given: dict[str, object]) -> None:
    with pytest.raises(InvalidError):
        world.begin(**given)  # type: ignore[arg-type]
    with pytest.raises(NotFoundError):
        world.runs.get(ANN, RUN_ID)


def test_an_experiment_that_is_deleted_takes_no_runs(world: World) -> None:
    world.begin()
    world.experiments.delete(ANN, world.runs.get(ANN, RUN_ID).experiment_id)
    with pytest.raises(NotActiveError):
        world.begin(CHILD_ID)
