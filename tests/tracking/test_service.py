"""Runs begin, end once, keep what they captured, and are listed by key."""

from __future__ import annotations

import math
import random

import pytest

from holdfast.base import events, lineage
from holdfast.base.context import Actor, Context
from holdfast.base.errors import NotFoundError
from holdfast.base.ledger import Ledger
from holdfast.tracking import store
from holdfast.tracking.errors import RunEndedError
from holdfast.tracking.ids import new_run_id
from holdfast.tracking.records import (
    Artifact,
    CodeSnapshot,
    EnvironmentSnapshot,
    GetRunRequest,
    MetricPoint,
    RunResult,
)
from holdfast.tracking.service import TrackingService
from tests.postgresql import LedgerFactory

ANN = Context(Actor("ann"))
RESULT = RunResult(
    metrics={"mae": 50.0, "broken": math.nan, "huge": math.inf},
    parameters={"depth": "3"},
    datasets=("data/rides@1",),
    code=CodeSnapshot("c" * 64, "bikes.py", git_commit="abc"),
    environment=EnvironmentSnapshot("3.11", "linux", 2, {"numpy": "2"}),
    artifacts=(Artifact("gates.json", "d" * 64, 12),),
)


@pytest.fixture
def ledger(ledger_factory: LedgerFactory) -> Ledger:
    return ledger_factory((*events.MIGRATIONS, *lineage.MIGRATIONS, *store.MIGRATIONS))


@pytest.fixture
def service(ledger: Ledger) -> TrackingService:
    return TrackingService(ledger)


def start(service: TrackingService, ledger: Ledger, run_id: str, at: int, experiment: str = "bikes") -> None:
    ledger.write(lambda tx: service.start_run(tx, ANN, run_id, experiment, at, seed=7, tags={"by": "test"}))


def test_a_finished_run_keeps_everything_and_ends_once(service: TrackingService, ledger: Ledger) -> None:
    run_id = new_run_id(random.Random(1))
    start(service, ledger, run_id, 100)
    start(service, ledger, run_id, 900)
    finished = ledger.write(lambda tx: service.finish_run(tx, ANN, run_id, RESULT, 200))
    again = ledger.write(lambda tx: service.finish_run(tx, ANN, run_id, RunResult(), 300))
    failed = ledger.write(lambda tx: service.fail_run(tx, ANN, run_id, "late", 300))
    assert repr(finished) == repr(again) == repr(failed) == repr(service.get_run(ANN, GetRunRequest(run_id)))
    assert (finished.status, finished.started_at, finished.ended_at) == ("finished", 100, 200)
    assert finished.metrics["mae"] == 50.0
    assert math.isnan(float(finished.metrics["broken"]))
    assert float(finished.metrics["huge"]) == math.inf
    assert (finished.code, finished.environment, finished.artifacts) == (
        RESULT.code,
        RESULT.environment,
        RESULT.artifacts,
    )
    assert (finished.parameters, finished.tags, finished.seed) == ({"depth": "3"}, {"by": "test"}, 7)
    with ledger.read() as reader:
        sources = {edge.source for edge in lineage.graph(reader, ANN, finished.urn).upstream}
    assert sources == {"data/rides@1", "code/cccccccccccccccc"}


def test_a_failed_run_keeps_its_reason_and_cannot_finish(service: TrackingService, ledger: Ledger) -> None:
    start(service, ledger, "a" * 32, 100)
    failed = ledger.write(lambda tx: service.fail_run(tx, ANN, "a" * 32, "train raised", 200, "killed"))
    assert (failed.status, failed.error) == ("killed", "train raised")
    with pytest.raises(RunEndedError, match="is killed and cannot finish"):
        ledger.write(lambda tx: service.finish_run(tx, ANN, "a" * 32, RESULT, 300))
    with pytest.raises(NotFoundError, match="there is no run 'b'"):
        service.get_run(ANN, GetRunRequest("b"))


def test_latest_metric_is_the_largest_step_time_and_value_in_any_order(
    service: TrackingService, ledger: Ledger
) -> None:
    start(service, ledger, "a" * 32, 100)
    points = [
        MetricPoint("loss", 3.0, 10, 1),
        MetricPoint("loss", math.nan, 20, 2),
        MetricPoint("loss", 1.0, 20, 2),
        MetricPoint("loss", 2.0, 15, 2),
    ]
    for order in (points, points[::-1], points):
        ledger.write(lambda tx, order=order: service.log_metrics(tx, ANN, "a" * 32, order))
    assert service.get_run(ANN, GetRunRequest("a" * 32)).metrics == {"loss": 1.0}
    with ledger.read() as reader:
        assert len(service.metric_history(reader, ANN, "a" * 32, "loss")) == 4
