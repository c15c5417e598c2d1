"""Intervals agree with scipy and cover the truth as often as they promise."""

import numpy as np
import pytest
from scipy import stats

from holdfast.statistics.intervals import (
    block_bootstrap_mean_difference,
    block_bootstrap_ratio,
    mean_interval,
    wilson_interval,
)


def wandering(rng: np.random.Generator, days: int, correlation: float = 0.6) -> np.ndarray:
    noise = rng.normal(size=days) * np.sqrt(1 - correlation**2)
    series = np.empty(days)
    series[0] = rng.normal()
    for day in range(1, days):
        series[day] = correlation * series[day - 1] + noise[day]
    return series


def test_mean_interval_is_students() -> None:
    interval = mean_interval(3.0, 1.5, 20, 0.9)
    assert (interval.lower, interval.upper) == pytest.approx(
        stats.t.interval(0.9, 19, 3.0, 1.5 / np.sqrt(20))
    )


@pytest.mark.parametrize(("hits", "count"), [(0, 10), (3, 10), (10, 10), (500, 1000)])
def test_wilson_interval_is_scipys(hits: int, count: int) -> None:
    expected = stats.binomtest(hits, count).proportion_ci(0.95, method="wilson")
    interval = wilson_interval(hits, count)
    assert (interval.lower, interval.upper) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_the_ratio_of_dependent_days_is_covered() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(120):
        shared = wandering(rng, 400)
        numerators = 8 + shared + 0.5 * wandering(rng, 400)
        denominators = 10 + shared + 0.5 * wandering(rng, 400)
        interval = block_bootstrap_ratio(numerators, denominators, block_length=14, resamples=300, rng=rng)
        covered += not interval.excludes(0.8)
    assert 0.86 <= covered / 120 <= 1.0


def test_blocks_widen_the_interval_of_dependent_days() -> None:
    series = wandering(np.random.default_rng(1), 500, 0.8)
    widths = []
    for length in (1, 20):
        interval = block_bootstrap_mean_difference(
            series, np.zeros(500), block_length=length, rng=np.random.default_rng(2)
        )
        widths.append(interval.upper - interval.lower)
    assert widths[1] > 1.8 * widths[0]


def test_the_same_seed_gives_the_same_interval() -> None:
    first, second = np.arange(1.0, 41.0), np.arange(2.0, 42.0)
    one, other = (
        block_bootstrap_ratio(first, second, block_length=5, rng=np.random.default_rng(3)) for _ in range(2)
    )
    assert one == other and one.lower <= one.estimate <= one.upper


@pytest.mark.parametrize(
    ("numerators", "denominators", "length", "message"),
    [
        ([1.0] * 9, [1.0] * 8, 2, "same days"),
        ([1.0, np.nan] * 5, [1.0] * 10, 2, "NaN or infinity"),
        ([1.0] * 10, [1.0] * 10, 6, "at least two blocks"),
        ([1.0] * 10, [0.0] * 10, 2, "positive mean"),
    ],
)
def test_wrong_series_are_refused(numerators, denominators, length: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        block_bootstrap_ratio(numerators, denominators, block_length=length, rng=np.random.default_rng(0))


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 values"):
        mean_interval(1.0, 1.0, 1)
    with pytest.raises(ValueError, match="is not a share"):
        wilson_interval(3, 2)
    with pytest.raises(ValueError, match="confidence is 95"):
        wilson_interval(1, 2, 95)
