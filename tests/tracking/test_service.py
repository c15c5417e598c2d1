"""Runs begin, end once, keep what they captured, and are listed by key."""

from __future__ import annotations

import math
import random

import pytest

from holdfast.base import events, lineage
from holdfast.base.context import Actor, Context
from holdfast.base.errors import InvalidError, NotFoundError
from holdfast.base.ledger import Ledger
from holdfast.tracking import store
from holdfast.tracking.errors import RunEndedError
from holdfast.tracking.ids import new_run_id
from holdfast.tracking.records import (
    Artifact,
    CodeSnapshot,
    EnvironmentSnapshot,
    GetRunRequest,
    ListRunsRequest,
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
    assert math.isnan(finished.metrics["broken"])
    assert finished.metrics["huge"] == math.inf
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


def test_pages_have_every_run_once_newest_first(service: TrackingService, ledger: Ledger) -> None:
    generator = random.Random(2)
    ids = [new_run_id(generator) for _ in range(11)]
    for number, run_id in enumerate(ids):
        # Equal start times, so that the key has to break the tie.
        start(service, ledger, run_id, 100 + number // 4, "bikes" if number != 5 else "payments")
    seen: list[str] = []
    after = None
    while True:
        page = service.list_runs(ANN, ListRunsRequest(limit=3, after=after))
        seen.extend(run.run_id for run in page.runs)
        after = page.next_after
        if after is None:
            break
    assert seen == sorted(ids, key=lambda run_id: (100 + ids.index(run_id) // 4, run_id), reverse=True)
    only = service.list_runs(ANN, ListRunsRequest(experiment="payments"))
    assert [run.run_id for run in only.runs] == [ids[5]]
    assert service.list_runs(Context(ANN.actor, "other"), ListRunsRequest()).runs == ()
    with pytest.raises(InvalidError, match="not a page mark"):
        service.list_runs(ANN, ListRunsRequest(after="x"))


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
