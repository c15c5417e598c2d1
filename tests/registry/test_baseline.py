"""Baselines: what a version keeps of its training data for monitoring."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from holdfast.base.clock import DAY_US, HOUR_US
from holdfast.base.encoding import from_msgpack, to_msgpack
from holdfast.registry.baseline import LARGEST_DAYS, Baseline, build_baseline
from holdfast.registry.records import Signature, SignatureColumn

SIGNATURE = Signature(
    (
        SignatureColumn("temp", "float"),
        SignatureColumn("weather", "string", categories=("clear", "rain")),
        SignatureColumn("holiday", "boolean"),
        SignatureColumn("season", "string", view="calendar@1", categories=("winter", "summer")),
        SignatureColumn("rides_1h", "float", view="demand_history@1"),
    ),
    "regression",
    "cnt",
)


def build(days: int = 10, metric: str = "mae") -> Baseline:
    rng = np.random.default_rng(1)
    count = days * 24
    rows = pl.DataFrame(
        {
            "temp": rng.normal(size=count),
            "weather": rng.choice(["clear", "rain"], count),
            "holiday": rng.random(count) < 0.1,
            "season": rng.choice(["winter", "summer"], count),
            "rides_1h": np.where(np.arange(count) < 5, np.nan, 1.0),
            "label": rng.normal(size=count),
        }
    )
    at = np.arange(count) * HOUR_US
    late = at[-48:]
    outputs = np.linspace(0, 1, 48)
    return build_baseline(SIGNATURE, rows, at, late, outputs, outputs + 2.0, metric)


def test_it_profiles_the_columns_of_the_signature() -> None:
    baseline = build()
    assert [column.name for column in baseline.inputs.numeric] == ["temp", "rides_1h"]
    assert [column.name for column in baseline.inputs.categorical] == ["weather", "holiday", "season"]
    assert baseline.inputs.column("rides_1h").null_count == 5
    assert baseline.categories == {"season": ("winter", "summer")}
    assert baseline.prediction.column("prediction").count == 48


def test_its_days_add_up() -> None:
    baseline = build()
    assert len(baseline.input_days) == 10
    assert sum(day.row_count for day in baseline.input_days) == baseline.inputs.row_count == 240
    assert [day.row_count for day in baseline.prediction_days] == [24, 24]


def test_its_losses_are_those_held_out_by_day() -> None:
    losses = build().losses
    assert (losses.rows, losses.mean, losses.metric) == (48, pytest.approx(2.0), "mae")
    assert [(day.day_at, day.count) for day in losses.days] == [(8 * DAY_US, 24), (9 * DAY_US, 24)]
    assert sum(day.sum for day in losses.days) == pytest.approx(96.0)
    assert sum(day.sum_of_squares for day in losses.days) == pytest.approx(192.0)


def test_it_survives_the_blob_and_stays_small() -> None:
    baseline = build(days=500)
    stored = to_msgpack(baseline)
    assert from_msgpack(stored, Baseline) == baseline
    assert len(baseline.input_days) == LARGEST_DAYS
    assert len(stored) < 1_000_000


def test_a_metric_that_is_no_mean_of_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="not a mean over rows"):
        build(metric="r2")
