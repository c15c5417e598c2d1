"""How candidate and champion compare: intervals of the relative change of the loss, and evidence on errors.

Everything here is valid at every look: asymptotic confidence sequences (Waudby-Smith et al. 2021) for losses and a
beta-binomial mixture e-process for errors (Robbins 1970), see `holdfast.statistics.sequential`. The levels of the
two guards add up to the 5% with which a rollout may wrongly end.
"""

from __future__ import annotations

import itertools
import math

import msgspec

from holdfast.rollout.records import (
    Evidence,
    PairedStatistics,
    Rollout,
    RolloutPolicy,
    StageStatistics,
    VariantStatistics,
)

ERROR_ALPHA = 0.02
QUALITY_ALPHA = 0.03

# Sequences are narrowest where a decision is expected; these are chosen before any data is seen.
TUNED_FOR_BLOCKS = 40
TUNED_FOR_ROWS = 500


class Comparison(msgspec.Struct, frozen=True):
    """Relative change of the metric, candidate against champion: 0.08 is 8% worse.

    `minimum_detectable_effect` is the change beyond which the candidate would have been rolled back by now.
    """

    estimate: float
    lower: float
    upper: float
    minimum_detectable_effect: float


def labelled_rows(evidence: Evidence) -> int:
    """Labelled pairs, or labelled rows of the variant that has fewer, over all steps so far."""
    if evidence.paired is not None:
        return evidence.paired.pairs
    stages = stages_of(evidence)
    return min(
        sum(stage.champion.labelled for stage in stages), sum(stage.candidate.labelled for stage in stages)
    )


def stages_of(evidence: Evidence) -> tuple[StageStatistics, ...]:
    """All canary steps, the present one last."""
    return (*evidence.earlier, StageStatistics(evidence.champion, evidence.candidate))


def compare_errors(policy: RolloutPolicy, rollout: Rollout, evidence: Evidence) -> str | None:
    """Why the candidate's errors end the rollout, or None.

    Its error rate must be surely higher than that of the champion beside it, and by more than `error_margin`.
    """
    from holdfast.statistics.sequential import ErrorCounts, compare_error_rates

    segments = [
        ErrorCounts(
            canary_errors=stage.candidate.errors,
            canary_count=stage.candidate.requests,
            baseline_errors=stage.champion.errors,
            baseline_count=stage.champion.requests,
            canary_share=share,
        )
        for stage, share in zip(stages_of(evidence), _shares(policy, rollout), strict=False)
    ]
    if not segments:
        return None
    found = compare_error_rates(segments, alpha=ERROR_ALPHA)
    if not found.worse or found.canary_rate is None or found.baseline_rate is None:
        return None
    if found.canary_rate - found.baseline_rate <= policy.error_margin:
        return None
    requests = sum(segment.canary_count for segment in segments)
    return (
        f"version {rollout.candidate} failed {found.canary_rate:.2%} of {requests} requests, version"
        f" {rollout.champion} beside it {found.baseline_rate:.2%} (p {found.p_value:.1g}, valid at every look)"
    )


def compare_pairs(policy: RolloutPolicy, evidence: Evidence) -> Comparison | None:
    """The paired comparison of a shadow, or None where there are too few blocks of time to say anything.

    Both versions answered the same rows, so what makes a day hard cancels out. Neighbouring rows still resemble
    each other: the unit is a block of time, weighed by its rows (ratio estimator of cluster sampling, Cochran
    1977), and what dependence is left between neighbouring blocks widens the interval (Bartlett 1946).
    """
    from holdfast.statistics.sequential import asymptotic_confidence_sequence

    paired = evidence.paired
    if paired is None or not paired.pairs:
        return None
    mean = paired.difference_sum / paired.pairs
    values = _block_values(paired, mean)
    count = len(values)
    squares = sum((value - mean) ** 2 for value in values) * _inflation(values, mean)
    interval = asymptotic_confidence_sequence(
        count, mean * count, squares + count * mean**2, alpha=QUALITY_ALPHA, tuned_for=TUNED_FOR_BLOCKS
    )
    if interval is None:
        return None
    scale = paired.champion_loss_sum / paired.pairs
    return _relative(policy, evidence.metric, mean, interval.upper - mean, scale)


def compare_variants(policy: RolloutPolicy, rollout: Rollout, evidence: Evidence) -> Comparison | None:
    """The comparison of a canary with the champion beside it, or None with too few labels.

    Within a step rows go to either version at random, so the difference of mean losses is unbiased whatever the
    day; the steps are pooled with the weights n₁n₂/(n₁+n₂), which are independent of the losses. Where one side
    has seen few losses its variance is easily underestimated, so both get the larger of the two.
    """
    from holdfast.statistics.sequential import asymptotic_confidence_sequence

    usable = [stage for stage in stages_of(evidence) if stage.champion.labelled and stage.candidate.labelled]
    if not usable:
        return None
    weights = [_harmonic(stage.champion.labelled, stage.candidate.labelled) for stage in usable]
    count = sum(weights)
    mean = (
        sum(
            weight * (_mean(stage.candidate) - _mean(stage.champion))
            for weight, stage in zip(weights, usable, strict=True)
        )
        / count
    )
    champion = pooled([stage.champion for stage in usable])
    candidate = pooled([stage.candidate for stage in usable])
    variance = max(_variance(champion), _variance(candidate))
    interval = asymptotic_confidence_sequence(
        math.floor(count),
        mean * math.floor(count),
        math.floor(count) * (variance + mean**2),
        alpha=QUALITY_ALPHA,
        tuned_for=max(TUNED_FOR_ROWS, policy.min_rows),
    )
    if interval is None:
        return None
    return _relative(policy, evidence.metric, mean, interval.upper - mean, _mean(champion))


def pooled(parts: list[VariantStatistics]) -> VariantStatistics:
    """The sums of one version over several steps."""
    fields = [name for name in VariantStatistics.__struct_fields__ if name != "version"]
    return VariantStatistics(
        parts[0].version, **{name: sum(getattr(part, name) for part in parts) for name in fields}
    )


def _shares(policy: RolloutPolicy, rollout: Rollout) -> list[float]:
    """The candidate's chance of a request in each step; a shadow answers the same ones, an even chance."""
    if rollout.state == "shadow":
        return [0.5]
    return [percent / 100 for percent in policy.steps[: rollout.step + 1] if percent < 100]


def _block_values(paired: PairedStatistics, mean: float) -> list[float]:
    """One value a block whose mean is the mean over all rows and whose scatter is that of a ratio of sums."""
    rows_per_block = paired.pairs / len(paired.blocks)
    return [mean + (total - mean * rows) / rows_per_block for _, total, rows in paired.blocks]


def _inflation(values: list[float], mean: float) -> float:
    """By how much positive dependence of neighbouring blocks raises the variance of the mean."""
    centred = [value - mean for value in values]
    squares = sum(value**2 for value in centred)
    if squares <= 0.0:
        return 1.0
    correlation = sum(one * other for one, other in itertools.pairwise(centred)) / squares
    return max(1.0, (1 + correlation) / (1 - correlation)) if correlation < 1 else 1.0


def _relative(policy: RolloutPolicy, metric: str, change: float, margin: float, scale: float) -> Comparison:
    """A change of the mean loss and the half-width of its interval, relative to the champion's mean loss."""
    if scale <= 0.0:
        # A champion without any loss: the slightest loss is infinitely worse, none is no change.
        worse = math.inf if change > 0 else 0.0
        return Comparison(worse, worse, worse, policy.margin)
    convert = _root if metric == "rmse" else float
    return Comparison(
        estimate=convert(change / scale),
        # A loss is never negative, so it cannot fall by more than all of it.
        lower=max(-1.0, convert((change - margin) / scale)),
        upper=convert((change + margin) / scale),
        minimum_detectable_effect=policy.margin + convert(margin / scale),
    )


def _root(change: float) -> float:
    """Relative change of a root-mean-square from that of the mean square."""
    return math.sqrt(max(0.0, 1 + change)) - 1


def _harmonic(first: int, second: int) -> float:
    return first * second / (first + second)


def _mean(statistics: VariantStatistics) -> float:
    return statistics.loss_sum / statistics.labelled


def _variance(statistics: VariantStatistics) -> float:
    return max(0.0, statistics.loss_sum_of_squares / statistics.labelled - _mean(statistics) ** 2)
