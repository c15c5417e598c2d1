"""When the loop trains again: a pure rule over time, alerts and labels."""

from __future__ import annotations

import pytest

from holdfast.base.clock import DAY_US
from holdfast.loop.policy import RetrainState, decide_retraining
from holdfast.loop.records import RetrainPolicy
from holdfast.monitoring.records import Alert

POLICY = RetrainPolicy(
    every_us=30 * DAY_US, on=("drift", "performance"), cooldown_us=14 * DAY_US, min_new_labels=100
)


def alert(kind: str) -> Alert:
    return Alert(9, "bikes", "production", 1, kind, "open", 0, f"{kind} was seen", 1, 0)


def state(days: float, *alerts: str, labels: int = 500, busy: str | None = None) -> RetrainState:
    return RetrainState(int(days * DAY_US), 0, labels, tuple(alert(kind) for kind in alerts), busy)


@pytest.mark.parametrize(
    ("state", "rule"),
    [
        (state(29), None),
        (state(30), "every 30d"),
        (state(30, labels=99), None),
        (state(30, busy="a rollout"), None),
        (state(13, "performance"), None),
        (state(14, "performance"), "on performance"),
        (state(14, "input drift"), "on drift"),
        (state(14, "prediction drift"), "on drift"),
        (state(14, "data quality"), None),
        (state(14, "performance", labels=0), None),
    ],
)
def test_the_rule(state, rule):
    decided = decide_retraining(POLICY, state)
    assert (decided.rule if decided else None) == rule


def test_a_reason_names_its_alerts():
    decided = decide_retraining(POLICY, state(20, "input drift"))
    assert decided is not None
    assert (decided.reason, decided.alerts) == ("input drift was seen", (9,))


def test_without_a_policy_nothing_is_trained():
    assert decide_retraining(RetrainPolicy(), state(999, "performance")) is None
