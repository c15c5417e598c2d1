"""When to train again, and what to watch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from holdfast.base.errors import DeclarationError
from holdfast.loop.records import RetrainPolicy
from holdfast.monitoring.records import MonitorPolicy
from holdfast.sdk import checks

_TRIGGERS = ("drift", "performance")


def retrain(
    *,
    every: str | timedelta | None = None,
    on: Sequence[str] = (),
    cooldown: str | timedelta = "7d",
    min_new_labels: int = 100,
) -> RetrainPolicy:
    """Trains again on a schedule, on alerts, or on both.

    Args:
        every: the schedule, e.g. `"30d"`.
        on: alerts that trigger a retraining: `drift`, `performance`.
        cooldown: no two triggered retrainings within this time.
        min_new_labels: no retraining without this many labels more than the last one had.
    """
    triggers = (on,) if isinstance(on, str) else tuple(on)
    for trigger in triggers:
        checks.one_of(trigger, _TRIGGERS, "on")
    if every is None and not triggers:
        raise DeclarationError("retrain: neither every nor on is given", hint='write retrain(every="30d")')
    return RetrainPolicy(
        every_us=checks.span(every, "every") if every is not None else None,
        on=triggers,  # type: ignore[arg-type]
        cooldown_us=checks.span(cooldown, "cooldown"),
        min_new_labels=min_new_labels,
    )


def monitor(
    *,
    window: str | timedelta = "7d",
    every: str | timedelta = "1d",
    min_rows: int = 100,
    min_labels: int = 100,
    alpha: float = 0.01,
    effect: float = 0.15,
    performance_effect: float = 0.15,
    metric: str | None = None,
) -> MonitorPolicy:
    """What a model is watched with; without it the same defaults apply.

    Args:
        window: how far back a check looks.
        every: how often it looks.
        min_rows: rows without which it says `insufficient data`.
        min_labels: labels without which performance says so.
        alpha: significance, after correction over the features.
        effect: the smallest distance (0 to 1) worth an alert.
        performance_effect: the smallest relative rise of the loss worth an alert.
        metric: the metric of performance; the task's default when None.
    """
    for argument, share in (("alpha", alpha), ("effect", effect)):
        if not 0 < share < 1:
            raise DeclarationError(f"{argument}: {share!r} is not between 0 and 1")
    return MonitorPolicy(
        window_us=checks.span(window, "window"),
        every_us=checks.span(every, "every"),
        min_rows=min_rows,
        min_labels=min_labels,
        alpha=alpha,
        effect=effect,
        performance_effect=performance_effect,
        metric=metric,
    )
