"""Drift is found where it is, and hardly ever where it is not, at every sample size."""

import msgspec
import numpy as np
import pytest

from holdfast.profiles.build import build_profile
from holdfast.profiles.records import Profile
from holdfast.statistics.drift import compare_profiles
from holdfast.statistics.drift_decision import DriftDecision, DriftRule, decide_drift

SHIFTED = frozenset(f"numeric-{number}" for number in range(8))


def a_frame(rng: np.random.Generator, rows: int, factor: float = 1.0) -> dict[str, np.ndarray]:
    """40 numeric columns, the first 8 of which may be shifted, and 10 categorical ones, as rows of no order."""
    frame: dict[str, np.ndarray] = {}
    for number in range(40):
        kind = number % 4 if number >= 8 else 0
        if kind == 0:
            values = rng.lognormal(sigma=0.6, size=rows) * (factor if number < 8 else 1.0)
        elif kind == 1:
            values = rng.normal(size=rows)
        elif kind == 2:
            values = rng.poisson(3, size=rows).astype(float)
        else:
            values = np.where(rng.random(rows) < 0.4, 0.0, rng.exponential(size=rows))
        if number % 5 == 4:
            values[rng.random(rows) < 0.03] = np.nan
        frame[f"numeric-{number}"] = values
    for number in range(10):
        shares = 1 / np.arange(1, 4 + 8 * number) ** 1.2
        frame[f"category-{number}"] = rng.choice(
            [f"c{code}" for code in range(shares.size)], size=rows, p=shares / shares.sum()
        )
    return frame


@pytest.fixture(scope="module")
def baseline() -> Profile:
    return build_profile(a_frame(np.random.default_rng(0), 50_000))


def decisions_on(baseline: Profile, frame: dict[str, np.ndarray]) -> list[DriftDecision]:
    return decide_drift(compare_profiles(baseline, build_profile(frame, pinned=baseline)))


@pytest.mark.parametrize("rows", [100, 500, 1000, 5000])
def test_false_alarms_are_rare_at_every_sample_size(baseline: Profile, rows: int) -> None:
    rng = np.random.default_rng(rows)
    drifting = [
        sum(each.state == "drifting" for each in decisions_on(baseline, a_frame(rng, rows)))
        for _ in range(12)
    ]
    assert np.mean(drifting) <= 0.1


def test_false_alarms_are_rare_against_a_small_reference() -> None:
    rng = np.random.default_rng(7)
    drifting = []
    for _ in range(12):
        small = build_profile(a_frame(rng, 5000))
        drifting.append(sum(each.state == "drifting" for each in decisions_on(small, a_frame(rng, 100))))
    assert np.mean(drifting) <= 0.1


@pytest.mark.parametrize(("rows", "found_at_least"), [(5000, 8.0), (1000, 4.7), (500, 1.6)])
def test_a_shift_of_a_tenth_is_found(baseline: Profile, rows: int, found_at_least: float) -> None:
    rng = np.random.default_rng(rows + 1)
    found = []
    for _ in range(5):
        decisions = decisions_on(baseline, a_frame(rng, rows, factor=1.1))
        drifting = {each.column for each in decisions if each.state == "drifting"}
        assert len(drifting - SHIFTED) <= 1
        found.append(len(drifting & SHIFTED))
    assert np.mean(found) >= found_at_least


def test_small_samples_say_that_they_are_small(baseline: Profile) -> None:
    decisions = decisions_on(baseline, a_frame(np.random.default_rng(3), 200))
    assert {each.state for each in decisions} == {"insufficient data"}
    assert all(each.minimum_detectable_effect > 0.1 for each in decisions)
    assert "would have been seen" in decisions[0].sentence
    few = decisions_on(baseline, a_frame(np.random.default_rng(3), 10))
    assert "at least 30 are needed" in few[0].sentence


def test_enough_rows_without_change_are_ok(baseline: Profile) -> None:
    decisions = decisions_on(baseline, a_frame(np.random.default_rng(4), 5000))
    assert {each.state for each in decisions} == {"ok"}
    assert all(each.minimum_detectable_effect <= 0.1 for each in decisions)


def simple(values: np.ndarray, pinned: Profile | None = None) -> Profile:
    return build_profile({"x": values}, pinned=pinned)


def test_missing_values_are_a_drift_of_their_own() -> None:
    rng = np.random.default_rng(5)
    reference = simple(rng.normal(size=20_000))
    values = rng.normal(size=2000)
    values[:300] = np.nan
    (decision,) = decide_drift(compare_profiles(reference, simple(values, reference)))
    assert (decision.state, decision.aspect, decision.effect) == ("drifting", "missing", 0.15)
    assert "missing or invalid values went from 0.0% to 15.0% of rows" in decision.sentence


def test_a_new_category_is_named() -> None:
    reference = build_profile({"shop": np.array(["a", "b"] * 5000)})
    window = build_profile({"shop": np.array(["a", "b", "b", "mars"] * 250)}, pinned=reference)
    (decision,) = decide_drift(compare_profiles(reference, window))
    assert decision.state == "drifting"
    assert "'mars'" in decision.sentence or "'a' went from 50.0% to 25.0%" in decision.sentence


def test_a_significant_trifle_is_ok_and_says_why() -> None:
    reference = simple(np.repeat([0.0, 1.0], 1_000_000))
    window = simple(np.repeat([0.0, 1.0], [990_000, 1_010_000]), reference)
    (decision,) = decide_drift(compare_profiles(reference, window))
    assert decision.p_adjusted < 1e-6
    assert decision.state == "ok" and decision.effect == pytest.approx(0.005)
    assert "changed too little to count" in decision.sentence


def test_identifiers_and_empty_columns_are_not_supported() -> None:
    names = np.array([f"id-{number}" for number in range(2000)])
    frame = {"id": names, "empty": np.full(2000, np.nan)}
    reference = build_profile(frame)
    decisions = {each.column: each for each in decide_drift(compare_profiles(reference, reference))}
    assert decisions["id"].state == "not supported" and "identifier" in decisions["id"].sentence
    # Its values cannot be compared, yet that all are missing can be, and still are.
    assert (decisions["empty"].state, decisions["empty"].aspect) == ("ok", "missing")


def test_thresholds_of_single_columns_rule() -> None:
    rng = np.random.default_rng(6)
    reference = simple(rng.normal(size=20_000))
    comparisons = compare_profiles(reference, simple(rng.normal(0.3, size=3000), reference))
    assert decide_drift(comparisons)[0].state == "drifting"
    assert decide_drift(comparisons, DriftRule(column_thresholds={"x": 0.3}))[0].state == "ok"


def test_measures_beside_the_effect_are_reported() -> None:
    rng = np.random.default_rng(8)
    reference = simple(rng.normal(10, 2, size=20_000))
    (comparison,) = compare_profiles(reference, simple(rng.normal(11, 2, size=5000), reference))
    assert comparison.mean_shift == pytest.approx(0.5, abs=0.06)
    assert comparison.population_stability_index == pytest.approx(0.25, abs=0.08)
    assert 0.1 < (comparison.jensen_shannon or 0.0) < 0.3


def test_a_decision_can_be_stored_as_evidence() -> None:
    reference = simple(np.full(50, 3.0))
    decisions = decide_drift(compare_profiles(reference, simple(np.full(50, 4.0), reference)))
    assert decisions[0].state == "drifting" and decisions[0].comparison.mean_shift is None
    assert msgspec.json.decode(msgspec.json.encode(decisions), type=list[DriftDecision]) == decisions


def test_unlike_profiles_and_wrong_rules_are_refused() -> None:
    first = simple(np.arange(100.0))
    with pytest.raises(ValueError, match="different bins"):
        compare_profiles(first, simple(np.arange(7.0)))
    with pytest.raises(ValueError, match="columns differ"):
        compare_profiles(first, Profile())
    with pytest.raises(ValueError, match="share of rows"):
        DriftRule(column_thresholds={"x": 3.0})
    with pytest.raises(ValueError, match="alpha is 0"):
        DriftRule(alpha=0)


def test_no_column_is_no_decision() -> None:
    assert decide_drift(compare_profiles(Profile(), Profile())) == []
