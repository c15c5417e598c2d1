"""What the windows of a version say of its health: a pure function of policy, baseline, windows and time.

Every check names the rows it rests on, and never says "ok" where the data could not have shown a problem.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from holdfast.base.clock import DAY_US, Micros, format_time
from holdfast.monitoring.data_quality import find_faults
from holdfast.monitoring.drift import ReferenceVariation, find_drift, reference_variation
from holdfast.monitoring.losses import reference_summary, reference_window_means, summarize
from holdfast.monitoring.records import PROBLEMS, CheckKind, CheckState, Finding, MonitorPolicy, Window
from holdfast.profiles.algebra import merge_all
from holdfast.profiles.records import Profile
from holdfast.registry.baseline import Baseline
from holdfast.statistics.performance import PerformanceComparison, compare_performance

_PRECEDENCE: tuple[CheckState, ...] = (*PROBLEMS, "insufficient data", "ok", "not supported")


class Outcome(msgspec.Struct, frozen=True):
    """What one kind of check found; the service makes a numbered `Check` of it."""

    kind: CheckKind
    state: CheckState
    window_from_at: Micros
    window_until_at: Micros
    rows: int
    message: str
    findings: tuple[Finding, ...] = ()


def evaluate(
    policy: MonitorPolicy,
    baseline: Baseline,
    windows: Sequence[Window],
    now: Micros,
    variation: ReferenceVariation | None = None,
    answered_by_all: int | None = None,
) -> list[Outcome]:
    """Every check of one version over the window that ends now.

    `windows` are those of the version, and of version 0 for what was rejected; older ones may be among them.
    `answered_by_all` counts the requests that all versions answered meanwhile: what was rejected was rejected
    before a version was chosen, so it is a share of all requests (default: those of the windows given).
    `variation` is what `reference_variation` learnt of the baseline; it is computed when it is not given.
    """
    if variation is None:
        variation = reference_variation(baseline, policy.window_us)
    from_at, until_at = window_bounds(policy, now)
    inside = [window for window in windows if from_at <= window.day_at < until_at]
    answered = [window for window in inside if window.rows]
    span = (from_at, until_at)
    return [
        _input_drift(policy, baseline, answered, span, variation),
        _prediction_drift(policy, baseline, answered, span, variation),
        _data_quality(policy, baseline, inside, span, answered_by_all),
        _performance(policy, baseline, [window for window in windows if window.day_at < until_at], now),
    ]


def window_bounds(policy: MonitorPolicy, now: Micros) -> tuple[Micros, Micros]:
    """The whole UTC days that a check at `now` looks at: the last `window_us`, the present day included."""
    until_at = -(-now // DAY_US) * DAY_US
    return until_at - max(1, policy.window_us // DAY_US) * DAY_US, until_at


def _input_drift(
    policy: MonitorPolicy,
    baseline: Baseline,
    windows: Sequence[Window],
    span: tuple[Micros, Micros],
    variation: ReferenceVariation,
) -> Outcome:
    current = _merged([window.inputs for window in windows], baseline.inputs)
    findings = find_drift(policy, baseline.inputs, current, variation.inputs)
    return _outcome("input drift", findings, span, current.row_count, "columns")


def _prediction_drift(
    policy: MonitorPolicy,
    baseline: Baseline,
    windows: Sequence[Window],
    span: tuple[Micros, Micros],
    variation: ReferenceVariation,
) -> Outcome:
    current = _merged([window.prediction for window in windows], baseline.prediction)
    findings = find_drift(policy, baseline.prediction, current, variation.prediction)
    return _outcome("prediction drift", findings, span, current.row_count, "outputs")


def _data_quality(
    policy: MonitorPolicy,
    baseline: Baseline,
    windows: Sequence[Window],
    span: tuple[Micros, Micros],
    answered_by_all: int | None,
) -> Outcome:
    current = _merged([window.inputs for window in windows], baseline.inputs)
    own = sum(window.requests for window in windows)
    requests = own if answered_by_all is None else answered_by_all
    rejected = sum(sum(window.rejected.values()) for window in windows)
    findings = find_faults(policy, baseline.inputs, current, requests, rejected)
    return _outcome("data quality", findings, span, current.row_count, "findings")


def _performance(
    policy: MonitorPolicy, baseline: Baseline, windows: Sequence[Window], now: Micros
) -> Outcome:
    """Labels come late, so the window ends with the last day that has any, not with today."""
    metric = baseline.losses.metric
    labelled = sorted(
        (window for window in windows if window.losses.count and window.metric == metric),
        key=lambda window: window.day_at,
    )
    until_at = labelled[-1].day_at + DAY_US if labelled else window_bounds(policy, now)[1]
    from_at = until_at - max(1, policy.window_us // DAY_US) * DAY_US
    current = summarize([window.losses for window in labelled if window.day_at >= from_at])
    reference = reference_summary(baseline.losses)
    if reference.count and reference.mean <= 0:
        message = f"the held-out {metric} was {reference.mean:g}, so no change can be told relative to it"
        return Outcome("performance", "not supported", from_at, until_at, current.count, message)
    found = compare_performance(
        reference,
        current,
        relative_threshold=_of_losses(metric, policy.performance_effect),
        alpha=policy.alpha,
        reference_windows=reference_window_means(baseline.losses, policy.window_us),
    )
    state: CheckState = found.state if current.count >= policy.min_labels else "insufficient data"
    message = f"{metric}: {found.sentence}"
    if current.count < policy.min_labels:
        message = f"{current.count} labels of the {policy.min_labels} needed, up to {format_time(until_at)}; {message}"
    finding = _performance_finding(metric, found, state, message)
    return Outcome("performance", state, from_at, until_at, current.count, message, (finding,))


def _of_losses(metric: str, change: float) -> float:
    """A relative change of the metric as one of its mean row loss: squared errors grow twice as fast as a root."""
    return (1 + change) ** 2 - 1 if metric == "rmse" else change


def _performance_finding(
    metric: str, found: PerformanceComparison, state: CheckState, message: str
) -> Finding:
    return Finding(
        subject=metric,
        state=state,
        message=message,
        effect=found.relative_change,
        threshold=found.threshold,
        minimum_detectable_effect=found.minimum_detectable_effect,
        interval=(found.interval.lower, found.interval.upper) if found.interval else None,
        detail={
            "mean_loss": found.current.mean,
            "reference_mean_loss": found.reference.mean,
            "effective_rows": found.current.effective_count,
            "usual_maximum": found.usual_maximum,
        },
    )


def _merged(profiles: Sequence[Profile | None], pinned: Profile) -> Profile:
    from holdfast.profiles.build import empty_profile

    present = [profile for profile in profiles if profile is not None]
    return merge_all(present) if present else empty_profile(pinned)


def _outcome(
    kind: CheckKind, findings: Sequence[Finding], span: tuple[Micros, Micros], rows: int, noun: str
) -> Outcome:
    """The state of a check is that of its worst finding, and its message too."""
    if not findings:
        return Outcome(kind, "not supported", *span, rows, f"there are no {noun} to compare")
    worst = min(findings, key=lambda each: _PRECEDENCE.index(each.state))
    same = sum(finding.state == worst.state for finding in findings)
    others = f" ({same} of {len(findings)} {noun} {worst.state})" if len(findings) > 1 else ""
    return Outcome(kind, worst.state, *span, rows, worst.message.rstrip(".") + others, tuple(findings))
