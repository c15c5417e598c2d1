"""Rollout service: one open rollout a model, its stages, its history, its traces in audit and events."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.base import audit, events, lineage
from holdfast.base.clock import SimulatedClock
from holdfast.base.context import Actor, Context
from holdfast.base.ledger import IntegrityError, Ledger
from holdfast.rollout import store
from holdfast.rollout.errors import NoRolloutError, RolloutOpenError, RolloutStateError
from holdfast.rollout.records import Rollout, RolloutPolicy, Verdict
from holdfast.rollout.service import GetRolloutRequest, ListRolloutsRequest, RolloutService
from tests.postgresql import LedgerFactory

CONTEXT = Context(Actor("ada"))
CANARY = RolloutPolicy("canary", steps=(5, 25, 100), hold_us=10)
HOLD = Verdict("hold", "not enough labels")


@pytest.fixture
def ledger(ledger_factory: LedgerFactory) -> Ledger:
    migrations = (*events.MIGRATIONS, *audit.MIGRATIONS, *lineage.MIGRATIONS, *store.MIGRATIONS)
    return ledger_factory(migrations)


@pytest.fixture
def service(ledger: Ledger) -> RolloutService:
    return RolloutService(ledger, SimulatedClock(1000))


def start(ledger: Ledger, service: RolloutService, context: Context = CONTEXT, **changes: Any) -> Rollout:
    fields: dict[str, Any] = {
        "model": "bikes",
        "environment": "production",
        "candidate": 2,
        "champion": 1,
        "policy": CANARY,
        "at": 100,
    }
    return ledger.write(lambda tx: service.start(tx, context, **{**fields, **changes}))


def test_a_canary_runs_through_its_steps(ledger: Ledger, service: RolloutService) -> None:
    rollout = start(ledger, service)
    assert (rollout.state, rollout.step, rollout.stages) == ("canary", 0, (100,))
    ledger.write(lambda tx: service.record_verdict(tx, CONTEXT, rollout.number, HOLD, 110))
    moved = ledger.write(
        lambda tx: service.advance(tx, CONTEXT, rollout.number, Verdict("advance", "fine"), 120)
    )
    assert (moved.step, moved.stage_started_at, moved.stages) == (1, 120, (100, 120))
    done = Verdict("promote", "no worse")
    ended = ledger.write(lambda tx: service.finish(tx, CONTEXT, rollout.number, "promoted", done, 130))
    history = service.get_rollout(CONTEXT, GetRolloutRequest(rollout.number))
    assert history.rollout == ended
    assert [(each.decided_at, each.verdict.action) for each in history.verdicts] == [
        (110, "hold"),
        (120, "advance"),
        (130, "promote"),
    ]


@pytest.mark.parametrize(
    ("strategy", "champion", "state"),
    [("shadow_then_switch", 1, "shadow"), ("shadow_then_switch", None, "canary"), ("direct", 1, "canary")],
)
def test_the_first_stage_follows_the_strategy(
    ledger: Ledger, service: RolloutService, strategy: Any, champion: int | None, state: str
) -> None:
    rollout = start(ledger, service, champion=champion, policy=RolloutPolicy(strategy, shadow_us=5))
    assert rollout.state == state


def test_a_second_rollout_must_wait(ledger: Ledger, service: RolloutService) -> None:
    rollout = start(ledger, service)
    with pytest.raises(RolloutOpenError, match="version 2 of bikes is already being rolled out"):
        start(ledger, service, candidate=3)
    start(ledger, service, candidate=3, environment="staging")
    start(ledger, service, candidate=3, model="fraud")
    start(ledger, service, Context(Actor("ada"), "other"))
    aborted = Verdict("give up", "by hand")
    ledger.write(lambda tx: service.finish(tx, CONTEXT, rollout.number, "aborted", aborted, 130))
    assert start(ledger, service, candidate=3, at=140).candidate == 3


def test_the_database_itself_refuses_a_second_open_rollout(ledger: Ledger, service: RolloutService) -> None:
    rollout = start(ledger, service)
    with pytest.raises(IntegrityError):
        ledger.write(lambda tx: store.insert_rollout(tx, CONTEXT.project, rollout))


def test_an_ended_rollout_does_not_move(ledger: Ledger, service: RolloutService) -> None:
    number = start(ledger, service).number
    ledger.write(lambda tx: service.finish(tx, CONTEXT, number, "rolled back", HOLD, 130))
    for change in (
        lambda tx: service.advance(tx, CONTEXT, number, HOLD, 140),
        lambda tx: service.record_verdict(tx, CONTEXT, number, HOLD, 140),
        lambda tx: service.finish(tx, CONTEXT, number, "promoted", HOLD, 140),
    ):
        with pytest.raises(RolloutStateError, match="has ended"):
            ledger.write(change)


def test_the_last_step_cannot_be_passed(ledger: Ledger, service: RolloutService) -> None:
    number = start(ledger, service, policy=RolloutPolicy("canary", steps=(50,))).number
    with pytest.raises(RolloutStateError, match="no canary step left"):
        ledger.write(lambda tx: service.advance(tx, CONTEXT, number, HOLD, 140))


def test_projects_do_not_see_each_other(ledger: Ledger, service: RolloutService) -> None:
    number = start(ledger, service).number
    stranger = Context(Actor("bob"), "other")
    assert service.list_rollouts(stranger, ListRolloutsRequest()) == []
    with pytest.raises(NoRolloutError):
        service.get_rollout(stranger, GetRolloutRequest(number))


def test_lists_page_from_the_newest(ledger: Ledger, service: RolloutService) -> None:
    numbers = [start(ledger, service, model=name).number for name in ("a", "b", "c")]
    first = service.list_rollouts(CONTEXT, ListRolloutsRequest(limit=2))
    assert [each.number for each in first] == numbers[:0:-1]
    rest = service.list_rollouts(CONTEXT, ListRolloutsRequest(before=first[-1].number))
    assert [each.number for each in rest] == numbers[:1]
    assert [each.model for each in service.list_rollouts(CONTEXT, ListRolloutsRequest(model="b"))] == ["b"]


def test_every_change_is_audited_announced_and_in_the_lineage(
    ledger: Ledger, service: RolloutService
) -> None:
    rollout = start(ledger, service)
    ledger.write(lambda tx: service.finish(tx, CONTEXT, rollout.number, "rolled back", HOLD, 130))
    with ledger.read() as reader:
        entries = audit.entries(reader, CONTEXT, rollout.urn)
        edges = lineage.graph(reader, CONTEXT, rollout.urn).upstream
        kinds = [row["kind"] for row in reader.query("SELECT kind FROM event ORDER BY number")]
    assert [entry.action for entry in entries] == ["rollout.ended", "rollout.started"]
    assert [edge.source for edge in edges] == ["registry/bikes@2"]
    assert kinds == ["rollout.started", "rollout.ended"]


def test_without_a_time_the_clock_tells_it(ledger: Ledger, service: RolloutService) -> None:
    assert start(ledger, service, at=None).started_at == 1000
