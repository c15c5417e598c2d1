"""Loads the model of a folder and stores it in a format that serving loads without running code. In the child only.

skops, LightGBM's text and ONNX run no code when they are read. A pickle does; it is read once, here, and only where a
person said so. What is served is the new form, compared with the original on the input example and on random rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from holdfast.base.blobs import Blobs
from holdfast.data.records import FieldContract
from holdfast.registry.errors import (
    DamagedModelError,
    MissingLibraryError,
    TrustNeededError,
    UnservableModelError,
    UntrustedModelError,
)
from holdfast.registry.formats import lightgbm_format, onnx_format, save_model, skops_format
from holdfast.registry.formats.predictor import Matrix
from holdfast.registry.outside.mlmodel import Column, MlModel, read_mlmodel
from holdfast.registry.outside.records import Converted, ConvertTask
from holdfast.registry.outside.trees import check_trees
from holdfast.registry.records import ModelFile, Signature, SignatureColumn, Task

OUTPUT = "label"
_RANDOM_ROWS = 64
_SERVABLE = "sklearn, lightgbm and onnx"
_LIGHTGBM_TYPES = frozenset(
    {
        "collections.OrderedDict",
        "collections.defaultdict",
        "lightgbm.basic.Booster",
        "lightgbm.sklearn.LGBMClassifier",
        "lightgbm.sklearn.LGBMModel",
        "lightgbm.sklearn.LGBMRanker",
        "lightgbm.sklearn.LGBMRegressor",
    }
)
# Search trees hold node numbers that nothing here checks.
_UNCHECKED_TYPES = frozenset(
    item for item in skops_format.ALLOWED_TYPES if item.startswith("sklearn.neighbors.")
)


def convert(task: ConvertTask) -> Converted:
    """The servable form of a model folder.

    Raises:
        TrustNeededError: it is a pickle, and nobody said that it is trusted.
        UnservableModelError, UntrustedModelError, UnusableModelError: it cannot be served, and why.
        MissingLibraryError: its library is not installed here.
    """
    folder = Path(task.model_folder)
    found, blobs = read_mlmodel(folder), Blobs(Path(task.blobs_folder))
    if "lightgbm" in found.flavors:
        return _estimator(folder, found, "lightgbm", task.trust, blobs)
    if "sklearn" in found.flavors:
        return _estimator(folder, found, "sklearn", task.trust, blobs)
    if "onnx" in found.flavors:
        return _onnx(folder, found, blobs)
    named = ", ".join(sorted(found.flavors)) or "none"
    raise UnservableModelError(
        f"the model has the flavors {named}; {_SERVABLE} can be served",
        hint="log it in one of these, or serve it where it came from",
    )


def _estimator(folder: Path, found: MlModel, flavor: str, trust: bool, blobs: Blobs) -> Converted:
    estimator, stored_as = _load(folder, found.flavors[flavor], flavor, trust)
    columns = _columns(found, estimator)
    task = _task(estimator)
    sample = _sample(found, columns)
    names = [column.name for column in columns]
    files = save_model(estimator, sample, task, blobs, names)
    return _converted(files, columns, task, flavor, stored_as, len(sample))


def _load(folder: Path, settings: dict[str, Any], flavor: str, trust: bool) -> tuple[Any, str]:
    """The estimator, and how it was stored."""
    path = _inside(folder, str(settings.get("pickled_model") or settings.get("data") or ""))
    if flavor == "lightgbm" and settings.get("model_class", "lightgbm.basic.Booster").endswith(".Booster"):
        return lightgbm_format.load(path.read_bytes()).booster, "lightgbm text"
    stored_as = str(settings.get("serialization_format") or "pickle")
    if stored_as == "skops":
        return _load_skops(path, flavor, trust), stored_as
    if not trust:
        raise TrustNeededError(
            f"the model is stored as {stored_as}, which runs whatever code its writer put in it when it is loaded",
            hint="log it again with serialization_format='skops', or add --trust if you trust who wrote it",
        )
    return _load_pickle(path, stored_as), stored_as


def _load_skops(path: Path, flavor: str, trust: bool) -> Any:
    import skops.io

    # What the folder lists as trusted is the writer's opinion; only our own list counts.
    allowed = skops_format.ALLOWED_TYPES | (_LIGHTGBM_TYPES if flavor == "lightgbm" else frozenset())
    allowed -= frozenset() if trust else _UNCHECKED_TYPES
    data = path.read_bytes()
    try:
        refused = sorted(set(skops.io.get_untrusted_types(data=data)) - allowed)
        estimator = None if refused else skops.io.loads(data, trusted=sorted(allowed))
    except ImportError as error:
        raise MissingLibraryError(flavor, f"{flavor} models", str(error)) from error
    except Exception as error:
        raise DamagedModelError(
            f"the model's skops file cannot be read here ({type(error).__name__}: {error})"
        ) from error
    if refused and set(refused) <= _UNCHECKED_TYPES:
        raise TrustNeededError(
            f"the model holds {', '.join(refused)}, which a forged file could use to read beyond its memory",
            hint="add --trust if you trust who wrote it",
        )
    if refused:
        raise UntrustedModelError(
            f"the model file asks for types that are not allowed: {', '.join(refused)}",
            hint="build it of scikit-learn's own estimators, or train it with holdfast",
        )
    check_trees(estimator)
    return estimator


def _load_pickle(path: Path, stored_as: str) -> Any:
    """Runs the code of whoever wrote the file: only called in the child, and only under trust."""
    import pickle

    try:
        with path.open("rb") as handle:
            return pickle.load(handle)  # noqa: S301 - a person said that it is trusted
    except Exception as error:
        raise UnservableModelError(
            f"the {stored_as} file cannot be loaded here ({type(error).__name__}: {error})",
            hint="install the packages of its requirements.txt beside holdfast, or log it as skops",
        ) from error


def _onnx(folder: Path, found: MlModel, blobs: Blobs) -> Converted:
    data = _onnx_bytes(_inside(folder, str(found.flavors["onnx"].get("data") or "model.onnx")))
    inputs, outputs = onnx_format.shapes(data)
    if len(inputs) != 1 or "float)" not in inputs[0].type or len(inputs[0].shape) != 2:
        raise UnservableModelError(
            f"the ONNX model takes {', '.join(f'{item.name}: {item.type}' for item in inputs)}",
            hint="one input of float32 rows can be served",
        )
    task: Task = "binary" if len(outputs) > 1 else "regression"
    if task == "binary" and (outputs[1].type != "tensor(float)" or outputs[1].shape[-1] != 2):
        raise UnservableModelError(
            "the ONNX model's second output is no table of two probabilities",
            hint="convert it with the option zipmap=False, for two classes",
        )
    width = inputs[0].shape[1] if isinstance(inputs[0].shape[1], int) else None
    columns = _named(found, width)
    sample = _sample(found, columns)
    predicted = onnx_format.load(data, task).predict(sample)
    if predicted.shape != (len(sample),):
        raise UnservableModelError(f"the ONNX model answers {predicted.shape} for {len(sample)} rows")
    file = ModelFile("onnx", "native", blobs.put(data), len(data), f"answers {len(sample)} rows")
    return _converted((file,), columns, task, "onnx", "onnx", len(sample))


def _onnx_bytes(path: Path) -> bytes:
    """One self-contained file; weights that lie beside it are taken in."""
    data = path.read_bytes()
    try:
        onnx_format.shapes(data)
        return data
    except DamagedModelError as damaged:
        try:
            import onnx
        except ImportError:
            raise damaged from None
        try:
            return bytes(onnx.load(str(path)).SerializeToString())
        except Exception:
            raise damaged from None


def _converted(
    files: tuple[ModelFile, ...],
    columns: tuple[Column, ...],
    task: Task,
    flavor: str,
    stored_as: str,
    rows: int,
) -> Converted:
    signature = Signature(tuple(SignatureColumn(item.name, item.type) for item in columns), task, OUTPUT)
    fields = tuple(
        FieldContract(item.name, item.type, required=item.required)  # type: ignore[arg-type]
        for item in columns
    )
    label = FieldContract(OUTPUT, "float", "label", required=False)
    ran_code = stored_as in ("pickle", "cloudpickle")
    return Converted(signature, files, (*fields, label), flavor, stored_as, ran_code, rows)


def _task(estimator: Any) -> Task:
    if lightgbm_format.is_lightgbm(estimator):
        return _lightgbm_task(estimator)
    from sklearn.base import is_classifier, is_regressor

    if is_regressor(estimator):
        return "regression"
    if not is_classifier(estimator):
        raise UnservableModelError(
            f"{type(estimator).__name__} is neither a regressor nor a classifier",
            hint="log the pipeline that ends in one",
        )
    classes = list(getattr(estimator, "classes_", ()))
    if len(classes) != 2:
        raise UnservableModelError(f"the model tells {len(classes)} classes apart; two can be served")
    return "binary"


def _lightgbm_task(estimator: Any) -> Task:
    booster = getattr(estimator, "booster_", estimator)
    per_row = booster.num_model_per_iteration()
    if per_row != 1:
        raise UnservableModelError(f"the model tells {per_row} classes apart; two can be served")
    objective = lightgbm_format.objective_of(booster.model_to_string())
    return "binary" if objective.startswith(lightgbm_format.BINARY_OBJECTIVES) else "regression"


def _columns(found: MlModel, estimator: Any) -> tuple[Column, ...]:
    if found.columns is not None:
        return found.columns
    booster = getattr(estimator, "booster_", estimator) if lightgbm_format.is_lightgbm(estimator) else None
    names = booster.feature_name() if booster is not None else getattr(estimator, "feature_names_in_", None)
    if names is not None:
        return tuple(Column(str(name), "float") for name in names)
    return _named(found, getattr(estimator, "n_features_in_", None))


def _named(found: MlModel, width: int | None) -> tuple[Column, ...]:
    if found.columns is not None:
        return found.columns
    width = found.width or width
    if width is None:
        raise UnservableModelError(
            "neither a signature nor the model says how many columns it takes",
            hint="log it with an input_example or a signature",
        )
    return tuple(Column(f"x{position}", "float") for position in range(width))


def _sample(found: MlModel, columns: tuple[Column, ...]) -> Matrix:
    """The input example where it fits, and random rows around it."""
    rng = np.random.default_rng(0)
    example = np.array([row for row in found.example if len(row) == len(columns)], dtype=np.float64)
    example = example.reshape(-1, len(columns))
    known = example[np.isfinite(example).all(axis=1)]
    center = known.mean(axis=0) if len(known) else np.zeros(len(columns))
    spread = np.maximum(np.abs(center), 1.0) if len(known) < 2 else np.maximum(known.std(axis=0), 1e-3)
    rows = center + spread * rng.standard_normal((_RANDOM_ROWS, len(columns)))
    for position, column in enumerate(columns):
        if column.type == "boolean":
            rows[:, position] = rng.integers(0, 2, _RANDOM_ROWS)
        elif column.type == "integer":
            rows[:, position] = np.round(rows[:, position])
    return np.vstack([known, rows])


def _inside(folder: Path, name: str) -> Path:
    path = (folder / name).resolve()
    if not name or not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise UnservableModelError(f"the model folder has no file {name!r}, which its MLmodel file names")
    return path
