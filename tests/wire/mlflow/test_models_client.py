"""The real client's models: what autologging logs, logged models, and loading by alias."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression

from tests.real_mlflow import mlflow, pd

pytestmark = pytest.mark.mlflow

RNG = np.random.default_rng(3)
X = pd.DataFrame(RNG.random((60, 3)), columns=["temp", "wind", "hum"])
Y = X["temp"] > 0.5


def test_all_that_autologging_of_scikit_learn_logs_is_read_back(client, tracked, tmp_path):
    mlflow.sklearn.autolog(silent=True, log_input_examples=True, registered_model_name=f"auto-{tracked}")
    with mlflow.start_run() as run:
        fitted = RandomForestClassifier(n_estimators=7, random_state=0).fit(X, Y)
        score = fitted.score(X, Y)
    run_id = run.info.run_id
    found = client.get_run(run_id)
    assert found.info.status == "FINISHED"
    assert found.data.params == {key: str(value) for key, value in fitted.get_params().items()}
    assert found.data.metrics["training_accuracy_score"] == found.data.metrics["training_score"] == score
    assert score in [value for key, value in found.data.metrics.items() if "Classifier_score" in key]
    assert found.data.tags["estimator_name"] == "RandomForestClassifier"
    (given,) = found.inputs.dataset_inputs
    assert ("temp" in given.dataset.schema, given.tags[0].value) == (True, "train")
    names = {item.path for item in client.list_artifacts(run_id)}
    assert {"estimator.html", "training_confusion_matrix.png"} <= names
    picture = client.download_artifacts(run_id, "training_confusion_matrix.png", str(tmp_path))
    assert Path(picture).read_bytes().startswith(b"\x89PNG")
    (model,) = mlflow.search_logged_models([tracked], output_format="list")
    assert (model.source_run_id, model.status.value) == (run_id, "READY")
    assert [output.model_id for output in found.outputs.model_outputs] == [model.model_id]
    assert {item.key for item in model.metrics} >= {"training_score"}
    assert (mlflow.sklearn.load_model(model.model_uri).predict(X) == fitted.predict(X)).all()
    again = mlflow.pyfunc.load_model(f"runs:/{run_id}/model")
    assert [column.name for column in again.metadata.signature.inputs] == ["temp", "wind", "hum"]
    assert again.input_example.shape == (5, 3)
    assert (again.predict(X) == fitted.predict(X)).all()
    (version,) = client.search_model_versions(f"name = 'auto-{tracked}'")
    assert (version.run_id, int(version.version)) == (run_id, 1)


def test_a_failed_fit_leaves_a_failed_run(client, tracked):
    mlflow.sklearn.autolog(silent=True)
    with pytest.raises(ValueError, match="inconsistent"), mlflow.start_run() as run:
        LinearRegression().fit(X, Y[:5])
    assert client.get_run(run.info.run_id).info.status == "FAILED"


def test_logged_models_are_created_finished_tagged_searched_and_deleted(client, tracked):
    run = client.create_run(tracked).info.run_id
    ready = mlflow.entities.LoggedModelStatus.READY
    made = []
    for number in range(5):
        model = mlflow.create_external_model(
            name=f"m{number}",
            source_run_id=run,
            params={"depth": str(number)},
            tags={"parity": str(number % 2)},
            model_type="tree",
            experiment_id=tracked,
        )
        client.log_metric(run, "auc", number / 10, model_id=model.model_id, step=number)
        made.append(model.model_id)
    pending = mlflow.initialize_logged_model("pending", source_run_id=run, experiment_id=tracked)
    assert pending.status.value == "PENDING"
    client.log_model_params(pending.model_id, {"lr": "0.1"})
    mlflow.set_logged_model_tags(pending.model_id, {"owner": "ann", "gone": "soon"})
    mlflow.delete_logged_model_tag(pending.model_id, "gone")
    assert mlflow.finalize_logged_model(pending.model_id, ready).status == ready
    found = mlflow.get_logged_model(pending.model_id)
    assert (found.params, found.tags["owner"], "gone" in found.tags) == ({"lr": "0.1"}, "ann", False)

    def ids(text, **fields):
        order = [{"field_name": "metrics.auc", "ascending": False}]
        found = client.search_logged_models([tracked], filter_string=text, order_by=order, **fields)
        return [item.model_id for item in found], found.token

    assert ids("metrics.auc >= 0.2")[0] == [made[4], made[3], made[2]]
    assert ids("tags.parity = '1' AND params.depth != '3'")[0] == [made[1]]
    assert ids("name = 'm2'")[0] == [made[2]]
    first, token = ids("metrics.auc >= 0", max_results=3)
    rest, end = ids("metrics.auc >= 0", max_results=3, page_token=token)
    assert ([*first, *rest], end) == (made[::-1], None)
    client.delete_logged_model(made[0])
    assert made[0] not in ids("metrics.auc >= 0")[0]
    with pytest.raises(mlflow.MlflowException) as gone:
        client.get_logged_model(made[0])
    assert gone.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    with pytest.raises(mlflow.MlflowException, match="not found") as unknown:
        client.get_logged_model("m-" + "0" * 32)
    assert unknown.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_a_model_is_registered_and_loaded_by_a_free_alias(client, tracked):
    name = f"rides-{tracked}"
    for slope in (1.0, 2.0):
        model = LinearRegression().fit(X, X["temp"] * slope)
        with mlflow.start_run():
            info = mlflow.sklearn.log_model(
                model,
                name="model",
                input_example=X.head(2),
                serialization_format="skops",
                pip_requirements=[],
            )
        version = mlflow.register_model(info.model_uri, name, tags={"slope": str(slope)})
        assert version.status == "READY"
    client.set_registered_model_alias(name, "nightly", 1)
    loaded = mlflow.pyfunc.load_model(f"models:/{name}@nightly")
    np.testing.assert_allclose(loaded.predict(X), X["temp"])
    client.set_registered_model_alias(name, "nightly", 2)
    np.testing.assert_allclose(mlflow.pyfunc.load_model(f"models:/{name}@nightly").predict(X), X["temp"] * 2)
    np.testing.assert_allclose(mlflow.sklearn.load_model(f"models:/{name}/1").predict(X), X["temp"])
    np.testing.assert_allclose(mlflow.sklearn.load_model(f"models:/{name}/latest").predict(X), X["temp"] * 2)
    copied = client.copy_model_version(f"models:/{name}@nightly", f"{name}-copy")
    assert int(copied.version) == 1
    np.testing.assert_allclose(mlflow.sklearn.load_model(f"models:/{name}-copy/1").predict(X), X["temp"] * 2)
