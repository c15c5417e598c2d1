"""What people and the loop do to a model, and the trail it leaves."""

from __future__ import annotations

import pytest

from holdfast.base import audit
from holdfast.base.clock import DAY_US
from holdfast.base.context import Actor
from holdfast.base.errors import ConflictError, InvalidError, NotFoundError
from holdfast.base.jobs import GetJobRequest
from holdfast.loop.errors import NotDeployableError
from holdfast.loop.overview import StatusRequest
from holdfast.loop.records import (
    AbortRequest,
    DeployRequest,
    ListDecisionsRequest,
    PromoteRequest,
    ResumeRequest,
    RetrainPolicy,
    RollbackRequest,
    TrainRequest,
)
from holdfast.registry.records import GetModelRequest
from holdfast.rollout.records import RolloutPolicy
from holdfast.serving.deployment_file import local_rollback, read_deployment_file
from holdfast.serving.errors import NothingToRollBackToError, QuarantinedError
from tests.loop.world import ADA, FAILED, World


def live(world: World, versions: int = 1) -> None:
    """Declares the model and puts versions into production one after another."""
    world.declare(rollout=RolloutPolicy("direct"))
    for _ in range(versions):
        world.register()
        world.tick()


def test_the_first_version_that_passes_goes_live_by_the_loop(world):
    world.declare()
    world.register()
    assert world.tick() == 1
    assert world.traffic() == {1: ("champion", 100)}
    assert world.stage(1) == "live"
    decision = world.services.loop.list_decisions(ADA, ListDecisionsRequest("bikes"))[0]
    assert (decision.kind, decision.actor_kind, decision.rule) == ("deploy", "loop", "first version")
    assert decision.evidence["metrics"] == {"mae": 20.0}


def test_a_challenger_becomes_a_candidate_and_never_the_champion_at_once(world):
    world.declare(rollout=RolloutPolicy("direct"), active=False)
    for _ in range(2):
        world.register()
    with pytest.raises(NotDeployableError, match="no champion to challenge"):
        world.services.loop.deploy(ADA, DeployRequest("bikes", 1, challenger=True))
    world.services.loop.deploy(ADA, DeployRequest("bikes", 1))
    with pytest.raises(InvalidError, match="cannot take all traffic at once"):
        world.services.loop.deploy(ADA, DeployRequest("bikes", 2, challenger=True, direct=True))
    decision = world.services.loop.deploy(ADA, DeployRequest("bikes", 2, challenger=True))
    assert decision.kind == "start rollout"
    world.tick(days=3)
    assert world.traffic() == {1: ("champion", 100), 2: ("shadow", 0)}
    assert world.services.registry.get_model(ADA, GetModelRequest("bikes")).aliases == {
        "champion": 1,
        "challenger": 2,
    }


def test_a_declared_canary_holds_for_a_challenger_and_for_a_plain_deployment(world):
    canary = RolloutPolicy("canary", steps=(10, 50), hold_us=1)
    for challenger in (True, False):
        world.declare(rollout=canary, active=False)
        first, second = world.register(), world.register()
        world.services.loop.deploy(ADA, DeployRequest("bikes", first.version, direct=True))
        world.services.loop.deploy(ADA, DeployRequest("bikes", second.version, challenger=challenger))
        assert world.traffic() == {first.version: ("champion", 90), second.version: ("candidate", 10)}
        world.services.loop.abort(ADA, AbortRequest("bikes"))


def test_a_declared_model_that_is_not_active_waits_for_a_person(world):
    world.declare(active=False)
    world.register()
    assert world.tick(days=40) == 0
    world.services.loop.deploy(ADA, DeployRequest("bikes"))
    assert world.traffic() == {1: ("champion", 100)}


def test_declaring_again_does_not_take_the_loop_out_of_charge(world):
    world.declare(active=True)
    world.declare(active=False)
    assert world.services.loop.declaration(ADA, "bikes").active


def test_a_version_whose_gates_failed_is_rejected_once_and_never_served(world):
    live(world)
    world.register(FAILED)
    assert world.tick() == 1
    assert world.tick() == 0
    assert world.kinds()[-1] == "reject"
    assert world.traffic() == {1: ("champion", 100)}
    with pytest.raises(
        NotDeployableError, match=r"version 2 of bikes is rejected.*holdfast approve bikes --version 2"
    ):
        world.services.loop.deploy(ADA, DeployRequest("bikes"))


def test_a_candidate_shadows_the_champion_until_a_person_promotes_it(world):
    world.declare()
    world.register()
    world.tick()
    world.register()
    assert world.tick() == 1
    assert world.traffic() == {1: ("champion", 100), 2: ("shadow", 0)}
    assert world.stage(2) == "staged"
    world.services.loop.promote(ADA, PromoteRequest("bikes", "I looked at it"))
    assert world.traffic() == {2: ("champion", 100)}
    assert (world.stage(1), world.stage(2)) == ("retired", "live")
    assert world.services.registry.get_model(ADA, name_request("bikes")).aliases == {"champion": 2}


def test_aborting_keeps_the_champion(world):
    world.declare()
    for _ in range(2):
        world.register()
        world.tick()
    world.services.loop.abort(ADA, AbortRequest("bikes"))
    assert world.traffic() == {1: ("champion", 100)}
    assert world.stage(2) == "retired"
    with pytest.raises(NotFoundError, match="no open rollout"):
        world.services.loop.abort(ADA, AbortRequest("bikes"))


def test_a_shadow_without_labels_gives_up_in_the_end(world):
    world.declare(rollout=RolloutPolicy("shadow_then_switch", shadow_us=DAY_US, give_up_us=5 * DAY_US))
    for _ in range(2):
        world.register()
        world.tick()
    for _ in range(8):
        world.tick(days=1)
    assert world.kinds()[-1] == "give up"
    assert world.traffic() == {1: ("champion", 100)}


def test_a_rollback_swaps_quarantines_and_freezes(world):
    live(world, versions=3)
    result = world.services.loop.rollback(ADA, RollbackRequest("bikes", reason="it hurts"))
    assert (result.from_version, result.to_version) == (3, 2)
    assert world.traffic() == {2: ("champion", 100)}
    assert world.stage(3) == "quarantined"
    assert (result.decision.reason, result.decision.actor) == ("it hurts", "ada")
    model = world.services.overview.status(ADA, StatusRequest("bikes")).models[0]
    assert (model.health, model.champion, model.warm) == ("frozen", 2, (1,))


def test_after_a_rollback_the_loop_promotes_nothing_until_someone_resumes(world):
    live(world, versions=2)
    world.services.loop.rollback(ADA, RollbackRequest("bikes"))
    world.register()
    assert world.tick() == 0
    world.services.loop.resume(ADA, ResumeRequest("bikes"))
    assert world.tick() == 1
    assert world.traffic() == {3: ("champion", 100)}
    with pytest.raises(InvalidError, match="is not frozen"):
        world.services.loop.resume(ADA, ResumeRequest("bikes"))


def test_a_quarantined_version_comes_back_only_by_name(world):
    live(world, versions=2)
    world.services.loop.rollback(ADA, RollbackRequest("bikes"))
    with pytest.raises(QuarantinedError, match="--lift-quarantine"):
        world.services.loop.deploy(ADA, DeployRequest("bikes", version=2))
    world.services.loop.deploy(ADA, DeployRequest("bikes", version=2, lift_quarantine=True))
    assert world.traffic() == {2: ("champion", 100)}


def test_there_must_be_something_to_roll_back_to(world):
    live(world)
    with pytest.raises(NothingToRollBackToError, match="no earlier version of bikes is warm"):
        world.services.loop.rollback(ADA, RollbackRequest("bikes"))
    with pytest.raises(NotFoundError, match="bikes has no version 7; its latest version is 1"):
        world.services.loop.rollback(ADA, RollbackRequest("bikes", to=7))
    with pytest.raises(NothingToRollBackToError, match="version 1 of bikes serves already in production"):
        world.services.loop.rollback(ADA, RollbackRequest("bikes", to=1))


def test_a_rollback_of_another_environment_touches_nothing(world):
    live(world, versions=2)
    with pytest.raises(NotFoundError, match="nothing named 'bikes' is deployed in staging"):
        world.services.loop.rollback(ADA, RollbackRequest("bikes", environment="staging"))
    assert world.traffic() == {2: ("champion", 100)}


def test_the_status_tells_of_a_local_rollback_before_the_server_has_adopted_it(world):
    live(world, versions=2)
    local_rollback(world.home, "default", "production", "bikes", Actor("bob"), world.clock.now())
    model = world.services.overview.status(ADA, StatusRequest("bikes")).models[0]
    assert (model.health, model.champion, model.frozen) == ("frozen", 1, True)
    assert model.message.startswith("bob rolled back without the server")
    assert [(item.version, item.share) for item in model.variants] == [(1, 100)]


def test_a_rollback_during_a_rollout_ends_the_rollout(world):
    live(world, versions=2)
    world.declare()
    world.register()
    world.tick()
    assert world.traffic() == {2: ("champion", 100), 3: ("shadow", 0)}
    assert world.services.loop.rollback(ADA, RollbackRequest("bikes")).ended_candidate == 3
    assert world.traffic() == {1: ("champion", 100)}
    assert (world.stage(2), world.stage(3)) == ("quarantined", "retired")


def test_a_rollback_made_while_the_server_was_down_is_adopted(world):
    live(world, versions=3)
    local_rollback(world.home, "default", "production", "bikes", Actor("bob"), world.clock.now())
    assert world.services.loop.adopt_local_changes(ADA) == 1
    assert world.services.loop.adopt_local_changes(ADA) == 0
    decision = world.services.loop.list_decisions(ADA, ListDecisionsRequest("bikes"))[0]
    assert (decision.kind, decision.actor) == ("roll back", "bob")
    assert "while the server was down" in decision.reason
    assert world.stage(3) == "quarantined"
    world.services.deployments.publish(ADA, "production", "bikes")
    file = read_deployment_file(world.home, "default", "production", "bikes")
    assert (file.origin, world.traffic(), file.quarantined) == ("server", {2: ("champion", 100)}, (3,))


def test_the_file_never_goes_back_behind_a_local_rollback(world):
    live(world, versions=2)
    local_rollback(world.home, "default", "production", "bikes", Actor("bob"), world.clock.now())
    world.services.deployments.publish(ADA, "production", "bikes")
    assert world.traffic() == {1: ("champion", 100)}


def test_what_serves_already_or_does_not_exist_cannot_be_deployed(world):
    live(world)
    with pytest.raises(NotDeployableError, match="is live already"):
        world.services.loop.deploy(ADA, DeployRequest("bikes"))
    with pytest.raises(NotFoundError, match="has no version 9"):
        world.services.loop.deploy(ADA, DeployRequest("bikes", version=9))
    with pytest.raises(NotFoundError, match="there is no model 'cars'; declared here: bikes"):
        world.services.loop.deploy(ADA, DeployRequest("cars"))


def test_a_second_rollout_waits_for_the_first(world):
    world.declare()
    for _ in range(3):
        world.register()
        world.tick()
    assert world.traffic() == {1: ("champion", 100), 2: ("shadow", 0)}
    with pytest.raises(ConflictError, match="already being rolled out"):
        world.services.loop.deploy(ADA, DeployRequest("bikes", version=3))


def test_the_schedule_asks_for_one_training_at_a_time(world):
    live(world)
    world.declare(retrain=RetrainPolicy(every_us=30 * DAY_US, min_new_labels=0))
    assert world.tick(days=30) == 1
    assert world.tick(days=30) == 0
    job = world.services.jobs.open_jobs(ADA)[0]
    assert (job.kind, job.exclusive, job.actor.kind) == ("train", "bikes", "loop")
    with pytest.raises(ConflictError, match="already has a train job"):
        world.services.loop.train(ADA, TrainRequest("bikes"))


def test_a_training_that_a_person_asks_for_is_a_decision_too(world):
    world.declare()
    job = world.services.loop.train(ADA, TrainRequest("bikes", "new data"))
    assert world.services.jobs.get(ADA, GetJobRequest(job.number)).state == "queued"
    decision = world.services.loop.list_decisions(ADA, ListDecisionsRequest("bikes"))[0]
    assert (decision.kind, decision.reason, decision.subject) == (
        "retrain",
        "new data",
        f"tracking/run/{job.spec['run_id']}",
    )


def test_every_governed_change_is_in_an_intact_audit_trail(world):
    live(world, versions=2)
    world.services.loop.rollback(ADA, RollbackRequest("bikes"))
    with world.ledger.read() as reader:
        assert audit.verify(reader).intact
        actions = {entry.action for entry in audit.entries(reader, ADA)}
    assert {"declare", "deploy", "promote", "roll back", "registry.transition"} <= actions


def name_request(name: str):
    from holdfast.registry.records import GetModelRequest

    return GetModelRequest(name)
