"""Statistics that stay valid however often and whenever they are looked at.

Both methods are pure functions of sums since the start, so a controller can recompute them at every tick.
"""

from __future__ import annotations

import math

import msgspec

from holdfast.statistics.intervals import Interval

BURN_IN = 30


def asymptotic_confidence_sequence(
    count: int,
    total: float,
    total_of_squares: float,
    *,
    alpha: float = 0.05,
    tuned_for: int = 500,
    burn_in: int = BURN_IN,
) -> Interval | None:
    """Interval of a mean that holds at all times at once with probability 1 - alpha, as the count grows.

    From the number of values, their sum and the sum of their squares, for instance of the paired differences of
    two models' losses. It is narrowest around `tuned_for` values, which must be chosen beforehand, and
    about half as wide again there as an interval that may be looked at once. No bound on the values is needed, but some
    values are: below `burn_in` there is no statement, and the result is None. The values should be nearly
    uncorrelated; of a correlated series give the sums of its block means, a day each for instance.

    Source: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, "Time-uniform central limit theory and asymptotic
    confidence sequences" (2021), theorem 2.2 with ρ from section B.2. Raises ValueError for sums that no values
    have.

    >>> interval = asymptotic_confidence_sequence(400, -80.0, 416.0)
    >>> interval.estimate, round(interval.lower, 3), round(interval.upper, 3)
    (-0.2, -0.352, -0.048)
    >>> asymptotic_confidence_sequence(3, 1.0, 1.0) is None
    True
    """
    _check_alpha(alpha)
    if tuned_for < 1:
        raise ValueError(f"tuned_for is {tuned_for}; it is a number of values")
    if count < max(burn_in, 2):
        return None
    mean = total / count
    variance = _variance(count, mean, total_of_squares)
    spread = count * _tuning(alpha, tuned_for) ** 2
    width = math.sqrt(2 * (spread + 1) / (count * spread) * math.log(math.sqrt(spread + 1) / alpha))
    margin = math.sqrt(variance) * width
    return Interval(estimate=mean, lower=mean - margin, upper=mean + margin, confidence=1 - alpha)


class ErrorCounts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Errors and requests of a canary and of the baseline that served beside it, while the split was the same.

    `canary_share` is the probability with which a request was assigned to the canary, from 0 to 1, exclusive.
    """

    canary_errors: int
    canary_count: int
    baseline_errors: int
    baseline_count: int
    canary_share: float

    def __post_init__(self) -> None:
        if not (0 <= self.canary_errors <= self.canary_count):
            raise ValueError(f"the canary has {self.canary_errors} errors in {self.canary_count} requests")
        if not (0 <= self.baseline_errors <= self.baseline_count):
            raise ValueError(
                f"the baseline has {self.baseline_errors} errors in {self.baseline_count} requests"
            )
        if not 0 < self.canary_share < 1:
            raise ValueError(
                f"canary_share is {self.canary_share}; without a baseline beside it there is nothing to compare"
            )


class ErrorRateEvidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Evidence that the canary's error rate is above the tolerated one.

    `p_value` is valid at any time of looking. `worse` says whether it has passed the level asked for.
    """

    e_value: float
    p_value: float
    worse: bool
    canary_rate: float | None
    baseline_rate: float | None


def compare_error_rates(
    segments: list[ErrorCounts], *, alpha: float = 0.05, tolerated_ratio: float = 1.0
) -> ErrorRateEvidence:
    """Whether a canary fails more often than `tolerated_ratio` times its concurrent baseline, at any time.

    Each segment is a stretch with one split (5%, then 25%, …); their e-values multiply. Looking at every tick
    and stopping at the first alarm gives a false alarm with probability `alpha` at most, over the whole rollout.

    >>> evidence = compare_error_rates([ErrorCounts(12, 240, 20, 2160, 0.1)])
    >>> evidence.worse, evidence.canary_rate
    (True, 0.05)
    >>> compare_error_rates([ErrorCounts(3, 240, 22, 2160, 0.1)]).worse
    False
    """
    _check_alpha(alpha)
    logarithm = sum(log_error_rate_e_value(each, tolerated_ratio=tolerated_ratio) for each in segments)
    canary_count = sum(each.canary_count for each in segments)
    baseline_count = sum(each.baseline_count for each in segments)
    return ErrorRateEvidence(
        e_value=math.exp(min(logarithm, 700.0)),
        p_value=min(1.0, math.exp(-logarithm)) if logarithm > -700 else 1.0,
        worse=logarithm >= -math.log(alpha),
        canary_rate=_rate(sum(each.canary_errors for each in segments), canary_count),
        baseline_rate=_rate(sum(each.baseline_errors for each in segments), baseline_count),
    )


def log_error_rate_e_value(counts: ErrorCounts, *, tolerated_ratio: float = 1.0) -> float:
    """Natural logarithm of the e-value against "the canary's error rate is at most the tolerated one".

    Of all errors, those of a canary that is no worse are a share of at most
    θ₀ = share · ratio / (share · ratio + 1 - share). The likelihood of the share seen, averaged over a uniform
    prior on the shares above θ₀, over that at θ₀ is a supermartingale for every share below θ₀: a one-sided
    beta-binomial mixture (Robbins 1970; Ramdas, Grünwald, Vovk, Shafer 2023). It counts only errors, so it needs
    requests to be assigned at random with the known share, and errors to be independent of one another.

    >>> round(log_error_rate_e_value(ErrorCounts(4, 100, 0, 900, 0.1)), 2)
    7.71
    """
    from scipy.special import betaincc, betaln

    if tolerated_ratio <= 0:
        raise ValueError(f"tolerated_ratio is {tolerated_ratio}; it is a positive factor")
    canary, baseline = counts.canary_errors, counts.baseline_errors
    weighted = counts.canary_share * tolerated_ratio
    null_share = weighted / (weighted + 1 - counts.canary_share)
    above = float(betaincc(canary + 1, baseline + 1, null_share))
    if above <= 0.0:  # So much better that the chance of being worse is below the smallest float.
        return -math.inf
    mixture = float(betaln(canary + 1, baseline + 1)) + math.log(above) - math.log1p(-null_share)
    return mixture - canary * math.log(null_share) - baseline * math.log1p(-null_share)


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}; it lies between 0 and 1")


def _variance(count: int, mean: float, total_of_squares: float) -> float:
    variance = total_of_squares / count - mean**2
    if variance < -1e-9 * max(1.0, mean**2):
        raise ValueError(f"{count} values with mean {mean} cannot have the sum of squares {total_of_squares}")
    return max(0.0, variance)


def _tuning(alpha: float, tuned_for: int) -> float:
    budget = -2 * math.log(alpha)
    return math.sqrt((budget + math.log(budget) + 1) / tuned_for)


def _rate(errors: int, count: int) -> float | None:
    return errors / count if count else None
