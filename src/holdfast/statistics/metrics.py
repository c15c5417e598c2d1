"""Quality of predictions, on arrays of shape `(rows,)`.

Regression compares numbers; binary classification compares labels 0 or 1 with the predicted probability of 1.
Values agree with scikit-learn. A metric that is undefined on the rows at hand (the area under a curve without a
positive row) is NaN, because a window of production data may well be so; arrays that do not fit, or hold NaN,
are an error of the caller and raise ValueError.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

REGRESSION = "regression"
BINARY = "binary"
TASKS = (REGRESSION, BINARY)

# As scikit-learn: a probability of exactly 0 or 1 that turns out wrong must not cost infinity.
SMALLEST_PROBABILITY = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Metric:
    """A metric by its name: how to compute it, which way is better, and for which tasks.

    `row_losses` gives one loss a row (smaller is better) where the metric is a mean of such, which paired tests
    need; None where it is not.
    """

    name: str
    function: Callable[[FloatArray, FloatArray], float]
    greater_is_better: bool
    tasks: tuple[str, ...]
    row_losses: Callable[[FloatArray, FloatArray], FloatArray] | None = field(default=None)

    def __call__(self, y: npt.ArrayLike, prediction: npt.ArrayLike) -> float:
        """The metric of predictions for labels `y`, both of shape `(rows,)`."""
        return self.function(*_checked(y, prediction, BINARY in self.tasks))


def find_metric(name: str) -> Metric:
    """The metric of this name; ValueError with the valid names when there is none.

    >>> find_metric("mae")([1.0, 2.0], [2.0, 4.0])
    1.5
    >>> find_metric("mea")
    Traceback (most recent call last):
    ...
    ValueError: unknown metric 'mea'; valid: mae, rmse, r2, bias, log_loss, brier, roc_auc, average_precision, \
accuracy, precision, recall, f1
    """
    if name not in METRICS:
        raise ValueError(f"unknown metric {name!r}; valid: {', '.join(METRICS)}")
    return METRICS[name]


def metrics_of_task(task: str) -> tuple[Metric, ...]:
    """All metrics of a task; ValueError with the valid tasks for another.

    >>> [metric.name for metric in metrics_of_task("regression")]
    ['mae', 'rmse', 'r2', 'bias']
    """
    if task not in TASKS:
        raise ValueError(f"unknown task {task!r}; valid: {', '.join(TASKS)}")
    return tuple(metric for metric in METRICS.values() if task in metric.tasks)


def evaluate(task: str, y: npt.ArrayLike, prediction: npt.ArrayLike) -> dict[str, float]:
    """All metrics of a task, by name.

    >>> evaluate("regression", [1.0, 3.0], [1.0, 3.0])
    {'mae': 0.0, 'rmse': 0.0, 'r2': 1.0, 'bias': 0.0}
    """
    return {metric.name: metric(y, prediction) for metric in metrics_of_task(task)}


def row_losses(metric: str, y: npt.ArrayLike, prediction: npt.ArrayLike) -> FloatArray:
    """One loss a row `(rows,)`, smaller is better, in the unit of the metric.

    `mae` gives absolute errors, `rmse` squared errors (its mean is the square of the metric), `log_loss`,
    `brier` and `accuracy` their terms. ValueError for a metric that is not made of rows.

    >>> row_losses("mae", [1.0, 2.0], [2.0, 4.0]).tolist()
    [1.0, 2.0]
    """
    found = find_metric(metric)
    if found.row_losses is None:
        made_of_rows = ", ".join(each.name for each in METRICS.values() if each.row_losses)
        raise ValueError(f"{metric} is not a mean over rows; valid: {made_of_rows}")
    return found.row_losses(*_checked(y, prediction, BINARY in found.tasks))


def mean_absolute_error(y: FloatArray, prediction: FloatArray) -> float:
    """Mean of |prediction - y|, in the unit of the label."""
    return float(_absolute_errors(y, prediction).mean())


def root_mean_squared_error(y: FloatArray, prediction: FloatArray) -> float:
    """Root of the mean of (prediction - y)², in the unit of the label."""
    return float(np.sqrt(_squared_errors(y, prediction).mean()))


def r_squared(y: FloatArray, prediction: FloatArray) -> float:
    """Share of the label's variance that is explained; at most 1, negative when worse than the mean.

    Of a constant label it is 1 for a perfect prediction and 0 for any other; of one row it is NaN.
    """
    if y.size < 2:
        return float("nan")
    unexplained = float(_squared_errors(y, prediction).sum())
    total = float(((y - y.mean()) ** 2).sum())
    if total == 0.0:
        return 1.0 if unexplained == 0.0 else 0.0
    return 1.0 - unexplained / total


def bias(y: FloatArray, prediction: FloatArray) -> float:
    """Mean of prediction - y, in the unit of the label; 0 is best."""
    return float((prediction - y).mean())


def log_loss(y: FloatArray, prediction: FloatArray) -> float:
    """Mean negative log-likelihood of the labels, in nats."""
    return float(_log_losses(y, prediction).mean())


def brier_score(y: FloatArray, prediction: FloatArray) -> float:
    """Mean of (probability - y)², from 0 to 1 (Brier 1950)."""
    return float(_squared_errors(y, prediction).mean())


def roc_auc(y: FloatArray, prediction: FloatArray) -> float:
    """Probability that a positive row is ranked above a negative one, ties counted half (Hanley, McNeil 1982)."""
    positive = y == 1
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return float("nan")
    _, group, sizes = np.unique(prediction, return_inverse=True, return_counts=True)
    middle_ranks = sizes.cumsum() - (sizes - 1) / 2
    surplus = float(middle_ranks[group[positive]].sum()) - positives * (positives + 1) / 2
    return surplus / (positives * negatives)


def average_precision(y: FloatArray, prediction: FloatArray) -> float:
    """Precision averaged over the positive rows, by falling prediction, ties as one step (Zhu 2004)."""
    positives = float((y == 1).sum())
    if not positives:
        return float("nan")
    order = np.argsort(-prediction, kind="stable")
    last_of_ties = np.append(np.flatnonzero(np.diff(prediction[order])), y.size - 1)
    hits = (y[order] == 1).cumsum()[last_of_ties]
    precision = hits / (last_of_ties + 1)
    return float((np.diff(hits, prepend=0) * precision).sum() / positives)


def accuracy(y: FloatArray, prediction: FloatArray, threshold: float = 0.5) -> float:
    """Share of rows on the right side of the threshold; a probability equal to it counts as positive."""
    return float(((prediction >= threshold) == (y == 1)).mean())


def precision(y: FloatArray, prediction: FloatArray, threshold: float = 0.5) -> float:
    """Share of the rows called positive that are; 0 when none is called so."""
    hits, called, _ = _hits(y, prediction, threshold)
    return hits / called if called else 0.0


def recall(y: FloatArray, prediction: FloatArray, threshold: float = 0.5) -> float:
    """Share of the positive rows that are called so; 0 when there is none."""
    hits, _, positives = _hits(y, prediction, threshold)
    return hits / positives if positives else 0.0


def f1(y: FloatArray, prediction: FloatArray, threshold: float = 0.5) -> float:
    """Harmonic mean of precision and recall; 0 when no row is positive or called so."""
    hits, called, positives = _hits(y, prediction, threshold)
    return 2 * hits / (called + positives) if called + positives else 0.0


def _checked(
    y: npt.ArrayLike, prediction: npt.ArrayLike, probabilities: bool
) -> tuple[FloatArray, FloatArray]:
    labels, predicted = np.asarray(y, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
    if labels.ndim != 1 or labels.shape != predicted.shape or not labels.size:
        raise ValueError(
            f"labels of shape {labels.shape} and predictions of shape {predicted.shape}: "
            "both must be (rows,) with at least one row"
        )
    if not (np.isfinite(labels).all() and np.isfinite(predicted).all()):
        raise ValueError("a label or prediction is NaN or infinite; leave such rows out")
    if probabilities and not ((labels == 0) | (labels == 1)).all():
        raise ValueError("a label is neither 0 nor 1; classification metrics here are for two classes")
    if probabilities and not ((predicted >= 0) & (predicted <= 1)).all():
        raise ValueError(
            "a prediction lies outside 0..1; classification metrics need the probability of class 1"
        )
    return labels, predicted


def _absolute_errors(y: FloatArray, prediction: FloatArray) -> FloatArray:
    return np.abs(prediction - y)


def _squared_errors(y: FloatArray, prediction: FloatArray) -> FloatArray:
    return np.asarray(np.square(prediction - y))


def _log_losses(y: FloatArray, prediction: FloatArray) -> FloatArray:
    clipped = np.clip(prediction, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return np.asarray(-np.where(y == 1, np.log(clipped), np.log1p(-clipped)))


def _wrong(y: FloatArray, prediction: FloatArray) -> FloatArray:
    return np.asarray((prediction >= 0.5) != (y == 1), dtype=np.float64)


def _hits(y: FloatArray, prediction: FloatArray, threshold: float) -> tuple[int, int, int]:
    called, positive = prediction >= threshold, y == 1
    return int((called & positive).sum()), int(called.sum()), int(positive.sum())


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("mae", mean_absolute_error, False, (REGRESSION,), _absolute_errors),
        Metric("rmse", root_mean_squared_error, False, (REGRESSION,), _squared_errors),
        Metric("r2", r_squared, True, (REGRESSION,)),
        Metric("bias", bias, False, (REGRESSION,)),
        Metric("log_loss", log_loss, False, (BINARY,), _log_losses),
        Metric("brier", brier_score, False, (BINARY,), _squared_errors),
        Metric("roc_auc", roc_auc, True, (BINARY,)),
        Metric("average_precision", average_precision, True, (BINARY,)),
        Metric("accuracy", accuracy, True, (BINARY,), _wrong),
        Metric("precision", precision, True, (BINARY,)),
        Metric("recall", recall, True, (BINARY,)),
        Metric("f1", f1, True, (BINARY,)),
    )
}
