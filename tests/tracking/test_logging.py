"""What clients log: refused or kept, whole, once, and found again."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from holdfast.base import audit, events, lineage
from holdfast.base.clock import SimulatedClock
from holdfast.base.context import Actor, Context
from holdfast.base.errors import InvalidError, NotFoundError
from holdfast.tracking import store
from holdfast.tracking.errors import AlreadyExistsError, NotActiveError, ParameterChangedError
from holdfast.tracking.filter import Order
from holdfast.tracking.records import DatasetUsed, LoggedPoint, ModelLink, RunInput
from holdfast.tracking.service import ExperimentService, LoggedModelService, MetricService, RunService
from holdfast.tracking.store import metrics as metric_store
from holdfast.tracking.store.model_search import ModelOrder

ANN = Context(Actor("ann"))
OTHER = Context(Actor("ann"), "other")


class Services:
    def __init__(self, ledger):
        self.ledger = ledger
        self.clock = SimulatedClock(1_000_000_000)
        self.experiments = ExperimentService(ledger, self.clock)
        self.runs = RunService(ledger, self.clock, self.experiments, random.Random(1))
        self.metrics = MetricService(ledger)
        self.models = LoggedModelService(ledger, self.clock, self.experiments, random.Random(2))


@pytest.fixture
def services(ledger_factory):
    return Services(
        ledger_factory((*events.MIGRATIONS, *lineage.MIGRATIONS, *audit.MIGRATIONS, *store.MIGRATIONS))
    )


def test_experiments_have_ids_from_zero_in_every_project(services):
    experiments = services.experiments
    assert experiments.get(ANN, "0").name == "Default"
    assert experiments.create(ANN, "bikes", tags=[("team", "x")]) == "1"
    assert experiments.create(OTHER, "bikes") == "1"
    found = experiments.get_by_name(ANN, "bikes")
    assert (found.experiment_id, found.artifact_location, found.tags) == (
        "1",
        "mlflow-artifacts:/1",
        {"team": "x"},
    )
    with pytest.raises(AlreadyExistsError):
        experiments.create(ANN, "bikes")
    experiments.rename(ANN, "1", "rides")
    experiments.set_tag(ANN, "1", "team", "y")
    experiments.delete(ANN, "1")
    with pytest.raises(AlreadyExistsError, match="deleted"):
        experiments.create(ANN, "rides")
    with pytest.raises(NotActiveError):
        experiments.rename(ANN, "1", "z")
    assert [item.name for item in experiments.search(ANN).experiments] == ["Default"]
    assert [item.name for item in experiments.search(ANN, view="deleted").experiments] == ["rides"]
    experiments.restore(ANN, "1")
    experiments.delete_tag(ANN, "1", "team")
    with pytest.raises(NotFoundError):
        experiments.delete_tag(ANN, "1", "team")
    assert experiments.get(ANN, "1").tags == {}
    for bad in ("x", "-1", "", "9" * 30, "²"):
        with pytest.raises(InvalidError):
            experiments.get(ANN, bad)
    with pytest.raises(NotFoundError):
        experiments.get(ANN, "77")


def test_experiments_are_searched_page_by_page(services):
    for number in range(7):
        services.clock.advance(services.clock.now() + 1000)
        services.experiments.create(ANN, f"e{number}", tags=[("even", str(number % 2 == 0))])
    found, page = [], None
    while True:
        answer = services.experiments.search(
            ANN, condition="tags.even = 'True' AND name LIKE 'e%'", order_by=["name DESC"], limit=2, page=page
        )
        found.extend(item.name for item in answer.experiments)
        page = answer.next_page
        if page is None:
            break
    assert found == ["e6", "e4", "e2", "e0"]
    newest = services.experiments.search(ANN, limit=2)
    assert [item.name for item in newest.experiments] == ["e6", "e5"]
    assert [
        item.name for item in services.experiments.search(ANN, page=newest.next_page, limit=1).experiments
    ] == ["e4"]
    with pytest.raises(InvalidError, match="another search"):
        services.experiments.search(ANN, condition="name = 'x'", page=newest.next_page)
    with pytest.raises(InvalidError, match="page token"):
        services.experiments.search(ANN, page="rubbish")


def test_a_batch_is_kept_whole_or_not_at_all(services):
    run = services.runs.create(ANN, "0", name="first", user="bob").run_id
    services.runs.log_batch(ANN, run, [LoggedPoint("m", 1.0, 1000)], [("p", "1")], [("t", "x")])
    services.runs.log_batch(ANN, run, parameters=[("p", "1"), ("q", "2")])
    with pytest.raises(ParameterChangedError, match="Changing param values is not allowed"):
        services.runs.log_batch(
            ANN, run, [LoggedPoint("m", 9.0, 9000, 9)], [("r", "3"), ("p", "2")], [("t", "y")]
        )
    found = services.runs.get(ANN, run)
    assert (found.parameters, found.tags["t"], found.user) == ({"p": "1", "q": "2"}, "x", "bob")
    assert [(metric.key, metric.value) for metric in found.metrics] == [("m", 1.0)]
    services.runs.log_batch(ANN, run, tags=[("mlflow.runName", "second")])
    assert services.runs.get(ANN, run).name == "second"
    services.runs.update(ANN, run, name="third")
    assert services.runs.get(ANN, run).tags["mlflow.runName"] == "third"


@pytest.mark.parametrize(
    "batch",
    [
        {"points": [LoggedPoint("m", 1.0, 0)] * 1001},
        {"parameters": [(f"p{n}", "") for n in range(101)]},
        {"tags": [(f"p{n}", "") for n in range(101)]},
        {"points": [LoggedPoint("m", 1.0, 0)] * 950, "tags": [(f"p{n}", "") for n in range(51)]},
        {"points": [LoggedPoint("../m", 1.0, 0)]},
        {"points": [LoggedPoint("", 1.0, 0)]},
        {"points": [LoggedPoint("a\x00", 1.0, 0)]},
        {"points": [LoggedPoint("k" * 251, 1.0, 0)]},
        {"points": [LoggedPoint("m", 1.0, -1000)]},
        {"points": [LoggedPoint("m", 1.0, 2**63 * 1000)]},
        {"parameters": [("p", "x" * 6001)]},
        {"parameters": [("p", "1"), ("p", "2")]},
        {"parameters": [("p", "a\x00b")]},
        {"tags": [("p", "x" * 8001)]},
        {"tags": [("a;b", "x")]},
    ],
)
def test_what_is_too_much_or_not_legal_is_refused(services, batch):
    run = services.runs.create(ANN, "0").run_id
    with pytest.raises(InvalidError):
        services.runs.log_batch(ANN, run, **batch)
    found = services.runs.get(ANN, run)
    assert (found.metrics, found.parameters, list(found.tags)) == ((), {}, ["mlflow.runName"])


def test_limits_are_met_exactly(services):
    run = services.runs.create(ANN, "0").run_id
    services.runs.log_batch(
        ANN, run, [LoggedPoint("m", 1.0, 0, n) for n in range(900)], [("p", "x" * 6000)], [("t", "x" * 8000)]
    )
    assert len(services.metrics.history(ANN, run, "m").steps) == 900


def test_deleted_runs_take_nothing_until_they_are_restored(services):
    run = services.runs.create(ANN, "0").run_id
    services.runs.delete(ANN, run)
    services.runs.delete(ANN, run)
    with pytest.raises(NotActiveError, match="must be in the 'active' state"):
        services.runs.log_batch(ANN, run, tags=[("t", "x")])
    assert services.runs.search(ANN, ["0"]).runs == ()
    assert [found.run_id for found in services.runs.search(ANN, ["0"], view="deleted").runs] == [run]
    services.runs.restore(ANN, run)
    services.experiments.delete(ANN, "0")
    assert services.runs.get(ANN, run).lifecycle == "deleted"
    with pytest.raises(NotActiveError):
        services.runs.create(ANN, "0")
    services.experiments.restore(ANN, "0")
    assert services.runs.get(ANN, run).lifecycle == "active"
    with pytest.raises(NotFoundError):
        services.runs.get(OTHER, run)


def test_latest_is_the_largest_and_duplicates_are_one_point(services):
    run = services.runs.create(ANN, "0").run_id
    points = [
        LoggedPoint("m", 3.0, 10_000, 1),
        LoggedPoint("m", math.nan, 20_000, 2),
        LoggedPoint("m", math.nan, 20_000, 2),
        LoggedPoint("m", -math.inf, 20_000, 2),
        LoggedPoint("m", 1.0, 15_000, 2),
    ]
    rng = random.Random(4)
    for _ in range(4):
        rng.shuffle(points)
        services.runs.log_batch(ANN, run, points)
    latest = services.runs.get(ANN, run).metrics[0]
    assert (latest.value, latest.at, latest.step) == (-math.inf, 20_000, 2)
    curve = services.metrics.history(ANN, run, "m")
    assert list(zip(curve.steps, curve.times, strict=True)) == [
        (1, 10_000),
        (2, 15_000),
        (2, 20_000),
        (2, 20_000),
    ]
    assert curve.values[2] == -math.inf
    assert math.isnan(curve.values[3])


def test_histories_are_the_same_before_and_after_packing(services, monkeypatch):
    monkeypatch.setattr(metric_store, "_TAIL_ROWS", 20)
    monkeypatch.setattr(metric_store, "_LOOK_EVERY", 7)
    monkeypatch.setattr(metric_store, "BLOCK_POINTS", 64)
    run = services.runs.create(ANN, "0").run_id
    rng = random.Random(9)
    sent: dict[str, set] = {"a": set(), "b": set()}
    for _ in range(150):
        batch = [
            LoggedPoint(rng.choice("ab"), rng.randrange(50) / 4, rng.randrange(60) * 1000, rng.randrange(80))
            for _ in range(rng.randrange(1, 6))
        ]
        services.runs.log_batch(ANN, run, batch)
        for point in batch:
            sent[point.key].add((point.step, point.at, point.value))
    with services.ledger.read() as reader:
        row = reader.one("SELECT count(*) AS n FROM metric_block")
        assert row["n"] > 4
    for key, expected in sent.items():
        curve = services.metrics.history(ANN, run, key)
        assert list(zip(curve.steps, curve.times, curve.values, strict=True)) == sorted(expected)
        pages, page = [], None
        while True:
            part = services.metrics.history(ANN, run, key, limit=37, page=page)
            pages.extend(zip(part.steps, part.times, part.values, strict=True))
            page = part.next_page
            if page is None:
                break
        assert pages == sorted(expected)
    services.runs.update(ANN, run, status="finished", ended_at=5000)
    assert len(services.metrics.history(ANN, run, "a").steps) == len(sent["a"])


def test_a_page_goes_on_where_it_was_though_points_came_before_it(services):
    run = services.runs.create(ANN, "0").run_id
    services.runs.log_batch(ANN, run, [LoggedPoint("m", 1.0, 0, step) for step in range(10, 20)])
    first = services.metrics.history(ANN, run, "m", limit=4)
    services.runs.log_batch(ANN, run, [LoggedPoint("m", 1.0, 0, step) for step in range(3)])
    rest = services.metrics.history(ANN, run, "m", limit=100, page=first.next_page)
    assert first.steps + rest.steps == list(range(10, 20))
    for limit, page in ((0, None), (-1, None), (5, "rubbish")):
        with pytest.raises(InvalidError):
            services.metrics.history(ANN, run, "m", limit=limit, page=page)


def test_thinned_curves_keep_ends_and_spikes(services):
    run = services.runs.create(ANN, "0").run_id
    values = np.zeros(3000)
    values[1234], values[2345] = 9.0, -9.0
    for start in range(0, 3000, 1000):
        services.runs.log_batch(
            ANN, run, [LoggedPoint("m", values[step], 0, step) for step in range(start, start + 1000)]
        )
    outline = services.metrics.outline(ANN, run, "m", 100)
    assert len(outline.steps) <= 110
    assert (outline.steps[0], outline.steps[-1]) == (0, 2999)
    assert (max(outline.values), min(outline.values)) == (9.0, -9.0)
    (sampled,) = services.metrics.sampled(ANN, [run, "f" * 32], "m", 10, (100, 200))
    assert (sampled.steps[0], sampled.steps[-1]) == (100, 200)
    assert len(sampled.steps) == 10


def test_several_outlines_read_together_are_those_read_one_by_one(services):
    run = services.runs.create(ANN, "0").run_id
    keys = ["loss", "acc", "rarely", "never"]

    def log(first, last):
        for step in range(first, last):
            points = [LoggedPoint("loss", 1 / (step + 1), step, step), LoggedPoint("acc", step, step, step)]
            if step % 7 == 0:
                # An older step that comes late, and one point twice.
                points += [LoggedPoint("rarely", math.nan, step, -step)] * 2
            services.runs.log_batch(ANN, run, points)

    log(0, 60)
    services.ledger.write(lambda tx: metric_store.pack(tx, metric_number(services, run)))
    log(60, 90)
    together = {curve.key: curve for curve in services.metrics.outlines(ANN, run, keys, 40)}
    for key in keys:
        alone = services.metrics.outline(ANN, run, key, 40)
        assert (together[key].steps, together[key].times) == (alone.steps, alone.times)
        np.testing.assert_array_equal(together[key].values, alone.values)
    assert len(together["rarely"].steps) == 13
    assert together["never"].steps == []
    with pytest.raises(NotFoundError):
        list(services.metrics.outlines(ANN, "f" * 32, keys))


def metric_number(services, run):
    return services.runs.get(ANN, run).number


def test_inputs_and_outputs_are_kept_and_become_lineage(services):
    run = services.runs.create(ANN, "0").run_id
    dataset = DatasetUsed("rides", "d1", "local", "{}", "s", "p")
    model = services.models.create(ANN, "0", name="clf", source_run_id=run)
    for _ in range(2):
        services.runs.log_inputs(ANN, run, [RunInput(dataset, {"mlflow.data.context": "train"})])
        services.runs.log_outputs(ANN, run, [ModelLink(model.model_id, 3)])
    found = services.runs.get(ANN, run)
    assert found.inputs == (RunInput(dataset, {"mlflow.data.context": "train"}),)
    assert found.model_outputs == (ModelLink(model.model_id, 3),)
    with services.ledger.read() as reader:
        graph = lineage.graph(reader, ANN, f"tracking/run/{run}")
    assert {edge.source for edge in graph.upstream} == {"source/rides@d1"}
    assert {edge.target for edge in graph.downstream} == {f"tracking/model/{model.model_id}"}
    assert services.runs.dataset_summaries(ANN, ["0"]) == [("0", "rides", "d1", "train")]
    with pytest.raises(InvalidError):
        services.runs.log_inputs(ANN, run, [RunInput(DatasetUsed("r", "d" * 37))])


def test_logged_models_are_found_by_what_they_are_and_how_well_they_did(services):
    runs = [services.runs.create(ANN, "0").run_id for _ in range(3)]
    models = []
    for number, run in enumerate(runs):
        services.clock.advance(services.clock.now() + 1000)
        model = services.models.create(
            ANN,
            "0",
            name=f"m{number}",
            model_type="tree",
            source_run_id=run,
            parameters=[("depth", str(number))],
        )
        for step, value in ((0, 0.1), (1, number / 10)):
            services.runs.log_batch(
                ANN, run, [LoggedPoint("acc", value, 0, step, model.model_id, "test", "d")]
            )
        models.append(model.model_id)
    services.models.set_tags(ANN, models[0], [("team", "x")])
    services.models.finish(ANN, models[0], "ready")

    def find(condition="", **kwargs):
        return [
            model.name for model in services.models.search(ANN, ["0"], condition=condition, **kwargs).models
        ]

    best = [ModelOrder(Order("metric", "acc", False), ("test", "d"))]
    assert find() == ["m2", "m1", "m0"]
    assert find(orders=best) == ["m2", "m1", "m0"]
    assert find("metrics.acc > 0.15") == ["m2"]
    assert find("metrics.acc > 0", datasets=[("other", "")]) == []
    assert find("params.depth = '1' OR tags.team = 'x'") == ["m1", "m0"]
    assert find("status = 'READY' AND name LIKE 'm%'") == ["m0"]
    first = services.models.search(ANN, ["0"], orders=best, limit=2)
    rest = services.models.search(ANN, ["0"], orders=best, limit=2, page=first.next_page)
    assert [model.name for model in rest.models] == ["m0"]
    with pytest.raises(ParameterChangedError):
        services.models.log_parameters(ANN, models[1], [("depth", "9")])
    services.models.delete(ANN, models[1])
    with pytest.raises(NotFoundError):
        services.models.get(ANN, models[1])
    assert services.models.get(ANN, models[1], deleted_too=True).lifecycle == "deleted"
    assert find() == ["m2", "m0"]
    with pytest.raises(InvalidError):
        services.models.create(ANN, "0", name="a/b")
