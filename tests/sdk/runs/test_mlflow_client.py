"""A run that a script logged is an ordinary run to an unmodified MLflow client."""

from __future__ import annotations

from pathlib import Path

import pytest

import holdfast as hf
from tests.real_mlflow import mlflow
from tests.sdk.runs.conftest import World

pytestmark = pytest.mark.mlflow


def test_mlflow_reads_what_hf_run_logged(world: World, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("hello")
    given = {"home": str(world.home.root), "quiet": True, "system_metrics": False}
    with hf.run(
        "read by mlflow", name="whole", parameters={"depth": 6}, tags={"team": "risk"}, **given
    ) as run:
        for step in range(50):
            run.log(loss=1 / (step + 1), step=step)
        run.log({"val/loss": float("inf")}, step=3)
        run.log_dataset("notes", file)
        run.log_artifact(file, "texts/notes.txt")
        with run.child("part") as part:
            part.log(loss=2.0)
    client = mlflow.MlflowClient(world.url, world.url)
    found = client.get_run(run.run_id)
    assert (found.info.status, found.info.run_name) == ("FINISHED", "whole")
    assert found.data.params == {"depth": "6"}
    assert found.data.metrics == {"loss": 1 / 50, "val/loss": float("inf")}
    assert found.data.tags["team"] == "risk" and found.data.tags["mlflow.source.type"] == "LOCAL"
    assert [item.dataset.name for item in found.inputs.dataset_inputs] == ["notes"]
    history = client.get_metric_history(run.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(step, 1 / (step + 1)) for step in range(50)]
    assert [item.path for item in client.list_artifacts(run.run_id, "texts")] == ["texts/notes.txt"]
    downloaded = client.download_artifacts(run.run_id, "texts/notes.txt", str(tmp_path))
    assert Path(downloaded).read_text() == "hello"
    children = client.search_runs(
        [found.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run.run_id}' AND metrics.loss = 2"
    )
    assert [child.info.run_id for child in children] == [part.run_id]
    # And the other way round: the client goes on with what the script began.
    client.log_metric(run.run_id, "loss", 0.0, step=50)
    assert world.points(run.run_id, "loss")[-1] == (50, 0.0)
