"""Runs are found, described, compared, deleted and restored."""

from __future__ import annotations

import math
import random

import pytest

from holdfast.base import audit, events, lineage
from holdfast.base.clock import SimulatedClock, format_time
from holdfast.base.context import Actor, Context
from holdfast.base.errors import InvalidError, NotFoundError
from holdfast.base.ledger import Ledger
from holdfast.tracking import store
from holdfast.tracking.records import (
    Artifact,
    CodeSnapshot,
    DatasetUsed,
    EnvironmentSnapshot,
    LoggedPoint,
    RunInput,
    RunResult,
)
from holdfast.tracking.run_records import (
    CompareRuns,
    CurvesRequest,
    ListExperiments,
    RunRequest,
    RunSearch,
)
from holdfast.tracking.service import (
    ExperimentService,
    MetricService,
    RunCatalog,
    RunService,
    TrackingService,
)
from holdfast.tracking.store import artifacts as artifact_store
from tests.postgresql import LedgerFactory

ANN = Context(Actor("ann"))
MIGRATIONS = (*events.MIGRATIONS, *lineage.MIGRATIONS, *audit.MIGRATIONS, *store.MIGRATIONS)


class World:
    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.clock = SimulatedClock(1_000_000)
        self.started = 0
        self.experiments = ExperimentService(ledger, self.clock)
        self.logging = RunService(ledger, self.clock, self.experiments, random.Random(5))
        self.training = TrackingService(ledger)
        self.runs = RunCatalog(ledger, self.logging, MetricService(ledger))

    def run(self, experiment: str = "0", parent: str = "", **parameters: str) -> str:
        """One run more; of two that follow each other each second one starts at the same time as the first."""
        self.started += 1
        if self.started % 2:
            self.clock.advance(self.clock.now() + 1_000_000)
        tags = [("mlflow.parentRunId", parent)] if parent else []
        run_id = self.logging.create(ANN, experiment, tags=tags).run_id
        self.logging.log_batch(ANN, run_id, parameters=list(parameters.items()))
        return run_id

    def log(self, run_id: str, key: str, *values: float) -> None:
        at = self.clock.now()
        self.logging.log_batch(
            ANN, run_id, [LoggedPoint(key, value, at, step) for step, value in enumerate(values)]
        )


@pytest.fixture
def world(ledger_factory: LedgerFactory) -> World:
    return World(ledger_factory(MIGRATIONS))


def test_a_search_goes_over_every_experiment_page_by_page(world: World) -> None:
    bikes = world.experiments.create(ANN, "bikes")
    ids = [world.run(bikes if number % 2 else "0", depth=str(number % 3)) for number in range(7)]
    for number, run_id in enumerate(ids):
        world.log(run_id, "mae", float(number))
    seen, after = [], None
    while True:
        page = world.runs.search(ANN, RunSearch(limit=3, after=after))
        seen += [run.run_id for run in page.runs]
        after = page.next_after
        if after is None:
            break
    # Equal start times are told apart by the id.
    assert seen == sorted(ids, key=lambda run_id: (-(ids.index(run_id) // 2), run_id))
    wanted = "metrics.mae < 3 OR params.depth = '2'"
    found = world.runs.search(ANN, RunSearch(filter=wanted, order_by=("metrics.mae DESC",)))
    assert [run.metrics["mae"] for run in found.runs] == [5.0, 2.0, 1.0, 0.0]
    for name in ("bikes", bikes):
        found = world.runs.search(ANN, RunSearch(experiments=(name,)))
        assert [run.run_id for run in found.runs] == ids[5::-2]
        assert {run.experiment for run in found.runs} == {"bikes"}
    with pytest.raises(NotFoundError, match="there is no experiment 'bike'; did you mean 'bikes'"):
        world.runs.search(ANN, RunSearch(experiments=("bike",)))
    with pytest.raises(InvalidError, match="1 to 1000 runs, not 0"):
        world.runs.search(ANN, RunSearch(limit=0))
    with pytest.raises(InvalidError, match="expected a number"):
        world.runs.search(ANN, RunSearch(filter="metrics.mae < 'x'"))
    assert world.runs.search(Context(ANN.actor, "other"), RunSearch()).runs == ()


def test_experiments_say_how_many_runs_they_have(world: World) -> None:
    bikes = world.experiments.create(ANN, "bikes", tags=[("team", "rides")])
    world.experiments.create(ANN, "empty")
    first, second, third = world.run("0"), world.run(bikes), world.run(bikes)
    world.logging.update(ANN, second, status="finished", ended_at=world.clock.now())
    world.runs.delete(ANN, RunRequest(third))
    found = world.runs.experiments(ANN, ListExperiments()).experiments
    assert [(item.name, item.runs, item.runs_running, item.runs_deleted) for item in found] == [
        ("bikes", 1, 0, 1),
        ("Default", 1, 1, 0),
        ("empty", 0, 0, 0),
    ]
    assert found[0].tags == {"team": "rides"}
    assert found[2].last_started_at is None
    world.experiments.delete(ANN, bikes)
    gone = world.runs.experiments(ANN, ListExperiments("deleted")).experiments
    assert [(item.name, item.runs, item.runs_deleted) for item in gone] == [("bikes", 0, 2)]
    assert len(world.runs.experiments(ANN, ListExperiments("all")).experiments) == 3
    assert first


def test_a_status_is_asked_for_as_it_is_shown_and_a_time_as_it_is_read(world: World) -> None:
    first, second = world.run("0"), world.run("0")
    world.logging.update(ANN, first, status="finished", ended_at=world.clock.now())

    def found(text: str) -> list[str]:
        return [run.run_id for run in world.runs.search(ANN, RunSearch(filter=text)).runs]

    for text in ("'finished'", "'FINISHED'", "'Finished'"):
        assert found(f"status = {text}") == [first]
        assert [
            run.run_id for run in world.logging.search(ANN, ["0"], condition=f"status = {text}").runs
        ] == [first]
    assert found("status IN ('running', 'KILLED')") == [second] == found("status != 'finished'")
    for text in ("status = 'killled'", "status NOT IN ('failed', 'killled')"):
        with pytest.raises(
            InvalidError, match="no status 'killled'; valid are running, scheduled, finished, failed, kil"
        ):
            found(text)
        # The client of MLflow is answered as its own server answers it.
        world.logging.search(ANN, ["0"], condition=text)
    now = format_time(world.clock.now())
    assert set(found(f"start_time <= '{now}'")) == {first, second} == set(found("start_time > '1969-12-31'"))
    assert found(f"start_time > '{now}'") == []
    with pytest.raises(
        InvalidError, match=r"'yesterday' at character 14 is not an ISO 8601 time.*milliseconds since 1970"
    ):
        found("start_time > 'yesterday'")


def test_a_description_has_everything_and_takes_the_beginning_of_an_id(world: World) -> None:
    run_id = world.run(depth="3")
    children = [world.run(parent=run_id) for _ in range(2)]
    world.log(run_id, "loss", 3.0, 2.0, math.nan)
    given = RunInput(DatasetUsed("hours", "abc", "local"), {"mlflow.data.context": "train"})
    world.logging.log_inputs(ANN, run_id, [given])
    for path in ("plot.png", "model/MLmodel", "model/data/model.skops"):
        full = f"0/{run_id}/artifacts/{path}"
        world.ledger.write(lambda tx, full=full: artifact_store.put(tx, "default", full, "d" * 64, 7, 1))
    found = world.runs.describe(ANN, RunRequest(run_id[:6]))
    assert found.run.run_id == run_id
    assert [(item.key, item.value, item.step) for item in found.metrics] == [("loss", "NaN", 2)]
    assert found.run.parameters == {"depth": "3"}
    assert found.run.inputs == (given,)
    assert [item.path for item in found.artifacts] == ["model/MLmodel", "model/data/model.skops", "plot.png"]
    assert found.artifact_count == 3
    assert [child.run_id for child in found.children] == children
    assert world.runs.describe(ANN, RunRequest(children[0])).parent == run_id
    curve = world.runs.curves(ANN, CurvesRequest(run_id)).curves[0]
    assert (curve.key, curve.steps, curve.values) == ("loss", (0, 1, 2), (3.0, 2.0, "NaN"))
    assert world.runs.curves(ANN, CurvesRequest(run_id, ("nothing",))).curves == ()
    for text in ("zz", "ffffffffff", "", run_id + "0", "a'b"):
        with pytest.raises(NotFoundError, match="there is no run"):
            world.runs.describe(ANN, RunRequest(text))


def test_a_beginning_that_several_runs_have_is_refused(world: World) -> None:
    for ending in ("0" * 28, "1" * 28):
        world.ledger.write(
            lambda tx, ending=ending: world.training.start_run(tx, ANN, "abcd" + ending, "x", 1)
        )
    with pytest.raises(InvalidError, match="several runs begin with 'abcd': abcd0000, abcd1111; give more"):
        world.runs.describe(ANN, RunRequest("abcd"))
    assert world.runs.describe(ANN, RunRequest("abcd1")).run.run_id == "abcd" + "1" * 28


def test_runs_are_compared_in_the_order_asked_for(world: World) -> None:
    first, second, third = (
        world.run(depth="3", loss="squared"),
        world.run(depth="4", loss="squared"),
        world.run(),
    )
    world.log(first, "mae", 3.0, 2.0)
    world.log(second, "mae", 3.0, 1.0)
    world.log(second, "epoch", 7.0)
    found = world.runs.compare(ANN, CompareRuns((second[:8], first)))
    assert [run.run_id for run in found.runs] == [second, first]
    assert [(row.key, row.values) for row in found.parameters_differing] == [("depth", ("4", "3"))]
    assert found.parameters_same == {"loss": "squared"}
    metrics = {item.key: item for item in found.metrics}
    assert (metrics["mae"].values, metrics["mae"].better, metrics["mae"].best) == ((1.0, 2.0), "lower", (0,))
    assert (metrics["epoch"].values, metrics["epoch"].best) == ((7.0, None), ())
    # A metric logged once has no curve, unless it is asked for.
    assert [(curve.run_id, curve.key) for curve in found.curves] == [(second, "mae"), (first, "mae")]
    asked = world.runs.compare(ANN, CompareRuns((first, second, third), ("epoch",)))
    assert [(curve.run_id, curve.values) for curve in asked.curves] == [(second, (7.0,))]
    assert [row.key for row in asked.parameters_differing] == ["depth", "loss"]
    for runs, says in (((first,), "2 to 50 runs are compared, not 1"), ((first, first[:9]), "with itself")):
        with pytest.raises(InvalidError, match=says):
            world.runs.compare(ANN, CompareRuns(runs))


def test_a_run_is_deleted_and_restored_with_an_entry_each(world: World) -> None:
    run_id = world.run()
    assert world.runs.delete(ANN, RunRequest(run_id[:10])).lifecycle == "deleted"
    assert world.runs.delete(ANN, RunRequest(run_id)).deleted_at == world.clock.now()
    assert world.runs.search(ANN, RunSearch()).runs == ()
    assert [run.run_id for run in world.runs.search(ANN, RunSearch(view="deleted")).runs] == [run_id]
    restored = world.runs.restore(ANN, RunRequest(run_id))
    assert (restored.lifecycle, restored.deleted_at) == ("active", None)
    with world.ledger.read() as reader:
        entries = audit.entries(reader, ANN, f"tracking/run/{run_id}")
    assert [entry.action for entry in entries] == ["tracking.restore", "tracking.delete"]
    with pytest.raises(NotFoundError):
        world.runs.delete(ANN, RunRequest("f" * 32))


def test_own_trainings_compare_by_dataset_code_and_environment(world: World) -> None:
    packages = {"numpy": "2.1", "polars": "1.30"}
    for number in (1, 2):
        run_id = str(number) * 32
        result = RunResult(
            metrics={"mae": float(number)},
            datasets=(f"data/rides@{number}",),
            code=CodeSnapshot(
                "c" * 64, "bikes.py", git_commit=f"commit-{number}", git_diff="x" * (number - 1)
            ),
            environment=EnvironmentSnapshot("3.11", "linux", 2, {**packages, "numpy": f"2.{number}"}),
            artifacts=(Artifact("gates.json", "d" * 64, 12),),
        )
        world.ledger.write(lambda tx, run_id=run_id: world.training.start_run(tx, ANN, run_id, "bikes", 1))
        world.ledger.write(
            lambda tx, run_id=run_id, result=result: world.training.finish_run(tx, ANN, run_id, result, 2)
        )
    found = world.runs.compare(ANN, CompareRuns(("1" * 32, "2" * 32)))
    assert [(item.name, item.versions, item.differs) for item in found.datasets] == [
        ("rides", ("1", "2"), True)
    ]
    assert {row.key: row.values for row in found.code} == {
        "entry": ("bikes.py", "bikes.py"),
        "bundle": ("c" * 64, "c" * 64),
        "commit": ("commit-1", "commit-2"),
        "changes": ("clean", "changed"),
    }
    assert found.code_differs
    assert [(row.key, row.values) for row in found.environment_differing] == [("numpy", ("2.1", "2.2"))]
    assert found.packages_same == 1
    assert found.curves == ()
    assert [item.path for item in world.runs.describe(ANN, RunRequest("1" * 32)).artifacts] == ["gates.json"]
