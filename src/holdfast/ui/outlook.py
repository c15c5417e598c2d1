"""What each model waits for: one clause that says what happens next, and when."""

from __future__ import annotations

from holdfast.base.clock import Micros
from holdfast.loop.overview import ModelStatus
from holdfast.loop.records import LoopSpec
from holdfast.rollout.records import Rollout
from holdfast.ui.kit.format import duration, relative_time
from holdfast.ui.words import joined


def what_next(status: ModelStatus, spec: LoopSpec | None, trained_at: Micros | None, now: Micros) -> str:
    """What the loop does with a model next; `trained_at` is when its last training was asked for."""
    if status.frozen:
        return f"waits for a person: holdfast resume {status.name}"
    if status.rollout is not None:
        return rollout_next(status.rollout, now)
    if status.job is not None:
        return f"training is {status.job.state} (job {status.job.number})"
    if status.champion is None:
        return "the first version whose gates pass goes live" if status.active else "waits for a deployment"
    if spec is None or not status.active:
        return "watched only: the loop is not in charge (holdfast up)"
    return _retraining(spec, trained_at, now)


def rollout_next(rollout: Rollout, now: Micros) -> str:
    """What an open rollout waits for."""
    policy = rollout.policy
    hold_us = policy.shadow_us if rollout.state == "shadow" else policy.hold_us
    left_us = rollout.stage_started_at + hold_us - now
    if left_us > 0:
        then = "a decision" if rollout.state == "shadow" else _next_step(rollout)
        return f"{then} in {duration(left_us)} at the earliest"
    return f"waits: {rollout.verdict.reason}" if rollout.verdict else "a decision at the next look"


def _next_step(rollout: Rollout) -> str:
    steps = rollout.policy.steps
    return f"{steps[rollout.step + 1]}% of traffic" if rollout.step + 1 < len(steps) else "a decision"


def _retraining(spec: LoopSpec, trained_at: Micros | None, now: Micros) -> str:
    policy = spec.retrain
    triggers = f"on {joined(policy.on)}" if policy.on else ""
    if policy.every_us is None:
        return f"retrains {triggers}" if triggers else "never retrains by itself"
    due = (trained_at or now) + policy.every_us
    when = f"retrains {relative_time(due, now)}" if due > now else "retrains when enough new labels are there"
    return f"{when}, or {triggers}" if triggers else when
