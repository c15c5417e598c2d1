"""Drift of inputs and predictions against the training profile, as findings of a check."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from holdfast.base.clock import DAY_US
from holdfast.monitoring.records import EVERYTHING, CheckState, Finding, MonitorPolicy
from holdfast.profiles.records import Profile
from holdfast.registry.baseline import Baseline
from holdfast.statistics.drift import Comparison, compare_categorical, compare_numeric
from holdfast.statistics.drift_decision import DriftDecision, DriftRule, decide_drift
from holdfast.statistics.power import minimum_detectable_effect
from holdfast.statistics.variation import WindowVariation, reference_window_variation


class ReferenceVariation(msgspec.Struct, frozen=True):
    """How much windows of the training data differ among themselves, for inputs and predictions."""

    inputs: tuple[WindowVariation, ...] = ()
    prediction: tuple[WindowVariation, ...] = ()


def reference_variation(baseline: Baseline, window_us: int) -> ReferenceVariation:
    """Learns from the baseline's days what windows of the monitored length usually differ by."""
    return ReferenceVariation(
        _variation(baseline.input_days, window_us), _variation(baseline.prediction_days, window_us)
    )


def find_drift(
    policy: MonitorPolicy, reference: Profile, current: Profile, variation: Sequence[WindowVariation]
) -> list[Finding]:
    """One finding a column: the distributions only, since missing values are a matter of data quality.

    A column drifts when the change is significant after adjustment over all columns (Benjamini, Hochberg 1995),
    at least `policy.effect`, and beyond what windows of the training data differ by among themselves.
    """
    if current.row_count < policy.min_rows:
        return [_too_few(policy, reference, current)]
    rule = DriftRule(
        alpha=policy.alpha,
        effect_threshold=policy.effect,
        effect_to_exclude=max(policy.effect, 0.1),
        minimum_count=min(30, policy.min_rows),
    )
    comparisons: list[Comparison] = compare_numeric(reference.numeric, current.numeric)
    comparisons += compare_categorical(reference.categorical, current.categorical)
    decisions = decide_drift(comparisons, rule, reference_variation=variation)
    return [_finding(decision) for decision in sorted(decisions, key=_rank)]


def _variation(days: tuple[Profile, ...], window_us: int) -> tuple[WindowVariation, ...]:
    length = max(1, window_us // DAY_US)
    if len(days) < 2 * length or not days[0].names:
        return ()
    return tuple(reference_window_variation(days, block_length=length))


def _too_few(policy: MonitorPolicy, reference: Profile, current: Profile) -> Finding:
    columns = max(1, len(reference.names))
    detectable = minimum_detectable_effect(
        reference.row_count, current.row_count, alpha=policy.alpha / columns
    )
    smallest = (
        f"only a change of {detectable:.2f} or more would have been seen"
        if detectable < 1
        else "no change would have been seen"
    )
    return Finding(
        subject=EVERYTHING,
        state="insufficient data",
        message=f"{current.row_count} rows of the {policy.min_rows} needed; {smallest}",
        minimum_detectable_effect=detectable,
        threshold=policy.effect,
    )


_ORDER: tuple[CheckState, ...] = ("drifting", "insufficient data", "ok", "not supported")


def _rank(decision: DriftDecision) -> tuple[int, float]:
    return _ORDER.index(decision.state), -decision.effect


def _finding(decision: DriftDecision) -> Finding:
    comparison = decision.comparison
    return Finding(
        subject=decision.column,
        state=decision.state,
        message=decision.sentence,
        effect=decision.effect,
        threshold=decision.threshold,
        p_value=decision.p_adjusted,
        minimum_detectable_effect=decision.minimum_detectable_effect,
        detail={
            "measure": comparison.measure,
            "reference_rows": comparison.n_reference,
            "rows": comparison.n_current,
            "population_stability_index": comparison.population_stability_index,
            "jensen_shannon": comparison.jensen_shannon,
            "mean_shift": comparison.mean_shift,
        },
    )
