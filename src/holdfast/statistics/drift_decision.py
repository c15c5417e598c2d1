"""The rule that turns comparisons into states of columns.

A column drifts when three things hold at once: the change is significant after adjustment for all tests made,
it is large enough to matter, and the reference's own windows do not vary as much. Where a change of some size
could have been missed, the answer is "insufficient data" with the smallest change that would have been seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from holdfast.statistics.drift import Aspect, Comparison
from holdfast.statistics.significance import adjust_p_values
from holdfast.statistics.variation import WindowVariation

DriftState = Literal["ok", "drifting", "insufficient data", "not supported"]

# The state of a column is that of its most telling aspect, in this order.
PRECEDENCE: tuple[DriftState, ...] = ("drifting", "insufficient data", "ok", "not supported")


class DriftRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What counts as drift.

    `alpha` is the false discovery rate over all columns of a check. A smaller change than `effect_threshold`, a
    share of rows (see `Comparison.effect`), never counts; `column_thresholds` has other values for some columns.
    A column is called ok only where a change of `effect_to_exclude` would have been found with probability
    `power`: with 1,000 rows and 50 columns that is 0.1. Below `minimum_count` values nothing is said.
    """

    alpha: float = 0.01
    effect_threshold: float = 0.02
    effect_to_exclude: float = 0.1
    column_thresholds: dict[str, float] = {}
    minimum_count: int = 30
    power: float = 0.8

    def __post_init__(self) -> None:
        for name, value in (("alpha", self.alpha), ("power", self.power)):
            if not 0 < value < 1:
                raise ValueError(f"{name} is {value}; it lies between 0 and 1")
        for column, value in {"effect_threshold": self.effect_threshold, **self.column_thresholds}.items():
            if not 0 <= value <= 1:
                raise ValueError(
                    f"the threshold {column!r} is {value}; it is a share of rows, between 0 and 1"
                )


class DriftDecision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """State of one column, by its most telling aspect, and the sentence that explains it.

    `threshold` is what the effect had to reach: the larger of the rule's and the reference's own variation.
    """

    column: str
    state: DriftState
    aspect: Aspect
    effect: float
    threshold: float
    p_adjusted: float
    minimum_detectable_effect: float
    sentence: str
    comparison: Comparison


def decide_drift(
    comparisons: Sequence[Comparison],
    rule: DriftRule | None = None,
    *,
    reference_variation: Sequence[WindowVariation] = (),
) -> list[DriftDecision]:
    """One decision a column, in the order in which the columns first appear.

    All comparisons of a check belong in one call, because the adjustment (Benjamini, Hochberg 1995) counts them.

    >>> from holdfast.statistics.drift import Comparison
    >>> far = Comparison(column="amount", aspect="distribution", measure="kolmogorov_smirnov", n_reference=9000,
    ...     n_current=5000, effect=0.4, p_value=1e-12, detail="values below 80 went from 70.0% to 30.0% of rows")
    >>> print(decide_drift([far])[0].sentence)
    amount is drifting: values below 80 went from 70.0% to 30.0% of rows (effect 0.400, at least 0.020 counts; \
adjusted p 1e-12).
    """
    rule = rule or DriftRule()
    tested = [each for each in comparisons if not each.unsupported]
    adjusted = dict(zip(map(_key, tested), adjust_p_values([each.p_value for each in tested]), strict=True))
    variation = {(each.column, each.aspect): each for each in reference_variation}
    level = rule.alpha / max(len(tested), 1)
    best: dict[str, DriftDecision] = {}
    for comparison in comparisons:
        decision = _decide(
            comparison,
            rule,
            float(adjusted.get(_key(comparison), 1.0)),
            level,
            variation.get(_key(comparison)),
        )
        known = best.get(comparison.column)
        if known is None or _rank(decision) < _rank(known):
            best[comparison.column] = decision
    return list(best.values())


def _key(comparison: Comparison) -> tuple[str, Aspect]:
    return comparison.column, comparison.aspect


def _rank(decision: DriftDecision) -> tuple[int, float]:
    return PRECEDENCE.index(decision.state), -decision.effect / max(decision.threshold, 1e-9)


def _decide(
    comparison: Comparison,
    rule: DriftRule,
    p_adjusted: float,
    level: float,
    variation: WindowVariation | None,
) -> DriftDecision:
    wanted = rule.column_thresholds.get(comparison.column, rule.effect_threshold)
    usual = variation.bound(comparison) if variation else 0.0
    detectable = 1.0
    if not comparison.unsupported:
        # One drifting column among many must pass the strictest step of the adjustment: alpha over the tests.
        detectable = comparison.minimum_detectable_effect(alpha=level, power=rule.power)
    threshold = max(wanted, usual)
    state = _state(comparison, rule, p_adjusted, threshold, detectable)
    return DriftDecision(
        column=comparison.column,
        state=state,
        aspect=comparison.aspect,
        effect=comparison.effect,
        threshold=threshold,
        p_adjusted=p_adjusted,
        minimum_detectable_effect=detectable,
        sentence=_sentence(comparison, rule, state, p_adjusted, threshold, usual, detectable),
        comparison=comparison,
    )


def _state(
    comparison: Comparison, rule: DriftRule, p_adjusted: float, threshold: float, detectable: float
) -> DriftState:
    if comparison.unsupported:
        return "not supported"
    if comparison.n_current < rule.minimum_count:
        return "insufficient data"
    if p_adjusted <= rule.alpha and comparison.effect > 0 and comparison.effect >= threshold:
        return "drifting"
    return "ok" if detectable <= max(rule.effect_to_exclude, threshold) else "insufficient data"


def _sentence(
    comparison: Comparison,
    rule: DriftRule,
    state: DriftState,
    p_adjusted: float,
    threshold: float,
    usual: float,
    detectable: float,
) -> str:
    name = comparison.column
    if state == "not supported":
        return f"{name} cannot be compared: {comparison.unsupported}."
    if state == "drifting":
        return (
            f"{name} is drifting: {comparison.detail} (effect {comparison.effect:.3f}, at least {threshold:.3f} "
            f"counts; adjusted p {_show_p(p_adjusted)})."
        )
    if state == "insufficient data":
        return _insufficient_sentence(comparison, rule, detectable)
    if p_adjusted <= rule.alpha and usual >= comparison.effect:
        return (
            f"{name} is within the reference's own variation: {comparison.detail} (effect {comparison.effect:.3f}; "
            f"its windows differ by up to {usual:.3f})."
        )
    if p_adjusted <= rule.alpha:
        return f"{name} changed too little to count: {comparison.detail} (below {threshold:.3f})."
    return f"{name} shows no change; one of {detectable:.3f} or more would have been seen."


def _insufficient_sentence(comparison: Comparison, rule: DriftRule, detectable: float) -> str:
    name, rows = comparison.column, comparison.n_current
    if rows < rule.minimum_count:
        return f"{name} has {rows} values in this window; at least {rule.minimum_count} are needed to say anything."
    if detectable >= 1.0:
        return f"{name} shows no change, but {rows} values could not have shown any."
    return (
        f"{name} shows no clear change, but with {rows} values only one of {detectable:.3f} or more would have "
        f"been seen."
    )


def _show_p(p_value: float) -> str:
    """A p-value in words; below what a double can tell apart from nothing it is a bound, never zero."""
    return f"{p_value:.2g}" if p_value >= 1e-300 else "below 1e-300"
