"""Verdicts on a rollout over time: the estimate with its interval, against the margin that still counts as no worse."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from holdfast.base.clock import Micros
from holdfast.rollout.records import Rollout, Verdict
from holdfast.rollout.service import TimedVerdict
from holdfast.ui.cells import prose
from holdfast.ui.evidence import relative, relative_interval
from holdfast.ui.kit import Column, Fact, Row, badge, charts, render_table
from holdfast.ui.kit.badges import Tone
from holdfast.ui.kit.format import absolute_time, duration, number, percent, time_tag
from holdfast.ui.words import sentence

_SHOWN = 12

_STATUS = {
    "hold": "pending",
    "advance": "canary",
    "promote": "promoted",
    "roll back": "rolled back",
    "give up": "gave up",
}
STATE_BADGES = {
    "shadow": "shadow",
    "canary": "canary",
    "promoted": "promoted",
    "rolled back": "rolled back",
    "aborted": "aborted",
}


def verdict_plot(rollout: Rollout, verdicts: Sequence[TimedVerdict]) -> Markup:
    """The latest verdicts that had an estimate, oldest first."""
    told = [item for item in verdicts if item.verdict.estimate is not None][-_SHOWN:]
    intervals = [
        charts.Interval(
            absolute_time(item.decided_at, seconds=False).removesuffix(" UTC")[5:],
            item.verdict.estimate,
            item.verdict.interval[0] if item.verdict.interval else None,
            item.verdict.interval[1] if item.verdict.interval else None,
            _tone(item.verdict, rollout.policy.margin),
        )
        for item in told
    ]
    margin = rollout.policy.margin
    return charts.interval_plot(
        intervals,
        title=f"Version {rollout.candidate} against version {rollout.champion}",
        unit="relative loss, interval that holds at every look",
        margin=charts.Threshold(margin, f"margin {relative(margin)}"),
        directions=("better", "worse"),
        value_format=relative,
        empty="No comparison yet: it begins when both versions have labelled rows.",
    )


def verdict_table(verdicts: Sequence[TimedVerdict], now: Micros) -> Markup:
    """Every verdict, newest first."""
    columns = (
        Column("at", "When", sortable=False, formatter=lambda at: time_tag(at, now)),
        Column("action", "Said", sortable=False),
        Column("estimate", "Loss", align="right", sortable=False, formatter=relative),
        Column("interval", "Interval", align="right", sortable=False),
        Column("rows", "Rows", align="right", sortable=False),
        Column("power", "Could be seen", align="right", sortable=False, formatter=percent),
        Column("reason", "Because", sortable=False),
    )
    rows = [
        Row(
            {
                "at": item.decided_at,
                "action": badge(_STATUS[item.verdict.action], item.verdict.action),
                "estimate": item.verdict.estimate,
                "interval": relative_interval(item.verdict.interval),
                "rows": item.verdict.rows,
                "power": item.verdict.minimum_detectable_effect,
                "reason": prose(sentence(item.verdict.reason)),
            },
            key=str(item.decided_at),
        )
        for item in reversed(verdicts)
    ]
    empty = Markup("<p>Nothing was said of it yet: the loop looks at every tick.</p>")
    return render_table(columns, rows, caption="Verdicts", empty=empty)


def rollout_facts(rollout: Rollout, now: Micros) -> tuple[Fact, ...]:
    """What a rollout is and by which policy it is judged."""
    policy = rollout.policy
    stages = {
        "direct": "at once",
        "canary": "canary of " + ", ".join(f"{step}%" for step in policy.steps),
        "shadow_then_switch": f"shadow for {duration(policy.shadow_us)}, then switch",
    }
    give_up = f"after {duration(policy.give_up_us)}" if policy.give_up_us is not None else "never"
    ended = (Fact("Ended", time_tag(rollout.ended_at, now)),) if rollout.ended_at is not None else ()
    held = (Fact("Each step held", duration(policy.hold_us)),) if policy.strategy == "canary" else ()
    return (
        Fact("Candidate", f"version {rollout.candidate}"),
        Fact("Against", f"version {rollout.champion}" if rollout.champion else "nothing: it is the first"),
        Fact("Strategy", stages[policy.strategy]),
        *held,
        Fact("Still counts as no worse", f"up to {relative(policy.margin)} loss"),
        Fact("Needs at least", f"{number(policy.min_rows)} labelled rows"),
        Fact("Gives up", give_up),
        Fact("Started", time_tag(rollout.started_at, now)),
        *ended,
    )


def _tone(verdict: Verdict, margin: float) -> Tone:
    if verdict.interval is None:
        return "neutral"
    lower, upper = verdict.interval
    return "good" if upper <= margin else "bad" if lower > margin else "neutral"
