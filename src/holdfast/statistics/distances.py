"""Distances between two distributions, from their counts in the same cells.

Every function takes counts of shape `(..., cells)` and gives distances of shape `(...)`: many columns are
compared in one call, padded with empty cells, which change no distance. Where one side has no rows at all there
is no distance and the result is 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64] | npt.NDArray[np.float64]
FloatArray = npt.NDArray[np.float64]


def shares(counts: Counts) -> FloatArray:
    """Each cell's share of the total, 0 where the total is 0.

    >>> shares(np.array([1, 3])).tolist()
    [0.25, 0.75]
    """
    total = counts.sum(axis=-1, keepdims=True)
    result: FloatArray = counts / np.maximum(total, 1)
    return result


def cumulative_gaps(reference: Counts, current: Counts) -> FloatArray:
    """Share of the current rows at or below each cell less the same share of the reference, `(..., cells)`.

    >>> cumulative_gaps(np.array([2, 2]), np.array([4, 0])).tolist()
    [0.5, 0.0]
    """
    both = _where_both(reference, current)[..., None]
    return np.asarray(np.where(both, _cumulative_shares(current) - _cumulative_shares(reference), 0.0))


def kolmogorov_smirnov_distance(reference: Counts, current: Counts) -> FloatArray:
    """Largest gap between the two cumulative distributions at the edges of ordered cells; from 0 to 1.

    It says how many rows, as a share, lie on the other side of one value. On binned data it is a lower bound of
    the distance of the raw values (Kolmogorov 1933, Smirnov 1939).

    >>> float(kolmogorov_smirnov_distance(np.array([2, 2]), np.array([4, 0])))
    0.5
    """
    return np.asarray(np.abs(cumulative_gaps(reference, current)).max(axis=-1))


def total_variation_distance(reference: Counts, current: Counts) -> FloatArray:
    """Share of rows that would have to change cell to make the two alike; from 0 to 1, cells in any order.

    >>> float(total_variation_distance(np.array([2, 2, 0]), np.array([1, 1, 2])))
    0.5
    """
    both = _where_both(reference, current)
    gap = np.abs(shares(reference) - shares(current)).sum(axis=-1) / 2
    return np.asarray(np.where(both, gap, 0.0))


def population_stability_index(
    reference: Counts, current: Counts, cells: npt.NDArray[Any] | int | None = None
) -> FloatArray:
    """Symmetric Kullback-Leibler divergence, in nats: the PSI of credit scoring (0.1 is read as some change).

    Half a row is added to every cell (Krichevsky, Trofimov 1981), so that an empty cell gives a large finite
    value. `cells` is the number of real cells of each row, shape `(...)`, when rows are padded; all by default.

    >>> round(float(population_stability_index(np.array([50, 50]), np.array([80, 20]))), 3)
    0.406
    """
    width = reference.shape[-1]
    real = np.arange(width) < np.asarray(width if cells is None else cells)[..., None]
    first = np.where(real, _smoothed(reference, real), 1.0)
    second = np.where(real, _smoothed(current, real), 1.0)
    divergence = ((second - first) * np.log(second / first)).sum(axis=-1)
    return np.asarray(np.where(_where_both(reference, current), divergence, 0.0))


def jensen_shannon_distance(reference: Counts, current: Counts) -> FloatArray:
    """Square root of the Jensen-Shannon divergence in bits: a metric from 0 to 1 (Endres, Schindelin 2003).

    >>> float(jensen_shannon_distance(np.array([1, 0]), np.array([0, 1])))
    1.0
    """
    first, second = shares(reference), shares(current)
    middle = (first + second) / 2
    divergence = (_relative_entropy(first, middle) + _relative_entropy(second, middle)) / 2
    bounded = np.sqrt(np.clip(divergence, 0.0, 1.0))
    return np.asarray(np.where(_where_both(reference, current), bounded, 0.0))


def normalized_mean_shift(reference_mean: float, reference_deviation: float, current_mean: float) -> float:
    """Move of the mean in standard deviations of the reference (Glass 1976).

    A constant reference has no deviation to measure by: the result is then 0 or infinite.

    >>> normalized_mean_shift(10.0, 2.0, 11.0)
    0.5
    """
    shift = current_mean - reference_mean
    if shift == 0.0:
        return 0.0
    if reference_deviation == 0.0:
        return float(np.copysign(np.inf, shift))
    return shift / reference_deviation


def _where_both(reference: Counts, current: Counts) -> npt.NDArray[np.bool_]:
    if reference.shape[-1] != current.shape[-1]:
        raise ValueError(
            f"the reference has {reference.shape[-1]} cells and the current counts {current.shape[-1]}; "
            "count both in the same cells"
        )
    return np.asarray((reference.sum(axis=-1) > 0) & (current.sum(axis=-1) > 0))


def _cumulative_shares(counts: Counts) -> FloatArray:
    # Whole numbers are summed before the division, so that equal distributions differ by exactly 0.
    running = counts.cumsum(axis=-1)
    return np.asarray(running / np.maximum(running[..., -1:], 1))


def _smoothed(counts: Counts, real: npt.NDArray[np.bool_]) -> FloatArray:
    padded: FloatArray = counts + 0.5 * real
    return np.asarray(padded / padded.sum(axis=-1, keepdims=True))


def _relative_entropy(part: FloatArray, whole: FloatArray) -> FloatArray:
    positive = part > 0
    ratio = np.where(positive, part, 1.0) / np.where(positive, whole, 1.0)
    return np.asarray((part * np.log2(ratio)).sum(axis=-1))
