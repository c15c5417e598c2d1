"""Models that MLflow saved become files that serving loads; those that cannot, say why; pickles need trust."""

from __future__ import annotations

import operator
import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from holdfast.base import audit, events, lineage
from holdfast.base.blobs import Blobs
from holdfast.base.clock import SimulatedClock
from holdfast.base.context import Actor, Context
from holdfast.base.encoding import from_json
from holdfast.base.errors import ConflictError, ForbiddenError, InvalidError
from holdfast.base.home import Home
from holdfast.base.ledger import SqliteLedger
from holdfast.data.records import Contract
from holdfast.registry import store
from holdfast.registry.catalog.records import EntryDraft
from holdfast.registry.catalog.service.changes import Changes
from holdfast.registry.catalog.service.models import ModelCatalog
from holdfast.registry.catalog.service.versions import VersionCatalog
from holdfast.registry.errors import (
    NotReadyError,
    TrustNeededError,
    UnservableModelError,
    UntrustedModelError,
)
from holdfast.registry.formats import load_predictor
from holdfast.registry.outside.service import OutsideService
from holdfast.registry.outside.source import SourceFiles, artifact_folder
from holdfast.registry.outside.trees import check_trees
from holdfast.registry.service import RegistryService
from tests.real_mlflow import mlflow, pd

pytestmark = [pytest.mark.mlflow, pytest.mark.slow]

ANN = Context(Actor("ann"))
RNG = np.random.default_rng(1)
X = pd.DataFrame(RNG.standard_normal((200, 3)), columns=["temp", "wind", "hum"])
Y = X["temp"] * 3 - X["wind"] + RNG.standard_normal(200) * 0.1


class Tree:
    """Folders on disk as the artifact store."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self.folders: dict[str, Path] = {}

    def files(self, context, folder):
        root = self.folders.get(folder)
        if root is None:
            return {}
        found = [path for path in root.rglob("*") if path.is_file()]
        return {str(path.relative_to(root)): self._blobs.put_file(path) for path in found}

    def location_of_model(self, context, model_id):
        return f"mlflow-artifacts:/0/models/{model_id}/artifacts"

    def run_of_model(self, context, model_id):
        return "a" * 32

    def location_of_run(self, context, run_id, path):
        return f"mlflow-artifacts:/0/{run_id}/artifacts/{path}"


class World:
    def __init__(self, tmp_path: Path) -> None:
        self.home = Home(tmp_path / "home")
        self.home.prepare()
        migrations = (*events.MIGRATIONS, *lineage.MIGRATIONS, *audit.MIGRATIONS, *store.MIGRATIONS)
        self.ledger = SqliteLedger(self.home.ledger, migrations)
        self.blobs, clock = Blobs(self.home.blobs), SimulatedClock(1_000)
        self.registry = RegistryService(self.ledger, self.blobs, clock)
        changes = Changes(self.ledger, clock, lambda: None)
        self.models, self.versions = ModelCatalog(changes), VersionCatalog(changes)
        self.tree = Tree(self.blobs)
        self.outside = OutsideService(
            self.ledger, self.blobs, clock, self.home, self.registry, SourceFiles(self.tree, self.versions)
        )
        self._tmp = tmp_path
        self.models.create(ANN, "bikes", "", {})

    def logged(self, save, *arguments, **fields):
        """A version whose files a flavor's save_model wrote."""
        number = len(self.tree.folders) + 1
        folder = self._tmp / f"model-{number}"
        save(*arguments, path=str(folder), pip_requirements=[], **fields)
        return self.registered(folder)

    def registered(self, folder):
        model_id = f"m-{len(self.tree.folders):032x}"
        self.tree.folders[f"0/models/{model_id}/artifacts"] = folder
        return self.versions.register(ANN, EntryDraft("bikes", f"models:/{model_id}", run_id="a" * 32))

    def predictor(self, version):
        return load_predictor(version.files, version.task, self.blobs)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.ledger.close()


def test_a_skops_regressor_with_a_signature_becomes_servable(world):
    model = make_pipeline(StandardScaler(), LinearRegression()).fit(X, Y)
    entry = world.logged(
        mlflow.sklearn.save_model, model, input_example=X.head(5), serialization_format="skops"
    )
    with pytest.raises(NotReadyError, match="holdfast deploy bikes --version 1"):
        world.registry.version(ANN, "bikes", 1)
    ready = world.outside.make_ready(ANN, entry)
    assert (ready.stage, ready.task, ready.run_id) == ("gated", "regression", "a" * 32)
    assert [(column.name, column.type) for column in ready.signature.columns] == [
        ("temp", "float"),
        ("wind", "float"),
        ("hum", "float"),
    ]
    np.testing.assert_allclose(world.predictor(ready).predict(X.to_numpy()), model.predict(X), rtol=1e-6)
    contract = from_json(world.blobs.read(ready.contract_digest), Contract)
    assert [(field.name, field.role) for field in contract.fields][-2:] == [
        ("hum", "feature"),
        ("label", "label"),
    ]
    assert world.outside.make_ready(ANN, entry) == ready
    assert world.registry.latest(ANN, "bikes") == ready
    assert world.versions.get(ANN, "bikes", 1).ready


def test_a_classifier_answers_with_the_probability_of_class_1(world):
    model = HistGradientBoostingClassifier(max_iter=20, random_state=0).fit(X.to_numpy(), Y > 0)
    trusted = ["sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"]
    entry = world.logged(
        mlflow.sklearn.save_model, model, serialization_format="skops", skops_trusted_types=trusted
    )
    ready = world.outside.make_ready(ANN, entry)
    assert (ready.task, [column.name for column in ready.signature.columns]) == ("binary", ["x0", "x1", "x2"])
    expected = model.predict_proba(X.to_numpy())[:, 1]
    np.testing.assert_allclose(world.predictor(ready).predict(X.to_numpy()), expected, atol=1e-5)


def test_lightgbm_boosters_and_estimators_become_its_own_text(world):
    lightgbm = pytest.importorskip("lightgbm")
    parameters = {"objective": "binary", "verbosity": -1, "num_threads": 1}
    booster = lightgbm.train(parameters, lightgbm.Dataset(X, (Y > 0).astype(int)), num_boost_round=10)
    ready = world.outside.make_ready(ANN, world.logged(mlflow.lightgbm.save_model, booster))
    assert (ready.task, [file.format for file in ready.files]) == ("binary", ["lightgbm"])
    np.testing.assert_allclose(world.predictor(ready).predict(X.to_numpy()), booster.predict(X))


def test_a_lightgbm_estimator_stored_as_skops_becomes_text_too(world):
    lightgbm = pytest.importorskip("lightgbm")
    model = lightgbm.LGBMRegressor(n_estimators=10, verbosity=-1, n_jobs=1).fit(X, Y)
    entry = world.logged(mlflow.lightgbm.save_model, model, serialization_format="skops")
    ready = world.outside.make_ready(ANN, entry)
    assert (ready.task, [file.format for file in ready.files]) == ("regression", ["lightgbm"])
    np.testing.assert_allclose(world.predictor(ready).predict(X.to_numpy()), model.predict(X))


def test_onnx_models_are_served_as_they_are(world):
    skl2onnx = pytest.importorskip("skl2onnx")
    from mlflow import onnx as mlflow_onnx

    model = LogisticRegression().fit(X.to_numpy(), Y > 0)
    converted = skl2onnx.to_onnx(model, X.to_numpy(np.float32)[:1], options={"zipmap": False})
    ready = world.outside.make_ready(ANN, world.logged(mlflow_onnx.save_model, converted))
    assert (ready.task, [file.format for file in ready.files]) == ("binary", ["onnx"])
    expected = model.predict_proba(X.to_numpy())[:, 1]
    np.testing.assert_allclose(world.predictor(ready).predict(X.to_numpy()), expected, atol=1e-5)


def test_a_forged_tree_that_points_outside_of_itself_is_refused():
    forest = RandomForestRegressor(n_estimators=3, random_state=0).fit(X, Y)
    boosted = HistGradientBoostingClassifier(max_iter=3).fit(X, Y > 0)
    check_trees(make_pipeline(StandardScaler(), forest))
    check_trees(boosted)
    boosted._predictors[1][0].nodes["left"][0] = 10_000
    with pytest.raises(UntrustedModelError, match="points outside of itself"):
        check_trees({"steps": [("model", boosted)]})
    forest.estimators_[2].tree_.feature[0] = 3
    with pytest.raises(UntrustedModelError, match="points outside of itself"):
        check_trees(forest)


def test_a_pickle_is_refused_until_a_person_trusts_it_and_its_code_runs_in_a_child_only(world, tmp_path):
    mark = tmp_path / "code-ran"
    model = RandomForestRegressor(n_estimators=5, random_state=0).fit(X, Y)
    entry = world.logged(mlflow.sklearn.save_model, model, serialization_format="cloudpickle")
    folder = world.tree.folders[artifact_folder(world.tree.location_of_model(ANN, "m-" + "0" * 32))]
    import cloudpickle

    (folder / "model.pkl").write_bytes(cloudpickle.dumps(_Marking(model, str(mark))))
    with pytest.raises(TrustNeededError, match=r"cloudpickle, which runs whatever code .* add --trust"):
        world.outside.make_ready(ANN, entry)
    assert not mark.exists()
    with pytest.raises(ForbiddenError, match="is not a person"):
        world.outside.make_ready(ANN.as_loop(), entry, trust=True)
    ready = world.outside.make_ready(ANN, entry, trust=True)
    assert int(mark.read_text()) != os.getpid()
    np.testing.assert_allclose(world.predictor(ready).predict(X.to_numpy()), model.predict(X), rtol=1e-5)
    assert "pickle" not in {file.format for file in ready.files}
    assert "ran its writer's code, under trust" in ready.transitions[-1].reason
    with world.ledger.read() as reader:
        trusted = [item for item in audit.entries(reader, ANN, entry.urn) if item.action == "registry.trust"]
    assert [(item.actor, entry.source in item.detail) for item in trusted] == [("ann", True)]


class _Marking:
    """Writes the pid of whoever loads it, then is the model: what any pickle may do."""

    def __init__(self, model, path):
        self._model, self._path = model, path

    def __reduce__(self):
        write = f"__import__('pathlib').Path({self._path!r}).write_text(str(__import__('os').getpid()))"
        return operator.itemgetter(1), ((_Evaluated(write), self._model),)


class _Evaluated:
    def __init__(self, text):
        self._text = text

    def __reduce__(self):
        return eval, (self._text,)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: LogisticRegression().fit(X, (Y > 0).astype(int) + (Y > 1)), "3 classes apart"),
        (lambda: StandardScaler().fit(X), "neither a regressor nor a classifier"),
    ],
)
def test_what_cannot_be_served_says_why(world, make, why):
    entry = world.logged(mlflow.sklearn.save_model, make(), serialization_format="skops")
    with pytest.raises(UnservableModelError, match=why):
        world.outside.make_ready(ANN, entry)


def test_other_flavors_missing_files_and_text_columns_say_why(world, tmp_path):
    class Echo(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input):
            return model_input

    with pytest.raises(UnservableModelError, match="the flavors python_function"):
        world.outside.make_ready(ANN, world.logged(mlflow.pyfunc.save_model, python_model=Echo()))
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "readme.txt").write_text("nothing here")
    with pytest.raises(UnservableModelError, match="no MLmodel file"):
        world.outside.make_ready(ANN, world.registered(empty))
    (empty / "MLmodel").write_text("flavors: [1, 2")
    with pytest.raises(UnservableModelError, match="cannot be read"):
        world.outside.make_ready(ANN, world.registered(empty))
    elsewhere = world.versions.register(ANN, EntryDraft("bikes", "s3://bucket/model"))
    with pytest.raises(UnservableModelError, match=r"lie at s3://bucket/model"):
        world.outside.make_ready(ANN, elsewhere)
    nothing = world.versions.register(ANN, EntryDraft("bikes", "runs:/" + "b" * 32 + "/model"))
    with pytest.raises(UnservableModelError, match="there is nothing at"):
        world.outside.make_ready(ANN, nothing)


def test_modules_that_lie_in_the_model_folder_are_not_imported(world, tmp_path):
    folder = tmp_path / "trap"
    model = LinearRegression().fit(X, Y)
    mlflow.sklearn.save_model(model, str(folder), serialization_format="skops", pip_requirements=[])
    for name in ("yaml", "sklearn", "numpy", "holdfast"):
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'trapped')!r}, 'w').write('x')\n")
    ready = world.outside.make_ready(ANN, world.registered(folder))
    assert ready.stage == "gated"
    assert not (tmp_path / "trapped").exists()


def test_artifact_paths_cannot_leave_the_folder_and_tasks_must_agree(world):
    first = world.logged(
        mlflow.sklearn.save_model, LinearRegression().fit(X, Y), serialization_format="skops"
    )
    world.outside.make_ready(ANN, first)
    classifier = LogisticRegression().fit(X, Y > 0)
    second = world.logged(mlflow.sklearn.save_model, classifier, serialization_format="skops")
    with pytest.raises(ConflictError, match="the model bikes is regression"):
        world.outside.make_ready(ANN, second)
    digest = world.blobs.put(b"x")
    world.tree.files = lambda context, folder: {"../../escape": digest}
    with pytest.raises(InvalidError, match="leads out of the model folder"):
        world.outside.make_ready(ANN, second)
