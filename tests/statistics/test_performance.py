"""A model is called degraded when it is, and not because its errors hang together."""

import msgspec
import numpy as np
import pytest

from holdfast.statistics.performance import (
    LossSummary,
    PerformanceComparison,
    compare_performance,
    effective_sample_size,
    summarize_losses,
)


def losses_of(rng: np.random.Generator, rows: int, correlation: float, factor: float = 1.0) -> np.ndarray:
    noise = rng.normal(size=rows) * np.sqrt(1 - correlation**2)
    series = np.empty(rows)
    series[0] = rng.normal()
    for row in range(1, rows):
        series[row] = correlation * series[row - 1] + noise[row]
    return factor * np.exp(0.5 * series)


def states(correlation: float, factor: float, repetitions: int = 80) -> list[str]:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(repetitions):
        reference = summarize_losses(losses_of(rng, 2000, correlation), np.arange(2000) // 24)
        current = summarize_losses(losses_of(rng, 500, correlation, factor), np.arange(500) // 24)
        found.append(compare_performance(reference, current).state)
    return found


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_unchanged_losses_are_rarely_called_degraded(correlation: float) -> None:
    assert states(correlation, 1.0).count("degraded") <= 2


def test_a_rise_of_thirty_percent_is_found() -> None:
    assert states(0.0, 1.3).count("degraded") == 80
    assert states(0.5, 1.3).count("degraded") >= 76


def test_dependent_errors_that_cannot_say_do_not_say_ok() -> None:
    assert states(0.9, 1.0).count("ok") <= 20


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.8])
def test_the_effective_size_gives_the_scatter_of_the_mean(correlation: float) -> None:
    rng = np.random.default_rng(1)
    series = [np.log(losses_of(rng, 1000, correlation)) for _ in range(150)]
    scatter = np.std([each.mean() for each in series])
    promised = np.mean([each.std() / np.sqrt(effective_sample_size(each)) for each in series])
    assert promised == pytest.approx(scatter, rel=0.25)


def test_blocks_see_what_neighbours_do_not() -> None:
    rng = np.random.default_rng(2)
    days = np.repeat(np.arange(40), 24)
    losses = np.abs(rng.normal(size=40 * 24)) + np.repeat(rng.random(40) < 0.5, 24) * 0.4
    assert summarize_losses(losses, days).effective_count < 0.5 * summarize_losses(losses).effective_count


def test_the_references_own_windows_set_a_bar() -> None:
    reference = LossSummary(count=4000, mean=40.0, standard_deviation=30.0, effective_count=4000.0)
    week = LossSummary(count=700, mean=50.0, standard_deviation=30.0, effective_count=700.0)
    assert compare_performance(reference, week).state == "degraded"
    found = compare_performance(reference, week, reference_windows=[30.0, 55.0, 38.0, 41.0, 36.0])
    assert (found.state, found.usual_maximum) == ("ok", 55.0)
    assert "within what the reference's own windows reach" in found.sentence
    assert compare_performance(reference, week, reference_windows=[30.0, 55.0]).state == "degraded"


def test_each_answer_says_what_it_rests_on() -> None:
    reference = LossSummary(count=4000, mean=40.0, standard_deviation=30.0, effective_count=4000.0)
    slight = LossSummary(count=40_000, mean=42.0, standard_deviation=30.0, effective_count=40_000.0)
    found = compare_performance(reference, slight)
    assert found.state == "ok" and "less than the 10.0% that counts" in found.sentence
    few = LossSummary(count=20, mean=42.0, standard_deviation=30.0, effective_count=20.0)
    found = compare_performance(reference, few)
    assert found.state == "insufficient data" and "would have been seen" in found.sentence
    assert (found.minimum_detectable_effect or 0.0) > 0.4
    for empty in (summarize_losses([]), summarize_losses([1.0])):
        found = compare_performance(reference, empty)
        assert found.state == "insufficient data" and "The window has" in found.sentence
        assert msgspec.json.decode(msgspec.json.encode(found), type=PerformanceComparison) == found


def test_a_perfect_reference_and_wrong_input() -> None:
    perfect = summarize_losses(np.zeros(100))
    found = compare_performance(perfect, summarize_losses(np.ones(100)))
    assert found.state == "insufficient data" and "reference is 0" in found.sentence
    with pytest.raises(ValueError, match="at least 0"):
        compare_performance(LossSummary(3, -1.0, 1.0, 3.0), perfect)
    with pytest.raises(ValueError, match="finite numbers"):
        summarize_losses([1.0, np.nan])
    with pytest.raises(ValueError, match="name the block of each row"):
        summarize_losses([1.0, 2.0, 3.0], ["a"])
