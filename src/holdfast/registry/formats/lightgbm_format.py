"""LightGBM by its own text format: plain numbers, read by LightGBM's parser, no code in it."""

from __future__ import annotations

from typing import Any

import numpy as np

from holdfast.registry.errors import DamagedModelError, MissingLibraryError, UnusableModelError
from holdfast.registry.formats.predictor import Matrix, Outputs
from holdfast.registry.records import Task

BINARY_OBJECTIVES = ("binary", "cross_entropy", "xentropy")


def is_lightgbm(estimator: Any) -> bool:
    """Whether the object is a LightGBM booster or scikit-learn wrapper; imports nothing to find out."""
    return type(estimator).__module__.split(".")[0] == "lightgbm"


def dump(estimator: Any, task: Task) -> bytes:
    """The text of a fitted LightGBM model.

    Raises:
        UnusableModelError: it is not fitted, or its objective does not fit the task.
    """
    try:
        booster = getattr(estimator, "booster_", estimator)
        text = str(booster.model_to_string())
    except Exception as error:
        raise UnusableModelError(
            f"the LightGBM model cannot be stored ({error})", hint="return it after calling fit"
        ) from error
    if task == "binary" and not objective_of(text).startswith(BINARY_OBJECTIVES):
        raise UnusableModelError(
            f"the LightGBM model has the objective {objective_of(text)!r}, but the task is binary",
            hint="train an LGBMClassifier, or a booster with objective='binary'",
        )
    return text.encode()


def load(data: bytes) -> LightgbmPredictor:
    """Loads a booster.

    Raises:
        MissingLibraryError: LightGBM (or its system library libgomp1) is missing.
        DamagedModelError: the text is not a LightGBM model.
    """
    lightgbm = _library()
    try:
        return LightgbmPredictor(lightgbm.Booster(model_str=data.decode()))
    except (lightgbm.basic.LightGBMError, UnicodeDecodeError) as error:
        raise DamagedModelError(
            f"the LightGBM model cannot be read ({error})",
            hint="restore the home from its backup, or register the model again with `holdfast train`",
        ) from error


class LightgbmPredictor:
    """Asks the booster itself: the scikit-learn wrapper costs twenty times as much a row."""

    def __init__(self, booster: Any) -> None:
        self.booster = booster

    def predict(self, matrix: Matrix) -> Outputs:
        return np.asarray(self.booster.predict(matrix, num_threads=1), dtype=np.float64).reshape(len(matrix))


def _library() -> Any:
    try:
        import lightgbm
    except ImportError as error:
        raise MissingLibraryError("lightgbm", "LightGBM models") from error
    except OSError as error:  # the wheel needs the system's OpenMP library
        raise MissingLibraryError("lightgbm", "LightGBM models", str(error)) from error
    return lightgbm


def objective_of(text: str) -> str:
    """The objective that a model's text names; empty where it names none."""
    for line in text.splitlines():
        if line.startswith("objective="):
            return line.removeprefix("objective=")
        if line.startswith("Tree="):
            break
    return ""
