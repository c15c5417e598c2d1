"""Storing a trained model: its native form first, then the fastest compiled form that agrees with it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from holdfast.base.blobs import Blobs
from holdfast.registry.errors import UnusableModelError
from holdfast.registry.formats import lightgbm_format, linear_format, onnx_format, skops_format
from holdfast.registry.formats.predictor import Matrix, Outputs, Predictor
from holdfast.registry.records import ModelFile, ModelFormat, Task

logger = logging.getLogger(__name__)

# How far a compiled form may be off on any row. Float32 sums differ in the seventh digit; a row that takes
# another branch of a tree differs by orders of magnitude more, and that is what must not pass.
RELATIVE_TOLERANCE = 1e-4
PROBABILITY_TOLERANCE = 1e-5

_Compiled = tuple[ModelFormat, Callable[[], bytes | None], Callable[[bytes], Predictor]]


def save_model(
    estimator: Any, sample: Matrix, task: Task, blobs: Blobs, names: Sequence[str]
) -> tuple[ModelFile, ...]:
    """Stores a fitted estimator and returns its files, the native one first.

    `sample` are real rows, float64 of shape (rows, columns), on which every stored form is read back and
    compared with the estimator; `names` are the matrix's columns. The native file's `agreement` also says why
    there is no compiled form, where there is none.

    Raises:
        UnusableModelError: the object is not a fitted model of this task, or cannot be stored safely.

    Example:
        >>> import tempfile, pathlib
        >>> from sklearn.linear_model import LinearRegression
        >>> x = np.arange(6.0).reshape(6, 1)
        >>> blobs = Blobs(pathlib.Path(tempfile.mkdtemp()))
        >>> [f.format for f in save_model(LinearRegression().fit(x, x[:, 0]), x, "regression", blobs, ["hr"])]
        ['skops', 'linear']
    """
    expected = reference_predictions(estimator, sample, task, names)
    form, data, loaded = _native(estimator, task)
    off = _largest_gap(loaded, sample, expected)
    if not off <= _tolerance(task, expected):
        raise UnusableModelError(
            f"the model {type(estimator).__name__} predicts differently after being stored and loaded"
            f" (by up to {off:.3g})",
            hint="return an estimator without state outside its fitted attributes",
        )
    compiled, reason = _compile(estimator, sample, task, blobs, expected)
    agreement = f"loaded back, equal to the trained model on {len(sample)} rows{reason}"
    return (_store(form, "native", data, blobs, agreement), *compiled)


def reference_predictions(estimator: Any, matrix: Matrix, task: Task, names: Sequence[str]) -> Outputs:
    """What the estimator itself says of the rows, after checking that it can say it.

    Raises:
        UnusableModelError: it has no fitting predict method, raises, or answers with the wrong shape.
    """
    predictor = _wrap(estimator, task, names)
    try:
        outputs = predictor.predict(matrix)
    except Exception as error:
        hint = "fit it on data.X and data.y and return it"
        if np.isnan(matrix).any():
            hint = "some inputs are missing (NaN): return a pipeline with SimpleImputer, or a model that takes them"
        raise UnusableModelError(
            f"the model {type(estimator).__name__} cannot predict {len(matrix)} rows of {len(names)} columns"
            f" ({type(error).__name__}: {_first_line(error)})",
            hint=hint,
        ) from error
    if outputs.shape != (len(matrix),) or not np.isfinite(outputs).all():
        raise UnusableModelError(
            f"the model {type(estimator).__name__} must give one finite number a row;"
            f" for {len(matrix)} rows it gave shape {outputs.shape}"
            + ("" if np.isfinite(outputs).all() else " with values that are not finite")
        )
    return outputs


def check_estimator(estimator: Any, task: Task) -> None:
    """Raises `UnusableModelError` when a training function returned something that is no model of this task."""
    if estimator is None:
        raise UnusableModelError(
            "the training function returned None", hint="end it with `return model`, a fitted estimator"
        )
    name = type(estimator).__name__
    if isinstance(estimator, type):
        raise UnusableModelError(
            f"the training function returned the class {estimator.__name__}, not a fitted model",
            hint=f"return {estimator.__name__}().fit(data.X, data.y)",
        )
    if not callable(getattr(estimator, "predict", None)):
        raise UnusableModelError(
            f"the training function returned {_article(name)}, which has no predict method",
            hint="return a fitted scikit-learn estimator or pipeline, or a LightGBM model",
        )
    booster = lightgbm_format.is_lightgbm(estimator) and name == "Booster"
    if task == "binary" and not booster:
        _check_classifier(estimator, name)


def _check_classifier(estimator: Any, name: str) -> None:
    if not callable(getattr(estimator, "predict_proba", None)):
        raise UnusableModelError(
            f"the task is binary, but {name} has no predict_proba, so it gives no probabilities",
            hint="return a classifier, e.g. HistGradientBoostingClassifier, or wrap it in CalibratedClassifierCV",
        )
    classes = list(getattr(estimator, "classes_", ()))
    if [float(value) for value in classes if isinstance(value, int | float | np.number | np.bool_)] != [
        0.0,
        1.0,
    ]:
        raise UnusableModelError(
            f"the task is binary, but {name} has learnt the classes {classes}, not 0 and 1",
            hint="fit it on data.y, which is 0 and 1",
        )


def _wrap(estimator: Any, task: Task, names: Sequence[str]) -> Predictor:
    check_estimator(estimator, task)
    if lightgbm_format.is_lightgbm(estimator):
        return lightgbm_format.LightgbmPredictor(getattr(estimator, "booster_", estimator))
    return skops_format.SkopsPredictor(estimator, task)


def _native(estimator: Any, task: Task) -> tuple[ModelFormat, bytes, Predictor]:
    if lightgbm_format.is_lightgbm(estimator):
        data = lightgbm_format.dump(estimator, task)
        return "lightgbm", data, lightgbm_format.load(data)
    data = skops_format.dump(estimator)
    return "skops", data, skops_format.load(data, task)


def _compile(
    estimator: Any, sample: Matrix, task: Task, blobs: Blobs, expected: Outputs
) -> tuple[tuple[ModelFile, ...], str]:
    """The first compiled form that agrees, or none and the reasons."""
    reasons: list[str] = []
    for form, compile_, load in _candidates(estimator, task, sample.shape[1]):
        try:
            data = compile_()
            if data is None:
                continue
            off = _largest_gap(load(data), sample, expected)
        except Exception as error:  # converters raise anything; the native form stands in any case
            logger.debug("no %s form", form, exc_info=True)
            reasons.append(f"no {form} form ({type(error).__name__})")
            continue
        if off <= _tolerance(task, expected):
            sentence = f"agrees with the trained model on {len(sample)} rows, off by at most {off:.1e}"
            return (_store(form, "compiled", data, blobs, sentence),), ""
        reasons.append(f"no {form} form (off by up to {off:.3g} on {len(sample)} rows)")
    if not onnx_format.is_available() and not lightgbm_format.is_lightgbm(estimator):
        reasons.append("no onnx form (needs `pip install 'holdfast[onnx]'`)")
    return (), "".join(f"; {reason}" for reason in reasons)


def _candidates(estimator: Any, task: Task, width: int) -> Iterator[_Compiled]:
    if lightgbm_format.is_lightgbm(estimator):
        return
    yield "linear", lambda: linear_format.compile_linear(estimator, task), linear_format.load
    if onnx_format.is_available():
        yield (
            "onnx",
            lambda: onnx_format.convert(estimator, task, width),
            lambda data: onnx_format.load(data, task),
        )


def _largest_gap(predictor: Predictor, sample: Matrix, expected: Outputs) -> float:
    return float(np.max(np.abs(predictor.predict(sample) - expected), initial=0.0))


def _tolerance(task: Task, expected: Outputs) -> float:
    if task == "binary":
        return PROBABILITY_TOLERANCE
    return RELATIVE_TOLERANCE * max(
        float(np.std(expected)), 1e-2 * float(np.max(np.abs(expected), initial=0))
    )


def _store(form: ModelFormat, role: Any, data: bytes, blobs: Blobs, agreement: str) -> ModelFile:
    return ModelFile(form, role, blobs.put(data), len(data), agreement)


def _first_line(error: Exception) -> str:
    """Libraries add advice below; the reader gets the hint instead, and the rest with --debug."""
    return next(iter(str(error).strip().splitlines()), "")


def _article(name: str) -> str:
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
