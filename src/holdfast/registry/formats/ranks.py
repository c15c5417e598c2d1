"""Exact thresholds for histogram gradient boosting in ONNX, which has float32 only.

scikit-learn compares float64 values with float64 thresholds that lie halfway between training values. Decimal
data meets such a threshold often (0.18 is halfway between 0.17 and 0.19), and float32 rounding then takes the
other branch. A tree only asks on which side of a threshold a value lies, so values and thresholds are replaced
by ranks among the model's thresholds, found in float64: small integers, which float32 holds exactly.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from holdfast.registry.formats.predictor import Matrix

Thresholds = list[list[float]]
RankMatrix = npt.NDArray[np.float32]


def is_histogram_boosting(estimator: Any) -> bool:
    """Whether the object is one of scikit-learn's histogram gradient boosting estimators."""
    kind = type(estimator)
    return kind.__module__.startswith("sklearn.ensemble._hist_gradient_boosting")


def rank_thresholds(estimator: Any, width: int) -> tuple[Any, Thresholds]:
    """A copy of the estimator that splits on ranks, and the ascending thresholds of each of `width` columns.

    Raises:
        ValueError: the estimator splits on categories, which ONNX trees of this kind do not know.
    """
    ranked = copy.deepcopy(estimator)
    trees = [tree.nodes for iteration in ranked._predictors for tree in iteration]
    if any(nodes["is_categorical"].any() for nodes in trees):
        raise ValueError("categorical splits have no ONNX form")
    thresholds: Thresholds = []
    for column in range(width):
        splits = [_splits_on(nodes, column) for nodes in trees]
        values = [nodes["num_threshold"][chosen] for nodes, chosen in zip(trees, splits, strict=True)]
        known = np.unique(np.concatenate(values))
        for nodes, chosen, old in zip(trees, splits, values, strict=True):
            nodes["num_threshold"][chosen] = np.searchsorted(known, old)
        thresholds.append(known.tolist())
    return ranked, thresholds


def to_ranks(matrix: Matrix, thresholds: list[npt.NDArray[np.float64]]) -> RankMatrix:
    """How many thresholds of its column each value exceeds; NaN stays NaN.

    Example:
        >>> to_ranks(np.array([[0.18], [0.2], [np.nan]]), [np.array([0.18, 0.19])]).ravel().tolist()
        [0.0, 2.0, nan]
    """
    ranks = np.empty(matrix.shape, dtype=np.float32)
    for column, known in enumerate(thresholds):
        ranks[:, column] = known.searchsorted(matrix[:, column])
    ranks[np.isnan(matrix)] = np.nan
    return ranks


def _splits_on(nodes: Any, column: int) -> npt.NDArray[np.bool_]:
    return np.asarray((nodes["is_leaf"] == 0) & (nodes["feature_idx"] == column))
