"""An unmodified MLflow client against a real server process."""

from __future__ import annotations

import json
import math

import pytest

from tests.real_mlflow import mlflow, pd

pytestmark = [pytest.mark.mlflow, pytest.mark.usefixtures("tracked")]


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


def test_datasets_are_logged_and_found_by(client, tracked):
    frame = pd.DataFrame({"temp": [1.0, 2.0], "cnt": [3, 4]})
    dataset = mlflow.data.from_pandas(frame, source="rides.csv", targets="cnt", name="rides")
    with mlflow.start_run() as run:
        mlflow.log_input(dataset, context="training", tags={"split": "2011"})
        mlflow.log_input(dataset, context="training")
        mlflow.log_metric("mae", 3.5, dataset=dataset)
    (given,) = client.get_run(run.info.run_id).inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("rides", dataset.digest)
    assert {tag.key: tag.value for tag in given.tags}["mlflow.data.context"] == "training"
    assert json.loads(given.dataset.profile) == {"num_rows": 2, "num_elements": 4}
    assert mlflow.data.get_source(given.dataset).to_dict()["uri"] == "rides.csv"
    for text in (f"dataset.digest = '{dataset.digest}'", "dataset.name LIKE 'rid%'"):
        assert [item.info.run_id for item in client.search_runs([tracked], text)] == [run.info.run_id]
    assert client.search_runs([tracked], "dataset.name = 'others'") == []


def test_deleted_experiments_are_listed_as_such(client, tracked):
    ids = [client.create_experiment(f"{tracked}-{number}", tags={"of": tracked}) for number in range(3)]
    client.delete_experiment(ids[1])

    def listed(view):
        found = client.search_experiments(view, filter_string=f"tags.of = '{tracked}'")
        return sorted(item.experiment_id for item in found)

    views = mlflow.entities.ViewType
    assert listed(views.ACTIVE_ONLY) == sorted([ids[0], ids[2]])
    assert listed(views.DELETED_ONLY) == [ids[1]]
    assert listed(views.ALL) == sorted(ids)
    with pytest.raises(mlflow.MlflowException, match="active"):
        client.create_run(ids[1])
    client.restore_experiment(ids[1])
    assert client.create_run(ids[1]).info.lifecycle_stage == "active"
    page = client.search_experiments(filter_string=f"tags.of = '{tracked}'", max_results=2)
    rest = client.search_experiments(
        filter_string=f"tags.of = '{tracked}'", max_results=2, page_token=page.token
    )
    assert sorted(item.experiment_id for item in [*page, *rest]) == sorted(ids)


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


def test_a_project_in_the_url_is_a_world_of_its_own(tracking_url, client, tracked, tmp_path):
    other = mlflow.MlflowClient(f"{tracking_url}/p/other")
    assert [item.name for item in other.search_experiments()] == ["Default"]
    run = other.create_run("0").info.run_id
    mlflow.set_tracking_uri(f"{tracking_url}/p/other")
    other.log_text(run, "hello", "a.txt")
    assert [item.path for item in other.list_artifacts(run)] == ["a.txt"]
    with pytest.raises(mlflow.MlflowException, match="not found"):
        client.get_run(run)
