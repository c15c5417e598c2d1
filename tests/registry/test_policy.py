"""Gates: what passes, what fails, and when the rows cannot say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from holdfast.base.errors import DeclarationError
from holdfast.registry.policy import check_gate, evaluate_gate
from holdfast.registry.records import GateSpec

GENERATOR = np.random.default_rng(3)
Y = 100 + 30 * GENERATOR.normal(size=2000)
GOOD = Y + GENERATOR.choice([-1, 1], size=2000) * GENERATOR.uniform(5, 11, size=2000)
BAD = Y + 15 * GENERATOR.normal(size=2000)
NO_WORSE = GateSpec("no_worse_than_production", "mae")


def judge(spec: GateSpec, prediction: Any = GOOD, production: Any = None, **slices: Any) -> Any:
    return evaluate_gate(spec, "regression", Y[: len(prediction)], prediction, production, slices)


def _with_loss_changed_by(change: Any, mean: float = 0.01) -> Any:
    """A candidate whose absolute errors are GOOD's plus a change of this scatter and mean."""
    wanted = change - change.mean() + mean
    return GOOD + np.where(GOOD >= Y, 1, -1) * wanted


def test_threshold_decides_on_the_metric_and_shows_its_interval() -> None:
    passed = judge(GateSpec("at_most", "mae", threshold=9))
    failed = judge(GateSpec("at_most", "mae", threshold=7))
    assert (passed.state, failed.state) == ("passed", "failed")
    assert passed.value == pytest.approx(np.mean(np.abs(GOOD - Y)))
    assert passed.interval[0] < passed.value < passed.interval[1]
    assert "at most 9 was asked" in passed.message
    assert judge(GateSpec("at_least", "r2", threshold=0.8)).state == "passed"
    rmse = judge(GateSpec("at_most", "rmse", threshold=20))
    assert rmse.interval[0] < rmse.value < rmse.interval[1]


def test_few_rows_are_insufficient_and_not_a_pass() -> None:
    result = judge(GateSpec("at_most", "mae", threshold=60, min_rows=50), GOOD[:49])
    assert result.state == "insufficient data"
    assert "49 held-out rows; at least 50" in result.message


def test_first_version_has_nothing_to_compare_with() -> None:
    result = judge(NO_WORSE)
    assert result.state == "passed"
    assert "first version: nothing to compare with" in result.message


def test_better_worse_and_undecided_against_production() -> None:
    assert judge(NO_WORSE, GOOD, BAD).state == "passed"
    worse = judge(NO_WORSE, BAD, GOOD)
    assert worse.state == "failed"
    assert worse.interval[0] > 0
    assert worse.reference == pytest.approx(np.mean(np.abs(GOOD - Y)))
    undecided = judge(NO_WORSE, _with_loss_changed_by(GENERATOR.normal(size=2000)), GOOD)
    assert undecided.state == "insufficient data"
    assert "cannot tell" in undecided.message


def test_a_margin_never_makes_the_gate_stricter() -> None:
    order = {"failed": 0, "insufficient data": 1, "passed": 2}
    for factor in (0.97, 1.0, 1.02, 1.05, 1.3):
        candidate = Y + (GOOD - Y) * factor
        states = [
            order[judge(GateSpec("no_worse_than_production", "mae", margin=margin), candidate, GOOD).state]
            for margin in (0.0, 0.01, 0.03, 0.06, 0.5)
        ]
        assert states == sorted(states)
        assert states[-1] == 2


def test_comparison_fails_for_dependent_rows_only_when_they_are_worth_enough() -> None:
    by_block = np.repeat(GENERATOR.normal(size=20), 100)
    dependent = judge(NO_WORSE, _with_loss_changed_by(by_block, mean=0.2), GOOD)
    independent = judge(NO_WORSE, _with_loss_changed_by(GENERATOR.permutation(by_block), mean=0.2), GOOD)
    assert (dependent.state, independent.state) == ("insufficient data", "failed")


def test_slices_are_judged_apart_and_thin_ones_only_named() -> None:
    weather = np.array(["clear"] * 1200 + ["rain"] * 790 + ["storm"] * 10, dtype=object)
    prediction = GOOD.copy()
    prediction[1200:1990] += 40
    spec = GateSpec("at_most", "mae", threshold=12, by="weather", min_rows=200)
    failed = judge(spec, prediction, weather=weather)
    assert failed.state == "failed"
    assert failed.slices[0].slice == "rain"
    assert "failed: rain" in failed.message
    assert "insufficient data in 1: storm" in failed.message
    passed = judge(spec, GOOD, weather=weather)
    assert passed.state == "passed"
    assert {found.slice: found.state for found in passed.slices} == {
        "clear": "passed",
        "rain": "passed",
        "storm": "insufficient data",
    }
    nothing = judge(GateSpec("at_most", "mae", threshold=12, by="weather", min_rows=5000), weather=weather)
    assert nothing.state == "insufficient data"


def test_slices_of_nulls_and_a_missing_column() -> None:
    values = np.array([None, 1] * 1000, dtype=object)
    spec = GateSpec("at_most", "mae", threshold=12, by="season")
    assert {found.slice for found in judge(spec, season=values).slices} == {"null", "1"}
    with pytest.raises(DeclarationError, match="slices by 'season', which the table does not have"):
        judge(spec, month=values)


def test_one_class_only_is_insufficient() -> None:
    result = evaluate_gate(
        GateSpec("at_least", "roc_auc", threshold=0.8), "binary", np.zeros(100), np.full(100, 0.5), None, {}
    )
    assert result.state == "insufficient data"
    accuracy = evaluate_gate(
        GateSpec("at_least", "accuracy", threshold=0.8), "binary", np.zeros(100), np.full(100, 0.1), None, {}
    )
    assert accuracy.interval == (1.0, 1.0)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (GateSpec("at_most", "roc_auc", threshold=1), "does not fit the task regression; valid metrics: mae"),
        (GateSpec("at_most", "mea", threshold=1), "valid metrics: mae, rmse, r2"),
        (GateSpec("at_most", "mae"), "no finite threshold"),
        (GateSpec("at_most", "bias", threshold=1), "bias is best at 0"),
        (GateSpec("no_worse_than_production", "r2"), "cannot be compared with production row by row"),
        (GateSpec("no_worse_than_production", "mae", margin=-0.1), "margin is relative and at least 0"),
        (GateSpec("at_most", "mae", threshold=1, min_rows=0), "at least 2 rows"),
    ],
)
def test_wrong_gates_are_refused_where_they_are_declared(spec: GateSpec, message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        check_gate(spec, "regression")
