"""Linear and logistic models fused into one vector: a numpy dot product and, for binary models, a sigmoid.

Scaling before a linear model is itself linear, so a pipeline of SimpleImputer, StandardScaler or MinMaxScaler
and a linear model folds into coefficients and an intercept. A row takes about 3 µs, against 180 µs through
scikit-learn. Loading needs numpy alone.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from holdfast.base.encoding import from_msgpack, to_msgpack
from holdfast.registry.errors import DamagedModelError
from holdfast.registry.formats.predictor import Matrix, Outputs
from holdfast.registry.records import Task

_REGRESSORS = frozenset(
    {
        "ARDRegression",
        "BayesianRidge",
        "ElasticNet",
        "ElasticNetCV",
        "HuberRegressor",
        "Lars",
        "Lasso",
        "LassoCV",
        "LassoLars",
        "LinearRegression",
        "LinearSVR",
        "QuantileRegressor",
        "Ridge",
        "RidgeCV",
        "SGDRegressor",
        "TheilSenRegressor",
    }
)
_CLASSIFIERS = frozenset({"LogisticRegression", "LogisticRegressionCV"})


class LinearModel(msgspec.Struct, frozen=True):
    """`link(intercept + x · coefficients)`; where `fill` is given, it replaces missing values first."""

    coefficients: tuple[float, ...]
    intercept: float
    logistic: bool
    fill: tuple[float, ...] | None = None


def compile_linear(estimator: Any, task: Task) -> bytes | None:
    """The fused form of a fitted estimator or pipeline, or None where there is none."""
    *transformers, last = [step for _, step in getattr(estimator, "steps", [("", estimator)])]
    if not _is_linear(last, task):
        return None
    coefficients = np.asarray(last.coef_, dtype=np.float64).reshape(-1)
    intercept = float(np.asarray(last.intercept_, dtype=np.float64).reshape(-1)[0])
    fill: tuple[float, ...] | None = None
    for transformer in reversed(transformers):
        if fill is not None:  # an imputer must be the first step: what precedes it is no longer linear
            return None
        folded = _fold(transformer, coefficients, intercept)
        if folded is None:
            return None
        coefficients, intercept, fill = folded
    model = LinearModel(tuple(coefficients.tolist()), intercept, task == "binary", fill)
    return to_msgpack(model)


def load(data: bytes) -> LinearPredictor:
    """Loads a fused model.

    Raises:
        DamagedModelError: the bytes are not a fused model.
    """
    try:
        return LinearPredictor(from_msgpack(data, LinearModel))
    except msgspec.DecodeError as error:
        raise DamagedModelError(
            f"the linear model cannot be read ({error})",
            hint="restore the home from its backup, or register the model again with `holdfast train`",
        ) from error


class LinearPredictor:
    """Answers with one dot product; a missing value that nothing fills gives NaN."""

    def __init__(self, model: LinearModel) -> None:
        self._coefficients = np.array(model.coefficients)
        self._intercept = model.intercept
        self._logistic = model.logistic
        self._fill = None if model.fill is None else np.array(model.fill)

    def predict(self, matrix: Matrix) -> Outputs:
        if self._fill is not None:
            matrix = np.where(np.isnan(matrix), self._fill, matrix)
        score = matrix @ self._coefficients + self._intercept
        return _sigmoid(score) if self._logistic else np.asarray(score)


def _sigmoid(score: Outputs) -> Outputs:
    # tanh does not overflow where exp does, and is the same function: 1/(1+exp(-x)) = (1+tanh(x/2))/2.
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * score)))


def _is_linear(estimator: Any, task: Task) -> bool:
    kind = type(estimator)
    known = _CLASSIFIERS if task == "binary" else _REGRESSORS
    if kind.__name__ not in known or not kind.__module__.startswith("sklearn."):
        return False
    return task == "regression" or len(estimator.classes_) == 2


def _fold(
    transformer: Any, coefficients: Outputs, intercept: float
) -> tuple[Outputs, float, tuple[float, ...] | None] | None:
    kind = type(transformer)
    if isinstance(transformer, str) and transformer == "passthrough":
        return coefficients, intercept, None
    if not kind.__module__.startswith("sklearn."):
        return None
    if kind.__name__ == "StandardScaler":
        shift = transformer.mean_ if transformer.with_mean else 0.0
        scaled = coefficients / transformer.scale_ if transformer.with_std else coefficients
        return scaled, intercept - float(np.sum(scaled * shift)), None
    if kind.__name__ == "MinMaxScaler" and not transformer.clip:
        return (
            coefficients * transformer.scale_,
            intercept + float(coefficients @ transformer.min_),
            None,
        )
    if kind.__name__ == "SimpleImputer":
        return _fold_imputer(transformer, coefficients, intercept)
    return None


def _fold_imputer(
    imputer: Any, coefficients: Outputs, intercept: float
) -> tuple[Outputs, float, tuple[float, ...]] | None:
    """Only a plain imputer folds: one that adds or drops columns, or fills another mark than NaN, does not."""
    statistics = np.asarray(imputer.statistics_, dtype=np.float64)
    mark = imputer.missing_values
    plain = isinstance(mark, float) and np.isnan(mark) and not imputer.add_indicator
    if not plain or not np.isfinite(statistics).all() or len(statistics) != len(coefficients):
        return None
    return coefficients, intercept, tuple(statistics.tolist())
