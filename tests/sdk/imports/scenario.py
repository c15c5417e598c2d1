"""What a team may have in an MLflow store, logged by the real client."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

# A source of its own, because the default one tells where this file lies.
RIDES = "https://example.org/rides.npy"
START_MS = 1_700_000_000_000


def log_scenario(uri: str) -> None:
    """Logs experiments, runs, curves, artifacts, logged models, registered models and aliases to a store."""
    import mlflow
    from mlflow import MlflowClient

    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    client = MlflowClient()
    bikes = client.create_experiment("bikes", tags={"team": "ops"})
    gone = client.create_experiment("gone")
    client.create_experiment("empty, with a comma")
    first = _first_run(client, bikes)
    _nested_runs(client, bikes)
    model_id = _logged_model(client, bikes, first)
    client.set_terminated(first, "FAILED", end_time=START_MS + 60_000)
    deleted = client.create_run(bikes, start_time=START_MS + 7).info.run_id
    client.delete_run(deleted)
    client.log_metric(client.create_run(gone, run_name="lost").info.run_id, "loss", 1.0)
    client.delete_experiment(gone)
    client.create_run("0", run_name="still running", start_time=START_MS + 9)
    _registry(client, first, model_id)
    if not uri.startswith("file"):
        mlflow.genai.register_prompt("greeting", "Hello {{name}}", commit_message="first words")


def _first_run(client, experiment_id):
    import mlflow
    import numpy as np
    from mlflow.entities import Metric, Param, RunTag

    run = client.create_run(
        experiment_id, run_name="the first", start_time=START_MS, tags={"colour": "blué", "empty": ""}
    ).info.run_id
    curve = [Metric("val/loss", 1 / (step + 1), START_MS + step, step) for step in range(300)]
    odd = [math.nan, math.inf, -math.inf, 1e308, -0.0, 5e-324]
    strange = [Metric("odd", value, START_MS + 5, step) for step, value in enumerate(odd)]
    again = [Metric("again", value, START_MS + at, 3) for at, value in ((0, 1.0), (0, 2.0), (1, 1.0))]
    params = [Param("learning rate", "0.1"), Param("long", "x" * 5000)]
    client.log_batch(run, curve + strange + again, params, [RunTag("note", "line\nline")])
    client.log_text(run, "hello\n", "notes/a file.txt")
    client.log_text(run, "größe", "notes/größe.txt")
    client.log_dict(run, {"a": 1}, "plain.json")
    rides = mlflow.data.from_numpy(np.arange(6.0).reshape(3, 2), RIDES, name="rides")
    with mlflow.start_run(run_id=run):
        mlflow.log_input(rides, context="training")
    return run


def _nested_runs(client, experiment_id):
    parent = client.create_run(experiment_id, run_name="search", start_time=START_MS + 10).info.run_id
    for number in range(5):
        child = client.create_run(
            experiment_id, start_time=START_MS + 20 + number, tags={"mlflow.parentRunId": parent}
        ).info.run_id
        client.log_param(child, "depth", str(number))
        for step in range(3):
            client.log_metric(child, "rmse", number + step / 10, timestamp=START_MS + step, step=step)
        client.set_terminated(child, end_time=START_MS + 30 + number)
    client.set_terminated(parent, end_time=START_MS + 90)


def _logged_model(client, experiment_id, run_id):
    import mlflow
    import numpy as np

    model = client.create_logged_model(
        experiment_id=experiment_id,
        name="model",
        source_run_id=run_id,
        params={"depth": "3"},
        tags={"kind": "tree"},
        model_type="boosted",
    )
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "data").mkdir()
        (Path(folder) / "MLmodel").write_text("flavors: {}\n")
        (Path(folder) / "data" / "weights.bin").write_bytes(bytes(range(256)) * 8)
        client.log_model_artifacts(model.model_id, folder)
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, [mlflow.entities.LoggedModelOutput(model.model_id, 2)])
    rides = mlflow.data.from_numpy(np.arange(6.0).reshape(3, 2), RIDES, name="rides")
    with mlflow.start_run(run_id=run_id):
        mlflow.log_metric(
            "accuracy", 0.75, step=1, timestamp=START_MS, model_id=model.model_id, dataset=rides
        )
    return model.model_id


def _registry(client, run_id, model_id):
    import warnings

    client.create_registered_model("bike-demand", tags={"owner": "ada"}, description="Rides per hour")
    source = f"models:/{model_id}"
    client.create_model_version(
        "bike-demand", source, run_id, tags={"checked": "yes"}, description="one", model_id=model_id
    )
    # Version 2 is missing: a number that a store does not give again.
    client.create_model_version("bike-demand", source, run_id, model_id=model_id)
    client.delete_model_version("bike-demand", "2")
    old_way = f"{client.get_run(run_id).info.artifact_uri}/notes"
    client.create_model_version("bike-demand", old_way, run_id)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client.transition_model_version_stage("bike-demand", "1", "Production")
    client.set_registered_model_alias("bike-demand", "champion", 1)
    client.set_registered_model_alias("bike-demand", "challenger", 3)
    client.set_registered_model_alias("bike-demand", "best", 3)
    client.create_registered_model("no versions")
