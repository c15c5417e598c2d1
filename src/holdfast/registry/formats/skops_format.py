"""scikit-learn models by skops: data and type names in a zip file, with a fixed list of types that may be built.

Unlike pickle, loading runs no code that the file brings along: skops names every type the file asks for, and
one that is neither known to skops as safe nor on our list is refused before anything is built.
"""

from __future__ import annotations

import zipfile
from typing import Any

import numpy as np

from holdfast.registry.errors import DamagedModelError, UntrustedModelError, UnusableModelError
from holdfast.registry.formats.predictor import Matrix, Outputs
from holdfast.registry.records import Task

# Fitted state of standard estimators that skops does not trust by itself. Each is a plain container of numbers,
# or a function that only checks arrays. `functools.partial` is harmless because skops audits what it wraps.
ALLOWED_TYPES = frozenset(
    {
        "collections.OrderedDict",
        "collections.defaultdict",
        "functools.partial",
        "numpy.dtype",
        "scipy.interpolate._bsplines.BSpline",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.calibration._TemperatureScaling",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.metrics._dist_metrics.ChebyshevDistance64",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.metrics._dist_metrics.ManhattanDistance64",
        "sklearn.metrics._dist_metrics.MinkowskiDistance64",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._ball_tree.BallTree64",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neighbors._kd_tree.KDTree64",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
        "sklearn.utils.validation.check_array",
    }
)


def dump(estimator: Any) -> bytes:
    """The bytes of a scikit-learn estimator.

    Raises:
        UnusableModelError: it holds a type that could not be loaded again safely, or that skops cannot write.
    """
    import skops.io

    try:
        data = bytes(skops.io.dumps(estimator))
        refused = _refused_types(data)
    except Exception as error:
        raise UnusableModelError(
            f"the model {type(estimator).__name__} cannot be stored in a safe format"
            f" ({type(error).__name__}: {error})",
            hint="return a fitted scikit-learn estimator or pipeline, or a LightGBM model",
        ) from error
    if refused:
        raise UnusableModelError(
            f"the model holds types that cannot be loaded safely: {', '.join(refused)}",
            hint="build the model from scikit-learn's own estimators and transformers; "
            "do the rest in features, which run as your code",
        )
    return data


def load(data: bytes, task: Task) -> SkopsPredictor:
    """Loads a model, building allowed types only.

    Raises:
        UntrustedModelError: the file asks for a type that is not allowed; nothing was built.
        DamagedModelError: it is not a skops file.
    """
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        refused = _refused_types(data)
        if refused:
            raise UntrustedModelError(
                f"the model file asks for types that are not allowed: {', '.join(refused)}",
                hint="register the model again with `holdfast train`",
            )
        return SkopsPredictor(skops.io.loads(data, trusted=sorted(ALLOWED_TYPES)), task)
    except UntrustedTypesFoundException as error:
        raise UntrustedModelError(f"the model file was refused: {error}") from error
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise DamagedModelError(
            f"the model file is not a readable skops file ({type(error).__name__}: {error})",
            hint="restore the home from its backup, or register the model again with `holdfast train`",
        ) from error


class SkopsPredictor:
    """A scikit-learn estimator; a model that was fitted on named columns is asked with named columns."""

    def __init__(self, estimator: Any, task: Task) -> None:
        names = getattr(estimator, "feature_names_in_", None)
        self._names = None if names is None else [str(name) for name in names]
        self._call = estimator.predict_proba if task == "binary" else estimator.predict
        self._task = task

    def predict(self, matrix: Matrix) -> Outputs:
        outputs = np.asarray(self._call(self._named(matrix)), dtype=np.float64)
        if self._task == "binary":
            return outputs[:, 1]
        return outputs.reshape(-1) if outputs.shape == (len(matrix), 1) else outputs

    def _named(self, matrix: Matrix) -> Any:
        if self._names is None:
            return matrix
        import polars as pl

        return pl.DataFrame(matrix, schema=self._names, orient="row")


def _refused_types(data: bytes) -> list[str]:
    import skops.io

    return sorted(set(skops.io.get_untrusted_types(data=data)) - ALLOWED_TYPES)
