"""Confidence intervals at one point in time, for independent values and for series of days.

For intervals that may be looked at again and again while data arrives, see `sequential`.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
import numpy.typing as npt

from holdfast.statistics.power import normal_quantile

FloatArray = npt.NDArray[np.float64]


class Interval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An estimate and the bounds that hold the truth with probability `confidence`, in the estimate's unit.

    >>> Interval(estimate=0.8, lower=0.7, upper=0.9, confidence=0.95).excludes(1.0)
    True
    """

    estimate: float
    lower: float
    upper: float
    confidence: float

    def excludes(self, value: float) -> bool:
        """Whether the value lies outside of the bounds."""
        return not self.lower <= value <= self.upper


def mean_interval(mean: float, standard_deviation: float, count: float, confidence: float = 0.95) -> Interval:
    """Interval of a mean from the sample standard deviation of `count` independent values (Student 1908).

    `count` may be an effective sample size and need not be whole. ValueError below 2.

    >>> interval = mean_interval(10.0, 2.0, 16)
    >>> round(interval.lower, 3), round(interval.upper, 3)
    (8.934, 11.066)
    """
    from scipy.special import stdtrit

    if count < 2:
        raise ValueError(f"count is {count}; the interval of a mean needs at least 2 values")
    quantile = float(stdtrit(count - 1, (1 + _checked(confidence)) / 2))
    margin = quantile * standard_deviation / math.sqrt(count)
    return Interval(estimate=mean, lower=mean - margin, upper=mean + margin, confidence=confidence)


def wilson_interval(hits: int, count: int, confidence: float = 0.95) -> Interval:
    """Interval of a share from `hits` among `count` independent rows; sound for few hits too (Wilson 1927).

    ValueError without rows or with more hits than rows.

    >>> interval = wilson_interval(0, 100)
    >>> interval.lower, round(interval.upper, 4)
    (0.0, 0.037)
    """
    if not (count > 0 and 0 <= hits <= count):
        raise ValueError(f"{hits} hits among {count} rows is not a share")
    squared = normal_quantile((1 + _checked(confidence)) / 2) ** 2
    share = hits / count
    centre = (share + squared / (2 * count)) / (1 + squared / count)
    variance = share * (1 - share) / count + squared / (4 * count**2)
    margin = math.sqrt(squared * variance) / (1 + squared / count)
    lower = 0.0 if hits == 0 else centre - margin
    upper = 1.0 if hits == count else centre + margin
    return Interval(estimate=share, lower=lower, upper=upper, confidence=confidence)


def block_bootstrap_ratio(
    numerators_by_day: npt.ArrayLike,
    denominators_by_day: npt.ArrayLike,
    *,
    block_length: int,
    rng: np.random.Generator,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> Interval:
    """Interval of a ratio of means of two series `(days,)` that belong together day by day.

    Runs of `block_length` days are drawn together, the same days for both series, so that the dependence between
    neighbouring days and between the series is kept: the moving-block bootstrap (Künsch 1989) with percentile
    bounds. Give sums by day, as of absolute errors, to weigh each row alike; means by day weigh each day alike.
    ValueError for series of different length, values that are not finite, fewer than two blocks, or a mean of
    the denominators that is not positive.

    >>> champion, never = [8.0, 9.0, 8.0, 7.0] * 10, [10.0, 11.0, 10.0, 12.0] * 10
    >>> interval = block_bootstrap_ratio(champion, never, block_length=7, rng=np.random.default_rng(0))
    >>> round(interval.estimate, 3), interval.excludes(1.0)
    (0.744, True)
    """
    numerators, denominators = _paired_series(numerators_by_day, denominators_by_day)
    if denominators.mean() <= 0:
        raise ValueError("the denominators must have a positive mean")
    days = _block_resamples(numerators.size, block_length, resamples, rng)
    below = denominators[days].sum(axis=1)
    # Days without any denominator can fill a whole resample; its ratio says nothing.
    ratios = numerators[days].sum(axis=1)[below > 0] / below[below > 0]
    return _percentile_interval(float(numerators.mean() / denominators.mean()), ratios, confidence)


def block_bootstrap_mean_difference(
    first_by_day: npt.ArrayLike,
    second_by_day: npt.ArrayLike,
    *,
    block_length: int,
    rng: np.random.Generator,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> Interval:
    """Interval of the mean of first minus second, two series `(days,)` that belong together day by day.

    The method and the errors are those of `block_bootstrap_ratio`.

    >>> interval = block_bootstrap_mean_difference([3.0, 4.0] * 10, [1.0, 3.0] * 10, block_length=2,
    ...     rng=np.random.default_rng(0))
    >>> interval.estimate, interval.excludes(0.0)
    (1.5, True)
    """
    first, second = _paired_series(first_by_day, second_by_day)
    difference = first - second
    days = _block_resamples(difference.size, block_length, resamples, rng)
    return _percentile_interval(float(difference.mean()), difference[days].mean(axis=1), confidence)


def _checked(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; it lies between 0 and 1")
    return confidence


def _paired_series(first: npt.ArrayLike, second: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.ndim != 1 or one.shape != other.shape:
        raise ValueError(
            f"two series of the same days are needed, not of shapes {one.shape} and {other.shape}"
        )
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise ValueError("a series holds NaN or infinity; leave such days out of both")
    return one, other


def _block_resamples(
    days: int, block_length: int, resamples: int, rng: np.random.Generator
) -> npt.NDArray[np.intp]:
    """Indices `(resamples, days)` of days, drawn in runs of `block_length`."""
    if block_length < 1 or resamples < 1 or days < 2 * block_length:
        raise ValueError(
            f"{days} days, blocks of {block_length} and {resamples} resamples: at least two blocks of at least "
            "one day and one resample are needed"
        )
    blocks = math.ceil(days / block_length)
    starts = rng.integers(0, days - block_length + 1, size=(resamples, blocks, 1))
    indices: npt.NDArray[np.intp] = (starts + np.arange(block_length)).reshape(resamples, -1)[:, :days]
    return indices


def _percentile_interval(estimate: float, values: FloatArray, confidence: float) -> Interval:
    tail = (1 - _checked(confidence)) / 2
    lower, upper = np.quantile(values, [tail, 1 - tail])
    return Interval(estimate=estimate, lower=float(lower), upper=float(upper), confidence=confidence)
