"""Checks on simulated windows: false alarms, detection, insufficient data, late labels."""

from __future__ import annotations

import math
from collections import Counter

import msgspec
import numpy as np
import pytest

from holdfast.base.clock import DAY_US
from holdfast.monitoring.losses import reference_window_means, summarize
from holdfast.monitoring.policy import Outcome, evaluate, window_bounds
from holdfast.monitoring.records import LossSums, MonitorPolicy, Window
from holdfast.monitoring.windows import _loss_sums
from holdfast.profiles.build import build_profile
from holdfast.registry.baseline import Baseline
from holdfast.statistics.performance import summarize_losses
from tests.monitoring.world import START, make_rows

POLICY = MonitorPolicy()


def day(
    baseline: Baseline,
    rng: np.random.Generator,
    number: int,
    *,
    rows: int = 200,
    shift: float = 0.0,
    loss: float = 2.0,
    output: float = 50.0,
    labelled: bool = True,
    missing: float = 0.0,
) -> Window:
    frame = make_rows(rng, rows, shift)
    if missing:
        holes = rng.random(rows) < missing
        frame = frame.with_columns(temp=np.where(holes, np.nan, frame["temp"].to_numpy()))
    return Window(
        version=1,
        day_at=START + number * DAY_US,
        rows=rows,
        requests=rows,
        metric="mae",
        losses=_loss_sums(rng.exponential(loss, rows)) if labelled else LossSums(),
        inputs=build_profile(frame, pinned=baseline.inputs),
        prediction=build_profile({"prediction": rng.normal(output, 10, rows)}, pinned=baseline.prediction),
    )


def checked(baseline: Baseline, windows: list[Window], on_day: int) -> dict[str, Outcome]:
    outcomes = evaluate(POLICY, baseline, windows, START + on_day * DAY_US)
    return {outcome.kind: outcome for outcome in outcomes}


def test_independent_traffic_raises_no_alarm_in_thirty_days(baseline: Baseline) -> None:
    rng = np.random.default_rng(1)
    windows = [day(baseline, rng, number) for number in range(37)]
    for now in range(7, 37):
        states = {kind: each.state for kind, each in checked(baseline, windows[:now], now).items()}
        assert states == {
            "input drift": "ok",
            "prediction drift": "ok",
            "data quality": "ok",
            "performance": "ok",
        }


def test_a_shifted_feature_is_found_and_named(baseline: Baseline) -> None:
    rng = np.random.default_rng(2)
    windows = [day(baseline, rng, number, shift=0.0 if number < 10 else 1.0) for number in range(14)]
    before = checked(baseline, windows[:10], 10)["input drift"]
    after = checked(baseline, windows, 14)["input drift"]
    assert before.state == "ok"
    assert after.state == "drifting"
    assert after.findings[0].subject == "temp" and after.message.startswith("temp is drifting")
    assert {finding.subject for finding in after.findings if finding.state == "drifting"} == {"temp"}
    assert after.findings[0].effect is not None and after.findings[0].effect > POLICY.effect


def test_a_small_shift_is_significant_but_no_alarm(baseline: Baseline) -> None:
    rng = np.random.default_rng(3)
    found = checked(baseline, [day(baseline, rng, number, shift=0.2, rows=2000) for number in range(7)], 7)
    temp = next(each for each in found["input drift"].findings if each.subject == "temp")
    assert temp.p_value is not None and temp.p_value < 0.001
    assert temp.state == "ok"


def test_the_training_datas_own_variation_is_no_drift(baseline: Baseline) -> None:
    """A world whose weeks differ by themselves, and whose next week differs as much."""
    rng = np.random.default_rng(4)
    weekly = rng.normal(0, 1.0, 18)
    frames = [make_rows(rng, 200, float(weekly[number // 7])) for number in range(120)]
    import polars as pl

    inputs = build_profile(pl.concat(frames))
    wavering = msgspec.structs.replace(
        baseline,
        inputs=inputs,
        input_days=tuple(build_profile(frame, pinned=inputs) for frame in frames),
    )
    windows = [day(wavering, rng, number, shift=1.2) for number in range(7)]
    assert checked(wavering, windows, 7)["input drift"].state == "ok"
    steady = msgspec.structs.replace(wavering, input_days=())
    assert checked(steady, windows, 7)["input drift"].state == "drifting"


def test_predictions_that_move_are_found(baseline: Baseline) -> None:
    rng = np.random.default_rng(5)
    found = checked(baseline, [day(baseline, rng, number, output=62.0) for number in range(7)], 7)
    assert found["prediction drift"].state == "drifting"
    assert found["input drift"].state == "ok"


def test_missing_values_are_a_matter_of_data_quality(baseline: Baseline) -> None:
    rng = np.random.default_rng(6)
    found = checked(baseline, [day(baseline, rng, number, missing=0.1) for number in range(7)], 7)
    quality = found["data quality"]
    assert quality.state == "violated"
    assert quality.findings[0].subject == "temp"
    assert quality.message.startswith("temp is missing or invalid in ")
    assert found["input drift"].state == "ok"


def test_new_categories_and_values_out_of_range_are_found(baseline: Baseline) -> None:
    rng = np.random.default_rng(7)
    rows = make_rows(rng, 1000)
    odd = rows.with_columns(
        weather=np.where(rng.random(1000) < 0.1, "hail", rows["weather"].to_numpy()),
        wind=np.where(rng.random(1000) < 0.2, 1e6, rows["wind"].to_numpy()),
    )
    window = msgspec.structs.replace(
        day(baseline, rng, 0), rows=1000, inputs=build_profile(odd, pinned=baseline.inputs)
    )
    faults = {
        (finding.subject, finding.detail["fault"])
        for finding in checked(baseline, [window], 1)["data quality"].findings
        if finding.state == "violated"
    }
    assert faults == {("weather", "new categories"), ("wind", "outside range")}


def test_rejected_requests_are_found(baseline: Baseline) -> None:
    rng = np.random.default_rng(8)
    windows = [day(baseline, rng, number) for number in range(7)]
    refused = Window(0, START + 3 * DAY_US, rejected={"invalid_field": 100})
    quality = checked(baseline, [*windows, refused], 7)["data quality"]
    assert quality.state == "violated" and "100 of 1500 requests (6.7%) were rejected" in quality.message


def test_a_worse_model_is_found_by_its_labels(baseline: Baseline) -> None:
    rng = np.random.default_rng(9)
    found = checked(baseline, [day(baseline, rng, number, loss=2.6) for number in range(7)], 7)["performance"]
    assert found.state == "degraded"
    assert found.rows == 1400 and found.message.startswith("mae: Mean loss rose by ")
    (finding,) = found.findings
    assert finding.interval is not None and finding.interval[0] < 0.3 < finding.interval[1]


def test_labels_that_come_late_move_the_window_back(baseline: Baseline) -> None:
    rng = np.random.default_rng(10)
    windows = [day(baseline, rng, number, loss=2.6, labelled=number < 10) for number in range(17)]
    found = checked(baseline, windows, 17)["performance"]
    assert found.state == "degraded"
    assert (found.window_from_at, found.window_until_at) == (START + 3 * DAY_US, START + 10 * DAY_US)


def test_little_data_is_said_to_be_little(baseline: Baseline) -> None:
    rng = np.random.default_rng(11)
    found = checked(baseline, [day(baseline, rng, 0, rows=40, shift=5.0, loss=9.0)], 1)
    assert Counter(each.state for each in found.values()) == {"insufficient data": 4}
    drift = found["input drift"].findings[0]
    assert drift.message.startswith("40 rows of the 100 needed; only a change of ")
    assert drift.minimum_detectable_effect is not None and 0.2 < drift.minimum_detectable_effect < 1
    assert found["performance"].message.startswith("40 labels of the 100 needed")


def test_no_data_at_all_is_insufficient(baseline: Baseline) -> None:
    found = checked(baseline, [], 1)
    assert Counter(each.state for each in found.values()) == {"insufficient data": 4}


def test_performance_needs_a_loss_to_compare_with(baseline: Baseline) -> None:
    perfect = msgspec.structs.replace(baseline, losses=msgspec.structs.replace(baseline.losses, mean=0.0))
    found = checked(perfect, [day(perfect, np.random.default_rng(12), 0)], 1)["performance"]
    assert found.state == "not supported" and "the held-out mae was 0" in found.message


def test_windows_are_whole_days() -> None:
    assert window_bounds(POLICY, 10 * DAY_US) == (3 * DAY_US, 10 * DAY_US)
    assert window_bounds(POLICY, 10 * DAY_US + 1) == (4 * DAY_US, 11 * DAY_US)
    hourly = MonitorPolicy(window_us=DAY_US // 24)
    assert window_bounds(hourly, 10 * DAY_US) == (9 * DAY_US, 10 * DAY_US)


@pytest.mark.parametrize("days", [1, 5, 20])
def test_losses_from_sums_agree_with_losses_from_rows(days: int) -> None:
    rng = np.random.default_rng(13)
    noise = rng.normal(size=days * 48)
    for position in range(1, noise.size):
        noise[position] += 0.6 * noise[position - 1]
    losses = np.abs(noise).reshape(days, 48)
    from_sums = summarize([_loss_sums(each) for each in losses])
    from_rows = summarize_losses(losses.ravel(), np.repeat(np.arange(days), 48))
    assert from_sums.count == from_rows.count
    assert from_sums.mean == pytest.approx(from_rows.mean)
    assert from_sums.standard_deviation == pytest.approx(from_rows.standard_deviation)
    # Only the pairs of rows across midnight are left out.
    assert math.isclose(from_sums.effective_count, from_rows.effective_count, rel_tol=0.1)
    assert from_sums.effective_count < from_sums.count


def test_reference_windows_are_runs_of_held_out_days(baseline: Baseline) -> None:
    means = reference_window_means(baseline.losses, 7 * DAY_US)
    assert len(means) == 24 - 7 + 1
    assert means == pytest.approx([2.0] * len(means), rel=0.15)
