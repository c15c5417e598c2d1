"""An unmodified MLflow client against a real server process."""

from __future__ import annotations

import hashlib
import math
import os
import uuid
from pathlib import Path

import pytest

from tests.real_mlflow import mlflow

pytestmark = pytest.mark.mlflow


@pytest.fixture(autouse=True)
def tracked(tracking_url, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri(tracking_url)
    experiment = mlflow.set_experiment(uuid.uuid4().hex)
    yield experiment.experiment_id
    mlflow.end_run()
    mlflow.autolog(disable=True, silent=True)


@pytest.fixture
def client(tracking_url):
    return mlflow.MlflowClient(tracking_url)


def test_a_run_is_read_as_it_was_logged(client, tracked):
    with mlflow.start_run(run_name="outer", tags={"team": "x"}, description="why") as outer:
        mlflow.log_params({"depth": 3, "name": "ünï"})
        mlflow.log_metrics({"a": 1, "b": 2}, step=4)
        for step, value in enumerate([1.5, math.nan, -math.inf]):
            mlflow.log_metric("loss", value, step=step)
        with mlflow.start_run(nested=True, run_name="inner") as inner:
            mlflow.log_metric("loss", 7)
    found = client.get_run(outer.info.run_id)
    assert found.data.params == {"depth": "3", "name": "ünï"}
    assert found.data.metrics == {"a": 1.0, "b": 2.0, "loss": -math.inf}
    assert (found.info.status, found.info.run_name) == ("FINISHED", "outer")
    assert found.data.tags["mlflow.note.content"] == "why"
    history = client.get_metric_history(outer.info.run_id, "loss")
    assert [(point.step, str(point.value)) for point in history] == [(0, "1.5"), (1, "nan"), (2, "-inf")]
    children = client.search_runs([tracked], f"tags.mlflow.parentRunId = '{outer.info.run_id}'")
    assert [run.info.run_id for run in children] == [inner.info.run_id]
    with pytest.raises(mlflow.MlflowException, match="Changing param values is not allowed"):
        client.log_param(outer.info.run_id, "depth", 4)


def test_batches_go_to_their_limits(client, tracked):
    from mlflow.entities import Metric, Param, RunTag

    run = client.create_run(tracked).info.run_id
    client.log_batch(run, [Metric(f"m{n % 50}", n, n, n) for n in range(1000)])
    client.log_batch(run, params=[Param(f"p{n}", str(n)) for n in range(100)])
    client.log_batch(run, tags=[RunTag(f"t{n}", str(n)) for n in range(100)])
    found = client.get_run(run)
    assert (len(found.data.metrics), len(found.data.params)) == (50, 100)
    assert found.data.metrics["m49"] == 999
    assert len(client.get_metric_history(run, "m3")) == 20


def test_searches_page_by_page(client, tracked):
    for number in range(7):
        run = client.create_run(tracked, start_time=1000 + number).info.run_id
        client.log_metric(run, "score", number % 3)
        client.log_param(run, "even", str(number % 2 == 0))
    found, token = [], None
    while True:
        page = client.search_runs(
            [tracked],
            "params.even = 'True' OR metrics.score = 1",
            order_by=["metrics.score DESC"],
            max_results=2,
            page_token=token,
        )
        found.extend((run.data.metrics["score"], run.info.start_time) for run in page)
        token = page.token
        if not token:
            break
    assert found == [(2.0, 1002), (1.0, 1004), (1.0, 1001), (0.0, 1006), (0.0, 1000)]
    frame = mlflow.search_runs([tracked], filter_string="metrics.score >= 1", order_by=["start_time ASC"])
    assert frame["metrics.score"].tolist() == [1.0, 2.0, 1.0, 2.0]
    with pytest.raises(mlflow.MlflowException, match="INVALID_PARAMETER_VALUE"):
        client.search_runs([tracked], "metrics.score >")


def test_deleted_things_come_back(client, tracked):
    run = client.create_run(tracked).info.run_id
    client.delete_run(run)
    assert client.get_run(run).info.lifecycle_stage == "deleted"
    assert client.search_runs([tracked]) == []
    with pytest.raises(mlflow.MlflowException, match="must be in the 'active' state"):
        client.log_metric(run, "a", 1)
    client.restore_run(run)
    client.delete_experiment(tracked)
    assert client.get_experiment(tracked).lifecycle_stage == "deleted"
    client.restore_experiment(tracked)
    assert client.get_run(run).info.lifecycle_stage == "active"


def test_artifacts_come_back_byte_by_byte(client, tracked, tmp_path):
    folder = tmp_path / "files"
    (folder / "sub").mkdir(parents=True)
    (folder / "a b.txt").write_text("a")
    (folder / "sub" / "ünï.bin").write_bytes(bytes(range(256)) * 100)
    (folder / "empty").write_bytes(b"")
    run = client.create_run(tracked).info.run_id
    client.log_artifacts(run, str(folder), "all")
    listed = {(item.path, item.is_dir, item.file_size) for item in client.list_artifacts(run, "all")}
    assert listed == {("all/a b.txt", False, 1), ("all/empty", False, 0), ("all/sub", True, None)}
    back = client.download_artifacts(run, "all", str(tmp_path))
    for file in folder.rglob("*"):
        if file.is_file():
            assert (tmp_path / "all" / file.relative_to(folder)).read_bytes() == file.read_bytes(), file
    assert back.endswith("all")
    with pytest.raises(Exception, match="nothing"):
        client.download_artifacts(run, "nothing", str(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("multipart", [False, True])
def test_a_file_of_100_mb_goes_up_and_down(client, tracked, tracking_home, tmp_path, multipart, monkeypatch):
    import psutil

    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", str(multipart).lower())
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", str(5 << 20))
    file = tmp_path / "big.bin"
    file.write_bytes(os.urandom(100 << 20))
    server = psutil.Process(tracking_home.server().pid)
    before = server.memory_info().rss
    run = client.create_run(tracked).info.run_id
    client.log_artifact(run, str(file))
    assert server.memory_info().rss - before < 60 << 20
    (tmp_path / "back").mkdir()
    back = Path(client.download_artifacts(run, "big.bin", str(tmp_path / "back")))
    assert server.memory_info().rss - before < 60 << 20
    with back.open("rb") as found, file.open("rb") as sent:
        assert hashlib.file_digest(found, "blake2b").digest() == hashlib.file_digest(sent, "blake2b").digest()


def test_autologging_of_scikit_learn_is_kept_and_the_model_loads(client, tracked):
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    mlflow.sklearn.autolog(silent=True)
    rng = np.random.default_rng(3)
    inputs = rng.random((60, 3))
    with mlflow.start_run() as run:
        fitted = LogisticRegression(C=0.5).fit(inputs, inputs[:, 0] > 0.5)
    found = client.get_run(run.info.run_id)
    assert found.data.params["C"] == "0.5"
    assert found.data.metrics["training_score"] > 0.7
    assert found.inputs.dataset_inputs[0].dataset.name == "dataset"
    (model,) = mlflow.search_logged_models([tracked], output_format="list")
    assert (model.source_run_id, model.status.value) == (run.info.run_id, "READY")
    assert found.outputs.model_outputs[0].model_id == model.model_id
    loaded = mlflow.sklearn.load_model(f"models:/{model.model_id}")
    assert (loaded.predict(inputs) == fitted.predict(inputs)).all()
    again = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    assert len(again.predict(inputs)) == 60


def test_a_project_in_the_url_is_a_world_of_its_own(tracking_url, client, tracked, tmp_path):
    other = mlflow.MlflowClient(f"{tracking_url}/p/other")
    assert [item.name for item in other.search_experiments()] == ["Default"]
    run = other.create_run("0").info.run_id
    mlflow.set_tracking_uri(f"{tracking_url}/p/other")
    other.log_text(run, "hello", "a.txt")
    assert [item.path for item in other.list_artifacts(run)] == ["a.txt"]
    with pytest.raises(mlflow.MlflowException, match="not found"):
        client.get_run(run)
