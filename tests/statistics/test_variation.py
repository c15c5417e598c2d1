"""The reference's own windows set the bar where rows are not independent."""

import numpy as np
import pytest

from holdfast.profiles.build import build_profile
from holdfast.profiles.records import Profile
from holdfast.statistics.drift import compare_profiles
from holdfast.statistics.drift_decision import decide_drift
from holdfast.statistics.variation import reference_window_variation, upper_quantile

ROWS_A_DAY = 200


def days_of(rng: np.random.Generator, days: int, wander: float) -> list[dict[str, np.ndarray]]:
    """Days whose level wanders: inside of a day all rows share it, as with weather or demand."""
    frames = []
    for level in wander * rng.normal(size=days):
        values = rng.normal(level, 1.0, size=ROWS_A_DAY)
        kinds = np.where(values > 0.5, "high", "low")
        values = np.where(rng.random(ROWS_A_DAY) < 0.1 * abs(level), np.nan, values)
        frames.append({"x": values, "kind": kinds})
    return frames


def profiles_of(frames: list[dict[str, np.ndarray]]) -> tuple[Profile, list[Profile]]:
    baseline = build_profile({name: np.concatenate([frame[name] for frame in frames]) for name in frames[0]})
    return baseline, [build_profile(frame, pinned=baseline) for frame in frames]


def alarms(baseline: Profile, windows: list[Profile], **given: object) -> int:
    return sum(
        any(each.state == "drifting" for each in decide_drift(compare_profiles(baseline, window), **given))
        for window in windows
    )


def test_wandering_days_alarm_without_the_reference_and_hardly_with_it() -> None:
    rng = np.random.default_rng(0)
    baseline, days = profiles_of(days_of(rng, 120, wander=0.6))
    later = [build_profile(frame, pinned=baseline) for frame in days_of(rng, 60, wander=0.6)]
    variation = reference_window_variation(days)
    assert alarms(baseline, later) > 20
    assert alarms(baseline, later, reference_variation=variation) <= 3


def test_a_change_beyond_the_variation_is_still_found() -> None:
    rng = np.random.default_rng(1)
    baseline, days = profiles_of(days_of(rng, 60, wander=0.2))
    window = build_profile(
        {"x": rng.normal(1.5, 1.0, size=ROWS_A_DAY), "kind": np.full(ROWS_A_DAY, "high")}, pinned=baseline
    )
    variation = reference_window_variation(days)
    decisions = decide_drift(compare_profiles(baseline, window), reference_variation=variation)
    assert [each.state for each in decisions] == ["drifting", "drifting"]
    assert all(each.threshold > 0.02 for each in decisions)


def test_independent_rows_put_no_bar() -> None:
    rng = np.random.default_rng(2)
    baseline, days = profiles_of(days_of(rng, 60, wander=0.0))
    comparisons = {(each.column, each.aspect): each for each in compare_profiles(baseline, days[0])}
    for each in reference_window_variation(days):
        if (each.column, each.aspect) in comparisons:
            assert each.bound(comparisons[each.column, each.aspect]) == 0.0


def test_blocks_of_days_overlap_and_vary_less() -> None:
    rng = np.random.default_rng(3)
    _, days = profiles_of(days_of(rng, 70, wander=0.5))
    single = reference_window_variation(days)[0]
    weekly = reference_window_variation(days, block_length=7)[0]
    assert (single.windows, weekly.windows) == (70, 64)
    assert weekly.rows_per_window == pytest.approx(7 * single.rows_per_window, rel=0.01)
    assert weekly.effect < single.effect


def test_within_its_own_variation_is_said_so() -> None:
    rng = np.random.default_rng(4)
    baseline, days = profiles_of(days_of(rng, 120, wander=1.0))
    comparisons = compare_profiles(
        baseline, days[int(np.argmax([abs(day.column("x").mean) for day in days])) - 1]
    )
    decisions = decide_drift(comparisons, reference_variation=reference_window_variation(days))
    assert any("within the reference's own variation" in each.sentence for each in decisions)


def test_too_few_windows_are_refused() -> None:
    _, days = profiles_of(days_of(np.random.default_rng(5), 3, wander=0.0))
    with pytest.raises(ValueError, match="fewer than two blocks of 2"):
        reference_window_variation(days, block_length=2)
    with pytest.raises(ValueError, match="no values"):
        upper_quantile([], 0.9)


def test_the_quantile_covers_a_new_value() -> None:
    rng = np.random.default_rng(6)
    covered = [rng.normal() <= upper_quantile(rng.normal(size=19), 0.95) for _ in range(2000)]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)
