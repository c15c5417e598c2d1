"""What becomes of a rollout: a pure function of its policy, its state and the evidence.

Looking at every tick costs nothing: the quality is judged by a confidence sequence and the errors by an e-process,
which hold at all times at once. All guards of a rollout together roll back a candidate that is no worse with a
probability of at most 5%.
"""

from __future__ import annotations

from holdfast.base.clock import format_duration
from holdfast.rollout.comparison import (
    Comparison,
    compare_errors,
    compare_pairs,
    compare_variants,
    labelled_rows,
)
from holdfast.rollout.records import Evidence, Rollout, RolloutPolicy, Variant, Verdict


def decide(policy: RolloutPolicy, rollout: Rollout, evidence: Evidence) -> Verdict:
    """The verdict on an open rollout.

    A first version, the strategy `direct` and a step of 100% promote at once. Estimates and intervals of a
    verdict are relative: 0.08 means that the candidate's loss is 8% higher than the champion's.

    Example:
        >>> from holdfast.rollout.records import VariantStatistics
        >>> policy = RolloutPolicy("direct")
        >>> first = Rollout(1, "bikes", "production", 1, None, policy, "canary", 0, 0, 0)
        >>> nothing = Evidence(0, 0, "mae", VariantStatistics(0), VariantStatistics(1))
        >>> decide(policy, first, nothing).action
        'promote'
    """
    if rollout.champion is None:
        return Verdict("promote", f"version {rollout.candidate} is the first of {rollout.model}")
    if policy.strategy == "direct" or (rollout.state == "canary" and _share(policy, rollout) >= 100):
        return Verdict(
            "promote", f"version {rollout.candidate} takes all traffic, as its rollout policy says"
        )
    failing = compare_errors(policy, rollout, evidence)
    if failing is not None:
        return Verdict("roll back", failing, rows=labelled_rows(evidence))
    if rollout.state == "shadow":
        return _decide_shadow(policy, rollout, evidence)
    return _decide_canary(policy, rollout, evidence)


def variants_of(rollout: Rollout) -> tuple[Variant, ...]:
    """The variants that the deployment should have while the rollout is in its state."""
    if rollout.state == "promoted" or rollout.champion is None:
        return (Variant(rollout.candidate, "champion", 100),)
    if rollout.state == "shadow":
        return (Variant(rollout.champion, "champion", 100), Variant(rollout.candidate, "shadow", 0))
    if rollout.state == "canary":
        share = _share(rollout.policy, rollout)
        return (
            Variant(rollout.champion, "champion", 100 - share),
            Variant(rollout.candidate, "candidate", share),
        )
    return (Variant(rollout.champion, "champion", 100),)


def _share(policy: RolloutPolicy, rollout: Rollout) -> int:
    return policy.steps[rollout.step] if rollout.step < len(policy.steps) else 100


def _decide_shadow(policy: RolloutPolicy, rollout: Rollout, evidence: Evidence) -> Verdict:
    rows = labelled_rows(evidence)
    left = rollout.stage_started_at + policy.shadow_us - evidence.now_at
    comparison = compare_pairs(policy, evidence)
    if left > 0:
        return _say("hold", f"the shadow runs for {_rounded(left)} more", rows, comparison)
    if rows < policy.min_rows:
        return _wait(policy, rollout, evidence, _too_few(rollout, rows, policy, "labelled pairs"), comparison)
    if comparison is None:
        reason = f"{rows} labelled pairs lie too close together in time to compare the versions"
        return _wait(policy, rollout, evidence, reason, None)
    return _judge(policy, rollout, evidence, comparison)


def _decide_canary(policy: RolloutPolicy, rollout: Rollout, evidence: Evidence) -> Verdict:
    rows = labelled_rows(evidence)
    comparison = compare_variants(policy, rollout, evidence)
    if comparison is not None and comparison.lower > policy.margin:
        return _judge(policy, rollout, evidence, comparison)
    left = rollout.stage_started_at + policy.hold_us - evidence.now_at
    share = _share(policy, rollout)
    if left > 0:
        return _say("hold", f"the step of {share}% is held for {_rounded(left)} more", rows, comparison)
    if rows < policy.min_rows or comparison is None:
        reason = _too_few(rollout, rows, policy, "labelled rows")
        return _wait(policy, rollout, evidence, reason, comparison)
    following = policy.steps[rollout.step + 1 : rollout.step + 2]
    if following and following[0] < 100:
        reason = f"{_sentence(rollout, evidence, comparison)}, not surely worse; next step {following[0]}%"
        return _say("advance", reason, rows, comparison)
    return _judge(policy, rollout, evidence, comparison)


def _judge(policy: RolloutPolicy, rollout: Rollout, evidence: Evidence, comparison: Comparison) -> Verdict:
    """Enough rows are there: no worse, worse, or not to be said."""
    rows = labelled_rows(evidence)
    said = _sentence(rollout, evidence, comparison)
    allowed = f"{policy.margin:.1%} higher is allowed"
    if comparison.lower > policy.margin:
        return _say("roll back", f"{said}, and at most {allowed}", rows, comparison)
    if comparison.upper <= policy.margin:
        return _say("promote", f"{said}, and up to {allowed}", rows, comparison)
    reason = f"inconclusive: {said}, and up to {allowed}"
    return _wait(policy, rollout, evidence, reason, comparison)


def _wait(
    policy: RolloutPolicy, rollout: Rollout, evidence: Evidence, reason: str, comparison: Comparison | None
) -> Verdict:
    """Hold, or give up when there was time enough."""
    rows = labelled_rows(evidence)
    waited = evidence.now_at - rollout.started_at
    if policy.give_up_us is not None and waited >= policy.give_up_us:
        return _say("give up", f"after {format_duration(policy.give_up_us)} {reason}", rows, comparison)
    return _say("hold", reason, rows, comparison)


def _say(action: str, reason: str, rows: int, comparison: Comparison | None) -> Verdict:
    if comparison is None:
        return Verdict(action, reason, rows=rows)  # type: ignore[arg-type]
    return Verdict(
        action,  # type: ignore[arg-type]
        reason,
        estimate=comparison.estimate,
        interval=(comparison.lower, comparison.upper),
        rows=rows,
        minimum_detectable_effect=comparison.minimum_detectable_effect,
    )


def _sentence(rollout: Rollout, evidence: Evidence, comparison: Comparison) -> str:
    """`the mae of version 4 is 8.2% lower than that of version 3 (between 12.0% lower and 4.1% lower; 168 rows)`"""
    return (
        f"the {evidence.metric} of version {rollout.candidate} is {_relative(comparison.estimate)} than that of"
        f" version {rollout.champion} (between {_relative(comparison.lower)} and {_relative(comparison.upper)},"
        f" {labelled_rows(evidence)} labelled rows)"
    )


def _relative(change: float) -> str:
    return f"{abs(change):.1%} {'higher' if change >= 0 else 'lower'}"


def _too_few(rollout: Rollout, rows: int, policy: RolloutPolicy, noun: str) -> str:
    return f"version {rollout.candidate} has {rows} {noun} of the {policy.min_rows} it needs"


def _rounded(microseconds: int) -> str:
    return format_duration(microseconds // 1_000_000 * 1_000_000 or 1_000_000)
