"""What every loaded model can do, whatever its format."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
Outputs = npt.NDArray[np.float64]


class Predictor(Protocol):
    """A loaded model.

    `predict` takes the float64 matrix of shape (rows, columns) and returns float64 of shape (rows,): the value
    for regression, the probability of class 1 for binary models. It may be called from several threads.
    """

    def predict(self, matrix: Matrix) -> Outputs: ...
