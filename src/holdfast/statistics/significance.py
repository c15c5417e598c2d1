"""P-values of two-sample tests from counts, and their adjustment for many tests.

All are two-sided and assume independent rows. Where rows are not independent (time series), a p-value alone must
not raise an alarm; `drift_decision` asks for more.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from holdfast.statistics.distances import Counts, kolmogorov_smirnov_distance

FloatArray = npt.NDArray[np.float64]

KOLMOGOROV_TERMS = 20
SMALLEST_EXPECTED = 5.0
SMALLEST_EXPECTED_FOR_NORMAL = 10.0


def effective_count(n_reference: npt.ArrayLike, n_current: npt.ArrayLike) -> FloatArray:
    """Size of the one sample that compares as precisely as these two: half the harmonic mean.

    >>> float(effective_count(100, 100)), float(effective_count(0, 5))
    (50.0, 0.0)
    """
    first = np.asarray(n_reference, dtype=np.float64)
    second = np.asarray(n_current, dtype=np.float64)
    return np.asarray(first * second / np.maximum(first + second, 1.0))


def kolmogorov_survival(values: npt.ArrayLike) -> FloatArray:
    """Probability that Kolmogorov's limit distribution exceeds each value (Kolmogorov 1933).

    >>> round(float(kolmogorov_survival(1.3581)), 4)
    0.05
    """
    positive = np.asarray(values, dtype=np.float64)[..., None]
    terms = np.arange(1, KOLMOGOROV_TERMS + 1)
    signs = np.where(terms % 2 == 1, 2.0, -2.0)
    series = (signs * np.exp(-2.0 * terms**2 * positive**2)).sum(axis=-1)
    # Below 0.2 the alternating series needs more terms and the probability differs from 1 by less than 1e-12.
    return np.asarray(np.where(positive[..., 0] < 0.2, 1.0, np.clip(series, 0.0, 1.0)))


def binned_ks_p_value(reference: Counts, current: Counts) -> FloatArray:
    """P-value of the two-sample Kolmogorov-Smirnov test on histograms `(..., bins)` with the same edges.

    The largest gap is taken over the edges only, so it can only be smaller than that of the raw values: the test
    stays valid and becomes conservative, hardly so with many bins and much so with two.

    >>> bool(binned_ks_p_value(np.array([50, 50]), np.array([80, 20])) < 0.01)
    True
    """
    size = effective_count(reference.sum(axis=-1), current.sum(axis=-1))
    return kolmogorov_survival(np.sqrt(size) * kolmogorov_smirnov_distance(reference, current))


def rank_sum_p_value(reference: Counts, current: Counts) -> FloatArray:
    """P-value of the Wilcoxon rank-sum test on histograms `(..., bins)`; rows of one bin are ties.

    With the variance corrected for ties it is exact about its error on any binning, and it finds a shift of
    location with far fewer rows than the Kolmogorov-Smirnov test (Wilcoxon 1945; Mann, Whitney 1947).

    >>> round(float(rank_sum_p_value(np.array([50, 50]), np.array([80, 20]))), 6)
    9e-06
    """
    from scipy.special import erfc

    together = (reference + current).astype(np.float64)
    n_reference, n_current = reference.sum(axis=-1), current.sum(axis=-1)
    total = together.sum(axis=-1)
    middle_ranks = together.cumsum(axis=-1) - together + (together + 1) / 2
    surplus = (current * middle_ranks).sum(axis=-1) - n_current * (total + 1) / 2
    ties = (together**3 - together).sum(axis=-1) / np.maximum(total * (total - 1), 1)
    variance = n_reference * (n_current / 12) * (total + 1 - ties)
    usable = variance > 0
    score = np.maximum(np.abs(surplus) - 0.5, 0.0) / np.sqrt(np.where(usable, variance, 1.0))
    return np.asarray(np.where(usable, erfc(score / np.sqrt(2.0)), 1.0))


def distribution_p_value(reference: Counts, current: Counts) -> FloatArray:
    """P-value that two histograms `(..., bins)` come from one distribution.

    Twice the smaller of the Kolmogorov-Smirnov and the rank-sum p-value (Bonferroni): the first sees any change
    of shape, the second sees a shift early.

    >>> float(distribution_p_value(np.array([5, 5]), np.array([5, 5])))
    1.0
    """
    smaller = np.minimum(binned_ks_p_value(reference, current), rank_sum_p_value(reference, current))
    return np.asarray(np.minimum(1.0, 2.0 * smaller))


def pool_rare(reference: Counts, current: Counts) -> tuple[Counts, Counts, tuple[int, int]]:
    """Split cells `(cells,)` into those that the χ² test can use and the sum of the rest.

    A cell is usable when both sides expect at least 5 rows in it (Cochran 1954). Returns the usable cells of
    both sides and (reference, current) counts of the others together.

    >>> pool_rare(np.array([60, 39, 1]), np.array([70, 30, 0]))[2]
    (1, 0)
    """
    together = reference + current
    total = max(int(together.sum()), 1)
    smaller_side = min(int(reference.sum()), int(current.sum()))
    usable = together * (smaller_side / total) >= SMALLEST_EXPECTED
    rest = (int(reference[~usable].sum()), int(current[~usable].sum()))
    return reference[usable], current[usable], rest


def homogeneity_p_value(reference: Counts, current: Counts) -> float:
    """P-value that two counts of categories `(cells,)` come from one distribution.

    Cells large enough are compared by the χ² test of homogeneity (Pearson 1900). The rare ones together, among
    them those never seen before, are compared by `share_p_value`, which is valid for rare events; they join the
    χ² test as one cell. With both tests in play the smaller p-value is doubled.

    >>> homogeneity_p_value(np.array([50, 50]), np.array([80, 20])) < 1e-4
    True
    """
    usable_reference, usable_current, rest = pool_rare(reference, current)
    n_reference, n_current = int(reference.sum()), int(current.sum())
    if not n_reference or not n_current:
        return 1.0
    if not sum(rest):
        return _chi_square_p_value(usable_reference, usable_current)
    rare = share_p_value(rest[0], n_reference, rest[1], n_current)
    pooled = np.append(usable_reference, rest[0]), np.append(usable_current, rest[1])
    small = sum(rest) * min(n_reference, n_current) / (n_reference + n_current) < SMALLEST_EXPECTED
    cells = (usable_reference, usable_current) if small else pooled
    if cells[0].size < 2:
        return rare
    return min(1.0, 2.0 * min(rare, _chi_square_p_value(*cells)))


def chi_square_survival(statistic: float, degrees_of_freedom: int) -> float:
    """Probability that χ² with these degrees of freedom exceeds the statistic.

    >>> round(chi_square_survival(3.841, 1), 3)
    0.05
    """
    from scipy.special import gammaincc

    return float(gammaincc(degrees_of_freedom / 2, statistic / 2))


def share_p_value(hits_reference: int, n_reference: int, hits_current: int, n_current: int) -> float:
    """P-value that two shares are equal.

    The usual test of two proportions where all four expected counts reach 10. Else the conditional test of rare
    events: given the total number of hits, those of the current side are binomial (Przyborowski, Wilenski 1940).
    Raises ValueError when there are more hits than rows.

    >>> share_p_value(0, 200_000, 1, 100) > 4e-4, share_p_value(10, 1000, 100, 1000) < 1e-10
    (True, True)
    """
    if not (0 <= hits_reference <= n_reference and 0 <= hits_current <= n_current):
        raise ValueError(
            f"hits exceed rows: {hits_reference} of {n_reference}, {hits_current} of {n_current}"
        )
    total, hits = n_reference + n_current, hits_reference + hits_current
    if not n_reference or not n_current or hits in (0, total):
        return 1.0
    if 2 * hits > total:  # Of the two complements, the rarer one is tested.
        hits_current, hits = n_current - hits_current, total - hits
    if hits * min(n_reference, n_current) / total >= SMALLEST_EXPECTED_FOR_NORMAL:
        return _two_proportions_p_value(hits_current, hits, n_reference, n_current)
    return _binomial_p_value(hits_current, hits, n_current / total)


def adjust_p_values(p_values: npt.ArrayLike) -> FloatArray:
    """P-values `(tests,)` adjusted so that rejecting those ≤ α keeps the false discovery rate at α.

    Source: Benjamini, Hochberg (1995), for independent or positively dependent tests.

    >>> adjust_p_values([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.04, 0.04]
    """
    values = np.asarray(p_values, dtype=np.float64)
    if values.size and not ((values >= 0) & (values <= 1)).all():
        raise ValueError("a p-value lies outside 0..1")
    order = np.argsort(values)[::-1]
    scaled = values[order] * values.size / np.arange(values.size, 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(scaled))
    return adjusted


def _chi_square_p_value(reference: npt.NDArray[Any], current: npt.NDArray[Any]) -> float:
    if reference.size < 2:
        return 1.0
    table = np.stack([reference, current]).astype(np.float64)
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    statistic = float(((table - expected) ** 2 / expected).sum())
    return chi_square_survival(statistic, reference.size - 1)


def _two_proportions_p_value(hits_current: int, hits: int, n_reference: int, n_current: int) -> float:
    total = n_reference + n_current
    expected = hits * n_current / total
    variance = expected * (1 - hits / total) * (n_reference / total)
    return math.erfc(abs(hits_current - expected) / math.sqrt(2.0 * variance))


def _binomial_p_value(hits_current: int, hits: int, chance: float) -> float:
    from scipy.special import bdtr, bdtrc

    at_most = float(bdtr(hits_current, hits, chance))
    at_least = float(bdtrc(hits_current - 1, hits, chance)) if hits_current else 1.0
    return min(1.0, 2.0 * min(at_most, at_least))
