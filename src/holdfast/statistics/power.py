"""What a comparison of these sizes could have seen: the smallest effect found with the stated power."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist
from typing import Literal

Measure = Literal[
    "kolmogorov_smirnov",
    "total_variation",
    "share_difference",
    "mean_shift",
    "population_stability_index",
    "jensen_shannon",
]
MEASURES: tuple[Measure, ...] = (
    "kolmogorov_smirnov",
    "total_variation",
    "share_difference",
    "mean_shift",
    "population_stability_index",
    "jensen_shannon",
)


def minimum_detectable_effect(
    n_reference: int,
    n_current: int,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    measure: Measure = "kolmogorov_smirnov",
    cells: int = 2,
    share: float = 0.0,
) -> float:
    """Smallest true effect that a test at level `alpha` finds with probability `power`, in the measure's unit.

    `cells` (bins or categories) is used by the measures that rest on χ², `share` (of the reference) by
    `share_difference`. Distances and shares of rows are capped at 1: nothing would have been seen. The distance
    measures are on the safe side: any change of this size is seen, wherever it lies (for Kolmogorov-Smirnov
    Massey 1950; by Cauchy-Schwarz for total variation). Infinite without rows; ValueError for levels outside
    0..1 and unknown measures.

    >>> round(minimum_detectable_effect(100_000, 1_000), 3)
    0.057
    >>> round(minimum_detectable_effect(100_000, 1_000, measure="share_difference", share=0.01), 4)
    0.0134
    """
    _check_levels(alpha, power)
    # Half the harmonic mean of the two sizes, as `significance.effective_count`, without the cost of an array.
    size = n_reference * n_current / max(n_reference + n_current, 1)
    if measure == "kolmogorov_smirnov":
        return _smallest_ks(size, alpha, power)
    if measure == "share_difference":
        return _smallest_share_difference(n_reference, n_current, alpha, power, share)
    if measure == "mean_shift":
        return _standard_scores(alpha, power) / math.sqrt(size) if size else math.inf
    squared = noncentrality(alpha, power, max(cells - 1, 1)) / size if size else math.inf
    if measure == "total_variation":
        return min(1.0, math.sqrt(squared) / 2)
    if measure == "population_stability_index":
        return squared
    if measure == "jensen_shannon":
        return min(1.0, math.sqrt(squared / (8 * math.log(2))))
    raise ValueError(f"unknown measure {measure!r}; valid: {', '.join(MEASURES)}")


@lru_cache(maxsize=4096)
def noncentrality(alpha: float, power: float, degrees_of_freedom: int) -> float:
    """Noncentrality at which a χ² test at level `alpha` has this power (Cohen 1988).

    >>> round(noncentrality(0.05, 0.8, 1), 2)
    7.85
    """
    from scipy.special import chdtri, chndtrinc

    critical = float(chdtri(degrees_of_freedom, alpha))
    return float(chndtrinc(critical, degrees_of_freedom, 1.0 - power))


def kolmogorov_critical(alpha: float) -> float:
    """Value that √n times the Kolmogorov-Smirnov distance exceeds with probability at most `alpha`.

    >>> round(kolmogorov_critical(0.05), 3)
    1.358
    """
    return math.sqrt(-math.log(alpha / 2) / 2)


@lru_cache(maxsize=4096)
def normal_quantile(probability: float) -> float:
    """Quantile of the standard normal distribution.

    >>> round(normal_quantile(0.975), 2)
    1.96
    """
    return NormalDist().inv_cdf(probability)


def _check_levels(alpha: float, power: float) -> None:
    if not (0 < alpha < 1 and 0 < power < 1):
        raise ValueError(f"alpha is {alpha} and power {power}; both lie between 0 and 1")


def _standard_scores(alpha: float, power: float) -> float:
    return normal_quantile(1 - alpha / 2) + normal_quantile(power)


def _smallest_ks(size: float, alpha: float, power: float) -> float:
    if not size:
        return 1.0
    # At the place of the largest gap the estimate has a standard error of at most 1 / (2 √n).
    return min(1.0, (kolmogorov_critical(alpha) + normal_quantile(power) / 2) / math.sqrt(size))


def _smallest_share_difference(
    n_reference: int, n_current: int, alpha: float, power: float, share: float
) -> float:
    if not n_reference or not n_current:
        return 1.0
    difference = 0.0
    # The variance depends on the share that is reached, hence on the answer; this contracts within a few steps.
    for _ in range(20):
        reached = min(1.0, share + difference)
        variance = share * (1 - share) / n_reference + reached * (1 - reached) / n_current
        variance = max(variance, 1.0 / n_current**2)
        difference = min(1.0, _standard_scores(alpha, power) * math.sqrt(variance))
    return difference
