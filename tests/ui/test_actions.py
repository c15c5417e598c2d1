"""The forms: each does what the command of the same name does, tells of it, and refuses in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from holdfast.base import audit
from holdfast.loop.records import ListDecisionsRequest
from holdfast.registry.records import GetVersionRequest
from tests.ui.conftest import Story, client_of
from tests.ui.story import BIKES, FRAUD
from tests.ui.world import ENVIRONMENT, LOOP, World

FRAUD_PAGE = f"/deployments/{ENVIRONMENT}/{FRAUD.name}"
BIKES_PAGE = f"/deployments/{ENVIRONMENT}/{BIKES.name}"


@pytest.fixture
def world(story: Story, tmp_path: Path) -> Iterator[World]:
    """A world of its own for each test, because these tests go on with the story."""
    copied = story.copy(tmp_path / "home")
    yield copied
    copied.ledger.close()


@pytest.fixture
def client(world: World) -> TestClient:
    return client_of(world)


def champion(world: World, name: str) -> int | None:
    with world.ledger.read() as reader:
        return world.services.deployments.require(reader, LOOP, ENVIRONMENT, name).revision.champion


def follow(client: TestClient, path: str, fields: dict[str, str] | None = None) -> str:
    answer = client.post(path, data=fields or {})
    assert answer.status_code == 303, answer.text
    return client.get(answer.headers["location"]).text


def test_rollback_switches_and_the_page_tells_of_it(client: TestClient, world: World) -> None:
    page = follow(client, f"{FRAUD_PAGE}/rollback", {"to": "1", "reason": "too many false alarms"})
    assert champion(world, FRAUD.name) == 1
    assert "Version 2 rolled back" in page
    assert "Too many false alarms" in page
    assert "Traffic now: version 1 100%." in page


def test_a_flash_cannot_be_forged(client: TestClient, world: World) -> None:
    other = world.services.loop.list_decisions(LOOP, ListDecisionsRequest(BIKES.name))[0]
    for forged in (other.number, 99_999, "all+models+deleted"):
        page = client.get(f"{FRAUD_PAGE}?decision={forged}").text
        assert "banner-good" not in page
        assert "all models deleted" not in page


def test_a_rollback_to_a_version_that_is_not_warm_is_refused_in_a_sentence(
    client: TestClient, world: World
) -> None:
    answer = client.post(
        f"{FRAUD_PAGE}/rollback", data={"to": "4"}, headers={"referer": f"http://127.0.0.1:9{FRAUD_PAGE}"}
    )
    assert answer.status_code == 409
    assert "Version 4 of card-fraud is not warm (warm: 1)" in answer.text
    assert f'href="{FRAUD_PAGE}"' in answer.text, "a way back to where the form was"
    assert champion(world, FRAUD.name) == 2
    assert client.post(f"{FRAUD_PAGE}/rollback", data={"to": "nonsense"}).status_code == 400


def test_resume_lifts_the_freeze(client: TestClient) -> None:
    assert "Automatic promotion is frozen" in client.get(FRAUD_PAGE).text
    page = follow(client, f"{FRAUD_PAGE}/resume")
    assert "Automatic promotion resumed" in page
    assert "Automatic promotion is frozen" not in page
    assert client.post(f"{FRAUD_PAGE}/resume").status_code == 400, "it is not frozen any more"


def test_promote_and_abort_end_the_rollout(client: TestClient, world: World) -> None:
    page = follow(client, f"{BIKES_PAGE}/promote")
    assert champion(world, BIKES.name) == 2
    assert "Version 2 promoted" in page
    answer = client.post(f"{BIKES_PAGE}/abort")
    assert answer.status_code == 404
    assert "bike-demand has no open rollout" in answer.text.lower()


def test_abort_keeps_the_champion(client: TestClient, world: World) -> None:
    page = follow(client, f"{BIKES_PAGE}/abort")
    assert champion(world, BIKES.name) == 1
    assert "Rollout of version 2 ended without promotion" in page


def test_train_now_queues_a_job_and_a_second_one_is_refused(client: TestClient) -> None:
    page = follow(client, f"/models/{FRAUD.name}/train")
    assert "queued" in page
    assert "Training waits for its turn" in page
    answer = client.post(f"/models/{FRAUD.name}/train")
    assert answer.status_code == 409
    assert "already has a train job under way" in answer.text


def test_approval_in_spite_of_a_failed_gate_needs_a_reason_and_is_audited(
    client: TestClient, world: World
) -> None:
    path = f"/models/{FRAUD.name}/versions/3"
    assert client.post(f"{path}/approve").status_code == 409
    assert client.post(f"{path}/approve", data={"force": "yes", "reason": " "}).status_code == 409
    page = follow(client, f"{path}/approve", {"force": "yes", "reason": "needed for the audit replay"})
    assert "Version 3 is approved" in page
    version = world.services.registry.get_version(LOOP, GetVersionRequest(FRAUD.name, "3"))
    assert version.stage == "approved"
    with world.ledger.read() as reader:
        actions = [entry.action for entry in audit.entries(reader, LOOP, version.urn)]
    assert "registry.force_approval" in actions


def test_a_form_of_another_environment_changes_nothing(client: TestClient, world: World) -> None:
    answer = client.post(f"/deployments/staging/{FRAUD.name}/rollback", data={"to": "1"})
    assert answer.status_code == 409
    assert champion(world, FRAUD.name) == 2


def test_forms_do_not_answer_to_get_and_bound_their_bodies(client: TestClient) -> None:
    assert client.get(f"{FRAUD_PAGE}/rollback").status_code == 404
    assert client.post(f"{FRAUD_PAGE}/rollback", content=b"a" * 70_000).status_code == 400
    assert client.post(f"{FRAUD_PAGE}/rollback", content=b"\xff\xfe=1").status_code == 400
