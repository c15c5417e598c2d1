"""Versions that outside clients registered, and their requests for champion: what to expect, approve, decline."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from holdfast.base import bundle
from holdfast.base.clock import DAY_US
from holdfast.cli.trace import fields as trace_fields
from holdfast.data.records import TableSpec
from holdfast.loop.overview import StatusRequest
from holdfast.loop.records import DeclareRequest, DeployRequest, LoopSpec, RollbackRequest
from holdfast.loop.trace import TraceRequest
from holdfast.monitoring import store as monitoring_store
from holdfast.monitoring.records import LossSums, Window
from holdfast.registry.catalog.records import ListAliasRequestsRequest
from holdfast.registry.errors import GatedAliasError
from holdfast.rollout.records import RolloutPolicy
from holdfast.training.records import ModelSpec
from tests.ui import logged
from tests.ui.conftest import client_of
from tests.ui.story import START_AT
from tests.ui.world import World, build

NAME = "demand-outside"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Three versions from outside: skops, cloudpickle, and a model of no flavor that can be served."""
    made = build(tmp_path / "home", START_AT)
    run_id = logged.log_many_metrics(made, 2)
    made.models.create(logged.KIM, NAME, "", {})
    for stored_as in ("skops", "cloudpickle", ""):
        logged.register_outside(made, NAME, run_id, stored_as)
    yield made
    made.ledger.close()


@pytest.fixture
def client(world: World) -> TestClient:
    return client_of(world)


def ask(world: World, version: int, alias: str = "champion") -> int:
    """An MLflow client sets champion or challenger; the number of the request that is filed instead."""
    with contextlib.suppress(GatedAliasError):
        world.composed.aliases.set(logged.KIM, NAME, alias, version)
    requests = world.services.aliases.list_requests(logged.KIM, ListAliasRequestsRequest(NAME)).requests
    return requests[0].number


def state(world: World, number: int) -> str:
    found = world.services.aliases.list_requests(logged.KIM, ListAliasRequestsRequest(state=None)).requests
    return next(one.state for one in found if one.number == number)


def test_the_model_page_says_what_each_version_takes(client: TestClient) -> None:
    page = client.get(f"/models/{NAME}").text
    assert f"holdfast deploy {NAME} --version 1</code>" in page
    assert f"holdfast deploy {NAME} --version 2 --trust</code>" in page
    assert "--version 3" not in page
    assert "cannot be served here" in page
    assert "sklearn (cloudpickle)" in page
    outside = client.get(f"/models/{NAME}.json").json()["outside"]
    verdicts = {item["entry"]["version"]: item["outlook"]["verdict"] for item in outside}
    assert verdicts == {1: "deployable", 2: "needs trust", 3: "not servable"}


def test_a_version_that_nobody_deployed_has_a_page(client: TestClient) -> None:
    page = client.get(f"/models/{NAME}/versions/2")
    assert page.status_code == 200
    for expected in (
        "not deployed yet",
        "runs whatever code its writer put in it",
        "--trust",
        "runs:/",
        "team",
    ):
        assert expected in page.text
    assert "cannot be deployed" in client.get(f"/models/{NAME}/versions/3").text
    assert client.get(f"/models/{NAME}/versions/99").status_code == 404
    assert (
        client.get(f"/models/{NAME}/versions/2.json").json()["outside"]["outlook"]["stored_as"]
        == "cloudpickle"
    )


def test_a_request_waits_where_people_look(client: TestClient, world: World) -> None:
    assert "No requests" in client.get("/alias-requests").text
    number = ask(world, 1)
    for path in ("/", f"/models/{NAME}", f"/models/{NAME}/versions/1"):
        page = client.get(path).text
        assert f'href="/alias-requests#request-{number}"' in page, path
        assert "kim wants champion of demand-outside on version 1" in page
    assert "An alias request waits" not in client.get(f"/models/{NAME}/versions/2").text


def test_approving_deploys_and_grants(client: TestClient, world: World) -> None:
    number = ask(world, 1)
    assert f'action="/alias-requests/{number}/approve"' in client.get("/alias-requests").text
    answer = client.post(f"/alias-requests/{number}/approve")
    assert answer.status_code == 303, answer.text
    page = client.get(answer.headers["location"]).text
    assert f"Request {number} is granted" in page
    assert state(world, number) == "granted"
    assert world.services.registry.version(logged.KIM, NAME, 1).stage == "live"
    assert client.post(f"/alias-requests/{number}/approve").status_code == 409
    assert client.get(f"/models/{NAME}/versions/1").status_code == 200
    model = client.get(f"/models/{NAME}").text
    assert f"holdfast deploy {NAME} --version 1<" not in model, "it is deployed already"
    waiting = client.get(f"/models/{NAME}.json").json()["outside"]
    assert [item["entry"]["version"] for item in waiting] == [3, 2], "it stands among the versions now"
    assert "Train now" not in model
    assert "No file declares how to train it" in model


def test_the_quality_of_an_outside_champion_is_measured_without_a_baseline(
    client: TestClient, world: World
) -> None:
    client.post(f"/alias-requests/{ask(world, 1)}/approve")
    (before,) = world.services.overview.status(logged.KIM, StatusRequest(NAME)).models
    assert before.message.endswith("no baseline to compare with; no label of the last 7 days has arrived yet")
    losses = LossSums(300, 60.0, 24.0, 12.0, 0.2, 0.2)
    day = world.clock.now() // DAY_US * DAY_US
    windows = [Window(1, day, rows=320, requests=320, metric="mae", losses=losses)]
    world.ledger.write(lambda tx: monitoring_store.save_windows(tx, "default", "production", NAME, windows))
    (after,) = world.services.overview.status(logged.KIM, StatusRequest(NAME)).models
    assert (after.metric, after.quality, after.labelled) == ("mae", pytest.approx(0.2), 300)
    assert after.interval is not None and after.interval[0] < 0.2 < after.interval[1]
    assert "hf.monitor" not in after.message and "measured over 300 labels" in after.message
    page = client.get(f"/models/{NAME}").text
    assert "No labels have arrived yet" not in page
    assert "no baseline to compare with" in page and "95% interval" in page


def test_approving_a_challenger_puts_it_beside_the_champion(client: TestClient, world: World) -> None:
    client.post(f"/alias-requests/{ask(world, 1)}/approve")
    run_id = world.services.versions.get(logged.KIM, NAME, 1).run_id
    version = logged.register_outside(world, NAME, run_id, "skops")
    number = ask(world, version, "challenger")
    assert "tried beside the champion" in client.get("/alias-requests").text
    answer = client.post(f"/alias-requests/{number}/approve")
    assert answer.status_code == 303, answer.text
    assert "was put beside the champion" in client.get(answer.headers["location"]).text
    assert state(world, number) == "granted"
    stages = [world.services.registry.version(logged.KIM, NAME, number).stage for number in (1, version)]
    assert stages == ["live", "staged"]


def test_a_pickle_is_not_deployed_without_a_word_of_trust(client: TestClient, world: World) -> None:
    number = ask(world, 2)
    page = client.get("/alias-requests").text
    assert "Trust it and deploy version 2" in page
    refused = client.post(f"/alias-requests/{number}/approve", data={})
    assert 400 <= refused.status_code < 500
    assert "add --trust" in refused.text
    assert state(world, number) == "open"


def test_what_cannot_be_served_can_only_be_declined(client: TestClient, world: World) -> None:
    number = ask(world, 3)
    assert f"/alias-requests/{number}/approve" not in client.get("/alias-requests").text
    answer = client.post(f"/alias-requests/{number}/decline", data={"reason": "log it as <b>skops</b>"})
    page = client.get(answer.headers["location"]).text
    assert f"Request {number} is declined" in page
    assert "log it as &lt;b&gt;skops&lt;/b&gt;" in page
    assert state(world, number) == "declined"
    assert client.post(f"/alias-requests/{number}/decline").status_code == 409


def test_requests_that_are_not_there(client: TestClient) -> None:
    for path in ("/alias-requests/77/approve", "/alias-requests/77/decline"):
        assert client.post(path).status_code == 404
    assert client.post("/alias-requests/x/approve").status_code == 400
    assert "banner-good" not in client.get("/alias-requests?decided=77").text


def test_a_model_that_nobody_deployed_names_only_commands_that_work(client: TestClient) -> None:
    page = client.get(f"/models/{NAME}").text
    assert f"holdfast models show {NAME}" in page
    for wrong in (
        f"holdfast status {NAME}",
        "holdfast train",
        "holdfast up",
        "whose gates pass",
        "Train now",
    ):
        assert wrong not in page, wrong


def test_a_quarantined_version_is_not_offered_as_ready(client: TestClient, world: World) -> None:
    client.post(f"/alias-requests/{ask(world, 1)}/approve")
    run_id = world.services.versions.get(logged.KIM, NAME, 1).run_id
    version = logged.register_outside(world, NAME, run_id, "skops")
    world.services.loop.deploy(logged.KIM, DeployRequest(NAME, version))
    world.services.loop.rollback(logged.KIM, RollbackRequest(NAME))
    number = ask(world, version)
    page = client.get("/alias-requests").text
    assert f"holdfast deploy {NAME} --version {version} --lift-quarantine" in page
    assert f"/alias-requests/{number}/approve" not in page
    assert "ready to be served" not in page
    assert "can be deployed" not in client.get(f"/models/{NAME}").text.partition("From outside")[0]
    assert client.post(f"/alias-requests/{number}/approve").status_code == 409


def test_a_failed_run_offers_training_only_where_holdfast_trained_it(
    client: TestClient, world: World
) -> None:
    runs = world.composed.tracking
    for place, (experiment, tags) in enumerate(
        [("somebody-elses", None), ("bikes", {"because": "ada asked for it"})]
    ):
        run_id = f"{place + 1:032x}"
        begin = partial(runs.start_run, context=logged.KIM, run_id=run_id, experiment=experiment, tags=tags)
        world.ledger.write(lambda tx, begin=begin: begin(tx, at=world.clock.now()))
        end = partial(runs.fail_run, context=logged.KIM, run_id=run_id, error="no such column")
        world.ledger.write(lambda tx, end=end: end(tx, at=world.clock.now()))
    spec = LoopSpec(ModelSpec("bikes", TableSpec("rides", None, "at"), "regression"), RolloutPolicy("direct"))
    code = bundle.encode(bundle.SourceBundle("bikes.py", {"bikes.py": b"x = 1\n"}))
    world.services.loop.declare(logged.KIM, DeclareRequest("bikes", spec, code, False))
    pages = [client.get(f"/runs/{place:032x}").text for place in (1, 2)]
    assert all("This run failed" in page and "no such column" in page for page in pages)
    assert "holdfast --debug train" not in pages[0]
    assert "holdfast --debug train bikes.py" in pages[1]


def test_trace_names_the_data_and_the_code_that_the_client_logged(client: TestClient, world: World) -> None:
    client.post(f"/alias-requests/{ask(world, 1)}/approve")
    found = world.composed.trace.trace(logged.KIM, TraceRequest(NAME))
    said = dict(trace_fields(found))
    assert said["data"] == "imagenet (digest a1b2c3d4), logged by the client for training"
    assert said["code"] == "train.py, git 9f31c07be2a8, named by the client"
