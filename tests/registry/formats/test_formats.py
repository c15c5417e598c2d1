"""Every stored form predicts what the trained estimator predicts, and nothing dangerous is loaded."""

from __future__ import annotations

import pickle
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, PolynomialFeatures, StandardScaler
from sklearn.svm import LinearSVC

from holdfast.base.blobs import Blobs
from holdfast.registry.errors import (
    DamagedModelError,
    MissingLibraryError,
    UntrustedModelError,
    UnusableModelError,
)
from holdfast.registry.formats import load_predictor, onnx_format, save_model
from holdfast.registry.records import ModelFile

NAMES = ["a", "b", "c", "d"]


def _world(missing: bool = False) -> tuple[Any, Any, Any]:
    generator = np.random.default_rng(7)
    matrix = np.round(generator.normal(size=(600, 4)), 2)
    value = 100 + 30 * matrix[:, 0] + 20 * np.sin(matrix[:, 1]) + generator.normal(size=600)
    if missing:
        matrix[::7, 2] = np.nan
    return matrix, value, (value > 100).astype(float)


CASES = {
    "ridge": (lambda: Ridge(), "regression", False, "linear"),
    "scaled linear": (
        lambda: make_pipeline(StandardScaler(), LinearRegression()),
        "regression",
        False,
        "linear",
    ),
    "imputed min-max logistic": (
        lambda: make_pipeline(SimpleImputer(), MinMaxScaler(), StandardScaler(), LogisticRegression()),
        "binary",
        True,
        "linear",
    ),
    "boosting": (lambda: HistGradientBoostingRegressor(max_iter=20), "regression", True, "onnx"),
    "boosting classifier": (lambda: HistGradientBoostingClassifier(max_iter=20), "binary", True, "onnx"),
    "forest": (lambda: RandomForestRegressor(5, random_state=0), "regression", False, "onnx"),
}


@pytest.mark.parametrize("case", CASES)
def test_each_form_agrees_with_the_estimator_on_rows_it_never_saw(case: str, tmp_path: Path) -> None:
    make, task, missing, compiled = CASES[case]
    matrix, value, positive = _world(missing)
    train, fresh = matrix[:400], matrix[400:]
    estimator = make().fit(train, (positive if task == "binary" else value)[:400])
    expected = estimator.predict_proba(fresh)[:, 1] if task == "binary" else estimator.predict(fresh)
    blobs = Blobs(tmp_path)

    files = save_model(estimator, train, task, blobs, NAMES)

    wanted = ["skops", compiled] if compiled == "linear" or onnx_format.is_available() else ["skops"]
    assert [file.format for file in files] == wanted
    for file in files:
        outputs = load_predictor([file], task, blobs).predict(fresh)
        assert outputs.dtype == np.float64
        np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)
    if len(files) == 2:
        assert "agrees with the trained model on 400 rows" in files[1].agreement


def test_boosting_takes_the_same_branch_for_values_on_a_threshold(tmp_path: Path) -> None:
    if not onnx_format.is_available():
        pytest.skip("skl2onnx is not installed")
    matrix, value, _ = _world(missing=True)
    estimator = HistGradientBoostingRegressor(max_iter=20).fit(matrix, value)
    nodes = np.concatenate([tree.nodes for (tree,) in estimator._predictors])
    thresholds = nodes["num_threshold"][(nodes["is_leaf"] == 0) & (nodes["feature_idx"] == 0)]
    rows = np.repeat(matrix[:1], 3 * len(thresholds), axis=0)
    rows[:, 0] = np.concatenate(
        [np.nextafter(thresholds, -np.inf), thresholds, np.nextafter(thresholds, np.inf)]
    )
    _, compiled = save_model(estimator, matrix, "regression", Blobs(tmp_path), NAMES)
    outputs = load_predictor([compiled], "regression", Blobs(tmp_path)).predict(rows)
    np.testing.assert_allclose(outputs, estimator.predict(rows), rtol=1e-6)


def test_model_fitted_on_named_columns_is_asked_with_names(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    matrix, value, _ = _world()
    frame = pl.DataFrame(matrix, schema=NAMES)
    estimator = HistGradientBoostingRegressor(max_iter=5).fit(frame, value)
    files = save_model(estimator, matrix, "regression", Blobs(tmp_path), NAMES)
    native = load_predictor(files[:1], "regression", Blobs(tmp_path))
    np.testing.assert_array_equal(native.predict(matrix), estimator.predict(frame))
    assert not [warning for warning in recwarn if "feature names" in str(warning.message)]


def test_a_conversion_that_disagrees_is_not_kept(tmp_path: Path) -> None:
    if not onnx_format.is_available():
        pytest.skip("skl2onnx is not installed")
    matrix, _, _ = _world()
    category = np.arange(600) % 5
    matrix[:, 3] = category
    value = np.array([0.0, 50, -50, 100, 3])[category] + matrix[:, 0]
    estimator = HistGradientBoostingRegressor(max_iter=20, categorical_features=[3]).fit(matrix, value)
    (native,) = save_model(estimator, matrix, "regression", Blobs(tmp_path), NAMES)
    assert "no onnx form" in native.agreement


def test_polynomial_pipelines_are_not_taken_for_linear(tmp_path: Path) -> None:
    matrix, value, _ = _world()
    estimator = make_pipeline(PolynomialFeatures(2), Ridge()).fit(matrix, value)
    assert "linear" not in [
        file.format for file in save_model(estimator, matrix, "regression", Blobs(tmp_path), NAMES)
    ]


def test_lightgbm_keeps_its_own_format(tmp_path: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm", exc_type=ImportError)
    matrix, value, positive = _world(missing=True)
    blobs = Blobs(tmp_path)
    for estimator, task in (
        (lightgbm.LGBMRegressor(n_estimators=10, verbose=-1).fit(matrix, value), "regression"),
        (lightgbm.LGBMClassifier(n_estimators=10, verbose=-1).fit(matrix, positive), "binary"),
    ):
        files = save_model(estimator, matrix, task, blobs, NAMES)
        assert [file.format for file in files] == ["lightgbm"]
        expected = estimator.predict_proba(matrix)[:, 1] if task == "binary" else estimator.predict(matrix)
        np.testing.assert_allclose(load_predictor(files, task, blobs).predict(matrix), expected, rtol=1e-12)
    regressor = lightgbm.LGBMRegressor(n_estimators=2, verbose=-1).fit(matrix, positive)
    with pytest.raises(UnusableModelError, match="task is binary"):
        save_model(regressor.booster_, matrix, "binary", blobs, NAMES)


def test_missing_library_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    blobs = Blobs(tmp_path)
    file = ModelFile("lightgbm", "native", blobs.put(b"tree"), 4)
    with pytest.raises(MissingLibraryError, match=r"pip install 'holdfast\[lightgbm\]'"):
        load_predictor([file], "regression", blobs)


def test_native_form_answers_when_the_compiled_one_cannot_be_read(tmp_path: Path) -> None:
    matrix, value, _ = _world()
    blobs = Blobs(tmp_path)
    estimator = Ridge().fit(matrix, value)
    native, _ = save_model(estimator, matrix, "regression", blobs, NAMES)
    broken = ModelFile("onnx", "compiled", blobs.put(b"not a model"), 11)
    predictor = load_predictor([native, broken], "regression", blobs)
    np.testing.assert_allclose(predictor.predict(matrix), estimator.predict(matrix))


@pytest.mark.parametrize("kind", ["linear", "onnx"])
def test_compiled_models_load_without_scikit_learn(kind: str, tmp_path: Path) -> None:
    matrix, value, _ = _world()
    if kind == "onnx" and not onnx_format.is_available():
        pytest.skip("skl2onnx is not installed")
    estimator = Ridge() if kind == "linear" else HistGradientBoostingRegressor(max_iter=3)
    files = save_model(estimator.fit(matrix, value), matrix, "regression", Blobs(tmp_path), NAMES)
    assert files[1].format == kind
    script = (
        "import sys, pathlib, numpy, msgspec\n"
        "from holdfast.base.blobs import Blobs\n"
        "from holdfast.registry.formats import load_predictor\n"
        "from holdfast.registry.records import ModelFile\n"
        "file = msgspec.json.decode(sys.argv[2], type=ModelFile)\n"
        "predictor = load_predictor([file], 'regression', Blobs(pathlib.Path(sys.argv[1])))\n"
        "assert predictor.predict(numpy.zeros((2, 4))).shape == (2,)\n"
        "print(sorted({'sklearn', 'skops', 'scipy', 'polars', 'skl2onnx'} & set(sys.modules)))\n"
    )
    import msgspec

    answer = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), msgspec.json.encode(files[1]).decode()],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == "[]"


class Homemade(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """An estimator whose code is not scikit-learn's."""

    def fit(self, matrix: Any, value: Any) -> Homemade:
        self.mean_ = float(np.mean(value))
        return self

    def predict(self, matrix: Any) -> Any:
        return np.full(len(matrix), self.mean_)


class Exploit:
    """Pickled, it would run a command when loaded."""

    def __reduce__(self) -> Any:
        import os

        return os.system, ("touch /tmp/holdfast-exploited",)


def test_estimators_outside_the_allow_list_are_refused_with_the_type(tmp_path: Path) -> None:
    matrix, value, _ = _world()
    with pytest.raises(UnusableModelError, match=r"cannot be loaded safely: .*Homemade"):
        save_model(Homemade().fit(matrix, value), matrix, "regression", Blobs(tmp_path), NAMES)
    shell = make_pipeline(FunctionTransformer(np.nan_to_num), Ridge()).fit(matrix, value)
    shell.steps[0][1].inverse_func = __import__("os").system
    with pytest.raises(UnusableModelError, match="system"):
        save_model(shell, matrix, "regression", Blobs(tmp_path), NAMES)


def test_files_that_ask_for_code_are_refused_before_anything_is_built(tmp_path: Path) -> None:
    import skops.io

    blobs = Blobs(tmp_path / "blobs")
    mark = tmp_path / "exploited"
    transformer = FunctionTransformer(__import__("os").system, kw_args={"command": f"touch {mark}"})
    hostile = blobs.put(skops.io.dumps(transformer))
    with pytest.raises(UntrustedModelError, match="system"):
        load_predictor([ModelFile("skops", "native", hostile, 1)], "regression", blobs)
    pickled = blobs.put(pickle.dumps(Exploit()))
    with pytest.raises(DamagedModelError, match="not a readable skops file"):
        load_predictor([ModelFile("skops", "native", pickled, 1)], "regression", blobs)
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr(
            "schema.json", '{"__class__": "system", "__module__": "os", "__loader__": "TypeNode"}'
        )
    with pytest.raises((UntrustedModelError, DamagedModelError)):
        load_predictor([ModelFile("skops", "native", blobs.put(archive.getvalue()), 1)], "regression", blobs)
    assert not mark.exists()
    assert not Path("/tmp/holdfast-exploited").exists()


@pytest.mark.parametrize(
    ("estimator", "task", "message"),
    [
        (None, "regression", "returned None; end it with `return model`"),
        (Ridge, "regression", "returned the class Ridge, not a fitted model"),
        ([1, 2], "regression", "returned a list, which has no predict method"),
        (Ridge(), "regression", "cannot predict 600 rows"),
        (LinearSVC().fit([[0], [1]], [0, 1]), "binary", "has no predict_proba"),
        (LogisticRegression().fit([[0], [1]], ["no", "yes"]), "binary", "not 0 and 1"),
        (Ridge().fit(np.zeros((4, 4)), np.zeros((4, 2))), "regression", "one finite number a row"),
    ],
)
def test_unusable_results_say_what_to_return(estimator: Any, task: Any, message: str, tmp_path: Path) -> None:
    matrix, _, _ = _world()
    with pytest.raises(UnusableModelError, match=message):
        save_model(estimator, matrix, task, Blobs(tmp_path), NAMES)
