"""Rollout policies: how a new version reaches production."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from holdfast.base.clock import DAY_US
from holdfast.base.errors import DeclarationError
from holdfast.rollout.records import RolloutPolicy
from holdfast.sdk import checks


def direct() -> RolloutPolicy:
    """A version whose gates pass goes live at once."""
    return RolloutPolicy("direct")


def shadow_then_switch(
    *,
    days: float = 7,
    margin: float = 0.05,
    min_rows: int = 100,
    metric: str | None = None,
    give_up: str | timedelta = "60d",
) -> RolloutPolicy:
    """The candidate answers every request unseen for `days`, then takes over if it is no worse, row by row.

    The right choice where traffic is thin: each row is compared with the champion's answer to the same row.

    Args:
        days: how long the candidate shadows at least.
        margin: the relative loss that still counts as no worse.
        min_rows: labelled rows without which nothing is decided.
        metric: the metric that decides; the task's default (`mae`, `log_loss`) when None.
        give_up: a shadow still inconclusive after this long ends.
    """
    if not days > 0:
        raise DeclarationError(f"days: {days!r} is not more than 0")
    return RolloutPolicy(
        "shadow_then_switch",
        shadow_us=int(days * DAY_US),
        metric=metric,
        margin=_margin(margin),
        min_rows=min_rows,
        give_up_us=checks.span(give_up, "give_up"),
    )


def canary(
    *,
    steps: Sequence[int] = (5, 25, 100),
    hold: str | timedelta = "30m",
    margin: float = 0.05,
    min_rows: int = 100,
    metric: str | None = None,
    error_margin: float = 0.01,
    give_up: str | timedelta = "60d",
) -> RolloutPolicy:
    """The candidate takes a growing share of the traffic, beside the champion, step by step.

    Args:
        steps: percentages of the traffic, growing, the last one 100.
        hold: how long each step lasts at least.
        margin: the relative loss that still counts as no worse.
        min_rows: labelled rows a variant without which no step is taken.
        metric: the metric that decides; the task's default when None.
        error_margin: how many more errors (as a share of requests) are tolerated.
        give_up: a canary still inconclusive after this long goes back to the champion.
    """
    shares = tuple(steps)
    growing = all(isinstance(share, int) and 0 < share <= 100 for share in shares) and list(shares) == sorted(
        set(shares)
    )
    if not shares or not growing or shares[-1] != 100:
        raise DeclarationError(
            f"steps: {list(steps)!r} is not a rollout",
            hint="write growing percentages that end with 100: [5, 25, 100]",
        )
    return RolloutPolicy(
        "canary",
        steps=shares,
        hold_us=checks.span(hold, "hold"),
        metric=metric,
        margin=_margin(margin),
        min_rows=min_rows,
        error_margin=error_margin,
        give_up_us=checks.span(give_up, "give_up"),
    )


def _margin(margin: float) -> float:
    if not 0 <= margin < 1:
        raise DeclarationError(f"margin: {margin!r} is not a share between 0 and 1")
    return float(margin)
