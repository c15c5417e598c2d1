"""The loop's own rules, as pure functions: when to train again, and what to do with a version just trained."""

from __future__ import annotations

import msgspec

from holdfast.base.clock import Micros, format_duration
from holdfast.loop.records import RetrainPolicy
from holdfast.monitoring.records import Alert, CheckKind

_KINDS: dict[str, tuple[CheckKind, ...]] = {
    "drift": ("input drift", "prediction drift"),
    "performance": ("performance",),
}


class RetrainState(msgspec.Struct, frozen=True):
    """What the retraining rule looks at. `busy` says why nothing may start, if so (a rollout, a job, a freeze)."""

    now_at: Micros
    last_trained_at: Micros
    new_labels: int
    open_alerts: tuple[Alert, ...] = ()
    busy: str | None = None


class RetrainReason(msgspec.Struct, frozen=True):
    """Why to train again: the rule that fired, a sentence, and the alerts behind it."""

    rule: str
    reason: str
    alerts: tuple[int, ...] = ()


def wants_retraining(policy: RetrainPolicy, state: RetrainState) -> RetrainReason | None:
    """The trigger that holds, before it is asked whether there are enough new labels; None when there is none.

    A schedule counts from the last training. Alerts count once the cooldown since the last training has passed.
    """
    if state.busy is not None:
        return None
    elapsed = state.now_at - state.last_trained_at
    if policy.every_us is not None and elapsed >= policy.every_us:
        span = format_duration(policy.every_us)
        return RetrainReason(f"every {span}", f"{span} have passed since the last training")
    if elapsed < policy.cooldown_us:
        return None
    for trigger in policy.on:
        alerts = [alert for alert in state.open_alerts if alert.kind in _KINDS[trigger]]
        if alerts:
            numbers = tuple(alert.number for alert in alerts)
            return RetrainReason(f"on {trigger}", alerts[0].message, numbers)
    return None


def decide_retraining(policy: RetrainPolicy, state: RetrainState) -> RetrainReason | None:
    """The reason to train again now, or None.

    Example:
        >>> policy = RetrainPolicy(every_us=10, min_new_labels=5)
        >>> decide_retraining(policy, RetrainState(now_at=10, last_trained_at=0, new_labels=9)).rule
        'every 1e-05s'
        >>> decide_retraining(policy, RetrainState(now_at=10, last_trained_at=0, new_labels=4)) is None
        True
    """
    wanted = wants_retraining(policy, state)
    if wanted is None or state.new_labels < policy.min_new_labels:
        return None
    return wanted
