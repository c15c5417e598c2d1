"""Looking at every tick keeps the promised error, and finds a bad canary early."""

import numpy as np
import pytest

from holdfast.statistics.sequential import (
    ErrorCounts,
    asymptotic_confidence_sequence,
    compare_error_rates,
    log_error_rate_e_value,
)

CANARY_SHARE = 0.1


def canary_requests_until_alarm(
    rng: np.random.Generator, canary_rate: float, baseline_rate: float, requests: int, peeks: int
) -> float:
    """Canary requests at the first alarm among evenly spaced looks; infinite when there is none."""
    canary = rng.random(requests) < CANARY_SHARE
    errors = rng.random(requests) < np.where(canary, canary_rate, baseline_rate)
    looks = np.linspace(requests / peeks, requests, peeks).astype(int)
    canary_counts, canary_errors = canary.cumsum(), (canary & errors).cumsum()
    baseline_errors = errors.cumsum() - canary_errors
    for look in looks:
        counts = ErrorCounts(
            canary_errors=int(canary_errors[look - 1]),
            canary_count=int(canary_counts[look - 1]),
            baseline_errors=int(baseline_errors[look - 1]),
            baseline_count=int(look - canary_counts[look - 1]),
            canary_share=CANARY_SHARE,
        )
        if compare_error_rates([counts]).worse:
            return float(counts.canary_count)
    return np.inf


@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_sixty_looks_at_equal_error_rates_rarely_alarm(rate: float) -> None:
    rng = np.random.default_rng(0)
    alarms = [canary_requests_until_alarm(rng, rate, rate, 6000, 60) < np.inf for _ in range(400)]
    assert np.mean(alarms) <= 0.025


def test_one_percent_to_five_is_found_within_250_canary_requests() -> None:
    rng = np.random.default_rng(1)
    found = [canary_requests_until_alarm(rng, 0.05, 0.01, 10_000, 200) for _ in range(150)]
    assert np.median(found) <= 250
    assert np.isfinite(found).all()


def test_a_better_canary_never_alarms_and_a_tolerated_one_rarely() -> None:
    rng = np.random.default_rng(2)
    assert all(canary_requests_until_alarm(rng, 0.001, 0.05, 4000, 40) == np.inf for _ in range(50))
    twice = ErrorCounts(60, 1000, 270, 9000, CANARY_SHARE)
    assert compare_error_rates([twice]).worse
    assert not compare_error_rates([twice], tolerated_ratio=2.0).worse


def test_segments_multiply_and_nothing_is_no_evidence() -> None:
    first, second = ErrorCounts(9, 100, 10, 900, 0.1), ErrorCounts(15, 250, 12, 750, 0.25)
    together = compare_error_rates([first, second])
    assert np.log(together.e_value) == pytest.approx(
        log_error_rate_e_value(first) + log_error_rate_e_value(second)
    )
    assert together.p_value == pytest.approx(1 / together.e_value)
    nothing = compare_error_rates([])
    assert (nothing.e_value, nothing.worse, nothing.canary_rate) == (1.0, False, None)


def test_overwhelming_evidence_on_either_side_stays_finite() -> None:
    bad = compare_error_rates([ErrorCounts(100_000, 100_000, 0, 900_000, 0.1)])
    good = compare_error_rates([ErrorCounts(0, 100_000, 500_000, 900_000, 0.1)])
    assert bad.worse and np.isfinite(bad.e_value) and bad.p_value == 0.0
    assert not good.worse and (good.e_value, good.p_value) == (0.0, 1.0)


def test_the_confidence_sequence_covers_at_all_times_at_once() -> None:
    rng = np.random.default_rng(3)
    counts = np.arange(30, 2001, 10)
    covered = 0
    for _ in range(200):
        values = rng.exponential(size=2000) - 1.0
        sums, squares = values.cumsum(), (values**2).cumsum()
        intervals = [
            asymptotic_confidence_sequence(int(n), float(sums[n - 1]), float(squares[n - 1])) for n in counts
        ]
        covered += not any(each is None or each.excludes(0.0) for each in intervals)
    assert covered / 200 >= 0.92


def test_the_confidence_sequence_finds_a_difference_and_narrows() -> None:
    values = np.random.default_rng(4).normal(-0.3, 1.0, size=3000)
    short, long = (
        asymptotic_confidence_sequence(n, float(values[:n].sum()), float((values[:n] ** 2).sum()))
        for n in (100, 3000)
    )
    assert short is not None and long is not None
    assert long.upper < 0 and long.upper - long.lower < short.upper - short.lower


def test_few_values_say_nothing_and_impossible_sums_are_refused() -> None:
    assert asymptotic_confidence_sequence(29, 1.0, 30.0) is None
    with pytest.raises(ValueError, match="cannot have the sum of squares"):
        asymptotic_confidence_sequence(100, 100.0, 10.0)
    with pytest.raises(ValueError, match="without a baseline"):
        ErrorCounts(1, 10, 0, 0, 1.0)
    with pytest.raises(ValueError, match="11 errors in 10 requests"):
        ErrorCounts(11, 10, 0, 10, 0.5)
    with pytest.raises(ValueError, match="alpha is 5"):
        compare_error_rates([], alpha=5)
