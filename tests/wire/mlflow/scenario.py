"""What a user does with the MLflow client; recorded once, and sent to the server again by the tests."""

from __future__ import annotations


def use_tracking(url: str) -> None:
    """Calls every tracking endpoint that the client has, with values that do not change from run to run."""
    from mlflow import MlflowClient
    from mlflow.entities import (
        Dataset,
        DatasetInput,
        InputTag,
        LoggedModelInput,
        LoggedModelOutput,
        LoggedModelStatus,
        Metric,
        Param,
        RunTag,
        ViewType,
    )

    client = MlflowClient(url)
    experiment = client.create_experiment("recorded", tags={"team": "rides"})
    client.rename_experiment(experiment, "recorded again")
    client.set_experiment_tag(experiment, "stage", "first")
    client.delete_experiment_tag(experiment, "stage")
    client.get_experiment(experiment)
    client.get_experiment_by_name("recorded again")
    client.search_experiments(filter_string="tags.team = 'rides'", order_by=["name ASC"])
    client.delete_experiment(experiment)
    client.restore_experiment(experiment)

    run = client.create_run(experiment, start_time=1_700_000_000_000, run_name="outer", tags={"a": "b"})
    run_id = run.info.run_id
    inner = client.create_run(
        experiment, start_time=1_700_000_001_000, run_name="inner", tags={"mlflow.parentRunId": run_id}
    )
    client.log_metric(run_id, "loss", 0.5, timestamp=1_700_000_002_000, step=1)
    client.log_metric(run_id, "loss", float("nan"), timestamp=1_700_000_003_000, step=2)
    client.log_metric(run_id, "loss", float("-inf"), timestamp=1_700_000_004_000, step=3)
    client.log_param(run_id, "depth", 3)
    client.set_tag(run_id, "note", "ünïcode ✓")
    client.delete_tag(run_id, "note")
    client.log_batch(
        run_id,
        metrics=[Metric("acc", step / 10, 1_700_000_000_000 + step, step) for step in range(5)],
        params=[Param("lr", "0.1"), Param("long", "x" * 500)],
        tags=[RunTag("kind", "test")],
    )
    dataset = Dataset("rides", "d1", "local", '{"uri": "hour.csv"}', '{"columns": 3}', '{"rows": 9}')
    client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
    client.get_metric_history(run_id, "acc")
    client.get_run(run_id)
    client.update_run(run_id, status="FINISHED", name="renamed")
    client.set_terminated(inner.info.run_id, "FAILED", end_time=1_700_000_009_000)
    client.search_runs(
        [experiment], "metrics.acc > 0.1 and params.depth = '3'", order_by=["metrics.acc DESC"]
    )
    first = client.search_runs([experiment], max_results=1)
    client.search_runs([experiment], max_results=1, page_token=first.token)
    client.search_runs([experiment], "datasets.name = 'rides'", run_view_type=ViewType.ALL)
    client.delete_run(inner.info.run_id)
    client.restore_run(inner.info.run_id)

    client.log_text(run_id, "hello", "notes/hello.txt")
    client.log_dict(run_id, {"a": 1}, "a.json")
    client.list_artifacts(run_id)
    client.list_artifacts(run_id, "notes")

    model = client.create_logged_model(
        experiment,
        name="clf",
        source_run_id=run_id,
        params={"depth": "3"},
        tags={"a": "b"},
        model_type="tree",
    )
    client.log_metric(
        run_id,
        "auc",
        0.9,
        timestamp=1_700_000_005_000,
        model_id=model.model_id,
        dataset_name="rides",
        dataset_digest="d1",
    )
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
    client.log_inputs(run_id, models=[LoggedModelInput(model.model_id)])
    client.set_logged_model_tags(model.model_id, {"c": "d"})
    client.delete_logged_model_tag(model.model_id, "c")
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    client.get_logged_model(model.model_id)
    client.search_logged_models([experiment], filter_string="metrics.auc > 0.5")
    client.delete_logged_model(model.model_id)


def use_registry(url: str) -> None:
    """Calls every endpoint of the registry that the client has, refusals among them."""
    from mlflow import MlflowClient, MlflowException
    from mlflow.entities import WebhookEvent

    client = MlflowClient(url, url)
    client.create_registered_model("bikes", tags={"team": "rides"}, description="hourly")
    client.create_registered_model("cabs")
    client.update_registered_model("bikes", "hourly demand")
    client.set_registered_model_tag("bikes", "tier", "1")
    client.delete_registered_model_tag("bikes", "tier")
    for number in range(3):
        client.create_model_version(
            "bikes",
            f"models:/m-{number:032x}",
            run_id=f"{number:032x}",
            tags={"n": str(number)},
            description="ünïcode ✓",
            await_creation_for=0,
        )
    client.update_model_version("bikes", "1", "first")
    client.set_model_version_tag("bikes", "1", "checked", "yes")
    client.delete_model_version_tag("bikes", "1", "n")
    client.set_registered_model_alias("bikes", "nightly", "1")
    client.set_registered_model_alias("bikes", "nightly", "2")
    client.get_model_version_by_alias("bikes", "nightly")
    client.get_model_version("bikes", "1")
    client.get_registered_model("bikes")
    client.get_model_version_download_uri("bikes", "1")
    client.transition_model_version_stage("bikes", "2", "Staging")
    client.get_latest_versions("bikes", ["Staging"])
    first = client.search_registered_models(max_results=1)
    client.search_registered_models(max_results=1, page_token=first.token)
    client.search_registered_models("name LIKE 'bik%' AND tags.team = 'rides'", order_by=["name DESC"])
    client.search_model_versions("name = 'bikes' AND tags.n = '2'")
    page = client.search_model_versions("name = 'bikes'", max_results=2, order_by=["version_number DESC"])
    client.search_model_versions(
        "name = 'bikes'", max_results=2, order_by=["version_number DESC"], page_token=page.token
    )
    for refused in (
        lambda: client.create_registered_model("bikes"),
        lambda: client.create_registered_model("a/b"),
        lambda: client.get_registered_model("none"),
        lambda: client.get_model_version("bikes", "9"),
        lambda: client.get_model_version_by_alias("bikes", "none"),
        lambda: client.set_registered_model_alias("bikes", "champion", "1"),
        lambda: client.search_model_versions("colour = 'red'"),
        lambda: client.transition_model_version_stage("bikes", "2", "Live"),
    ):
        try:
            refused()
        except MlflowException:
            continue
        raise AssertionError("it was not refused")
    client.delete_registered_model_alias("bikes", "nightly")
    client.delete_model_version("bikes", "3")
    client.rename_registered_model("bikes", "bike-demand")
    client.delete_registered_model("cabs")

    client.create_prompt("greeting", description="how we say hello", tags={"tone": "warm"})
    client.register_prompt("greeting", "Hello {{name}}!", commit_message="first")
    client.register_prompt("greeting", "Hi {{name}}!", tags={"tone": "short"})
    client.set_prompt_alias("greeting", "best", 2)
    client.load_prompt("prompts:/greeting@best")
    client.get_prompt_version("greeting", "1")
    client.set_prompt_tag("greeting", "a", "b")
    client.set_prompt_version_tag("greeting", "1", "c", "d")
    client.search_prompts()
    client.delete_prompt_version_tag("greeting", "1", "c")
    client.delete_prompt_alias("greeting", "best")
    client.delete_prompt_version("greeting", "1")

    events = [WebhookEvent.from_str("model_version.created")]
    hook = client.create_webhook("ci", "http://127.0.0.1:1/hook", events, description="tells CI", secret="x")
    client.get_webhook(hook.webhook_id)
    client.update_webhook(hook.webhook_id, name="cd")
    client.list_webhooks()
    client.delete_webhook(hook.webhook_id)
