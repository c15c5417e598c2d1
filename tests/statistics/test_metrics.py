"""Metrics agree with scikit-learn, also on ties, and losses by row average to them."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from holdfast.statistics.metrics import METRICS, evaluate, find_metric, metrics_of_task, row_losses

PAIRS = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 0.1, 0.1, 0.5, 0.7, 0.99, 1.0])),
    min_size=2,
    max_size=40,
)
NUMBERS = st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), min_size=2, max_size=40)


@settings(max_examples=80, deadline=None)
@given(PAIRS)
def test_classification_is_scikit_learns(pairs: list[tuple[float, float]]) -> None:
    y, prediction = np.array(pairs).T
    assume(0 < y.mean() < 1)
    called = prediction >= 0.5
    expected = {
        "log_loss": reference.log_loss(y, prediction),
        "brier": reference.brier_score_loss(y, prediction),
        "roc_auc": reference.roc_auc_score(y, prediction),
        "average_precision": reference.average_precision_score(y, prediction),
        "accuracy": reference.accuracy_score(y, called),
        "precision": reference.precision_score(y, called, zero_division=0),
        "recall": reference.recall_score(y, called),
        "f1": reference.f1_score(y, called),
    }
    assert evaluate("binary", y, prediction) == pytest.approx(expected)


@settings(max_examples=80, deadline=None)
@given(NUMBERS)
def test_regression_is_scikit_learns(pairs: list[tuple[float, float]]) -> None:
    y, prediction = np.array(pairs).T
    assume(np.ptp(y) == 0 or y.std() > 1e-3)
    expected = {
        "mae": reference.mean_absolute_error(y, prediction),
        "rmse": reference.root_mean_squared_error(y, prediction),
        "r2": reference.r2_score(y, prediction),
        "bias": float(np.mean(prediction - y)),
    }
    assert evaluate("regression", y, prediction) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "power"), [("mae", 1), ("rmse", 2), ("log_loss", 1), ("brier", 1), ("accuracy", 1)]
)
def test_row_losses_average_to_the_metric(name: str, power: int) -> None:
    rng = np.random.default_rng(0)
    y, prediction = rng.integers(0, 2, size=50).astype(float), rng.random(50)
    value = find_metric(name)(y, prediction) ** power
    expected = 1 - value if find_metric(name).greater_is_better else value
    assert row_losses(name, y, prediction).mean() == pytest.approx(expected)


def test_one_class_leaves_ranks_undefined_but_nothing_fails() -> None:
    values = evaluate("binary", [0, 0, 0], [0.2, 0.4, 0.9])
    assert np.isnan(values["roc_auc"]) and np.isnan(values["average_precision"])
    assert values["accuracy"] == pytest.approx(2 / 3)
    assert np.isnan(find_metric("r2")([1.0], [1.0]))


def test_every_metric_knows_its_task_and_direction() -> None:
    assert {metric.name for task in ("regression", "binary") for metric in metrics_of_task(task)} == set(
        METRICS
    )
    assert {name for name, metric in METRICS.items() if metric.greater_is_better} == {
        *("r2", "roc_auc", "average_precision", "accuracy", "precision", "recall", "f1")
    }


@pytest.mark.parametrize(
    ("y", "prediction", "message"),
    [
        ([], [], "at least one row"),
        ([1.0], [1.0, 2.0], r"shape \(1,\) and predictions of shape \(2,\)"),
        ([1.0, np.nan], [0.5, 0.5], "NaN or infinite"),
        ([1.0, 2.0], [0.5, 0.5], "neither 0 nor 1"),
        ([1.0, 0.0], [0.5, 1.5], "outside 0..1"),
    ],
)
def test_rows_that_do_not_fit_are_refused(y, prediction, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_metric("log_loss")(y, prediction)


def test_unknown_names_list_the_valid_ones() -> None:
    with pytest.raises(ValueError, match="unknown metric 'auc'; valid: mae, rmse"):
        find_metric("auc")
    with pytest.raises(ValueError, match="unknown task 'ranking'; valid: regression, binary"):
        metrics_of_task("ranking")
    with pytest.raises(ValueError, match="roc_auc is not a mean over rows; valid: mae, rmse"):
        row_losses("roc_auc", [1, 0], [0.5, 0.2])
