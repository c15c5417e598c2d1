"""MLflow's runs: what is logged to them, and how they are found."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import msgspec

from holdfast.base.errors import InvalidError
from holdfast.tracking.records import DatasetUsed, LoggedPoint, LoggedRun, ModelLink, RunInput
from holdfast.tracking.service import RunService
from holdfast.wire.mlflow.experiments import pairs, view_of, with_page
from holdfast.wire.mlflow.messages import Int64, Pair, double
from holdfast.wire.mlflow.routing import Call, Route

_STATUSES = {"1": "running", "2": "scheduled", "3": "finished", "4": "failed", "5": "killed"}
_MODELS_TAG = "mlflow.log-model.history"
_MILLISECOND_US = 1000
_SEARCH_DEFAULT = 1000


class CreateRun(msgspec.Struct, frozen=True):
    experiment_id: str = "0"
    user_id: str = ""
    run_name: str = ""
    start_time: Int64 | None = None
    tags: tuple[Pair, ...] = ()


class RunId(msgspec.Struct, frozen=True):
    run_id: str = ""
    run_uuid: str = ""


class UpdateRun(msgspec.Struct, frozen=True):
    run_id: str = ""
    run_uuid: str = ""
    status: str | int | None = None
    end_time: Int64 | None = None
    run_name: str | None = None


class MetricMessage(msgspec.Struct, frozen=True):
    key: str
    value: float
    timestamp: Int64
    step: Int64 = 0
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class LogMetric(MetricMessage, frozen=True):
    run_id: str = ""
    run_uuid: str = ""


class LogPair(msgspec.Struct, frozen=True):
    """LogParam and SetTag."""

    key: str
    value: str = ""
    run_id: str = ""
    run_uuid: str = ""


class DeleteTag(msgspec.Struct, frozen=True):
    run_id: str
    key: str


class LogBatch(msgspec.Struct, frozen=True):
    run_id: str
    metrics: tuple[MetricMessage, ...] = ()
    params: tuple[Pair, ...] = ()
    tags: tuple[Pair, ...] = ()


class LogModel(msgspec.Struct, frozen=True):
    run_id: str
    model_json: str


class DatasetMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str
    digest: str
    source_type: str = ""
    source: str = ""
    schema: str | None = None
    profile: str | None = None


class DatasetInput(msgspec.Struct, frozen=True):
    dataset: DatasetMessage
    tags: tuple[Pair, ...] = ()


class ModelMessage(msgspec.Struct, frozen=True):
    model_id: str
    step: Int64 = 0


class LogInputs(msgspec.Struct, frozen=True):
    run_id: str
    datasets: tuple[DatasetInput, ...] = ()
    models: tuple[ModelMessage, ...] = ()


class LogOutputs(msgspec.Struct, frozen=True):
    run_id: str
    models: tuple[ModelMessage, ...]


class SearchRuns(msgspec.Struct, frozen=True):
    experiment_ids: tuple[str, ...] = ()
    filter: str = ""
    run_view_type: str | int = "ACTIVE_ONLY"
    max_results: Int64 = _SEARCH_DEFAULT
    order_by: tuple[str, ...] = ()
    page_token: str = ""


class Runs:
    """The endpoints of runs."""

    def __init__(self, runs: RunService) -> None:
        self._runs = runs

    def routes(self) -> list[Route]:
        at = "/mlflow/runs"
        return [
            Route("POST", f"{at}/create", submit=self.create),
            Route("GET", f"{at}/get", self.get),
            Route("POST", f"{at}/update", self.update),
            Route("POST", f"{at}/delete", self.delete),
            Route("POST", f"{at}/restore", self.restore),
            Route("POST", f"{at}/search", self.search),
            Route("POST", f"{at}/log-metric", submit=self.log_metric),
            Route("POST", f"{at}/log-parameter", submit=self.log_parameter),
            Route("POST", f"{at}/log-batch", submit=self.log_batch),
            Route("POST", f"{at}/set-tag", submit=self.set_tag),
            Route("POST", f"{at}/delete-tag", self.delete_tag),
            Route("POST", f"{at}/log-inputs", self.log_inputs),
            Route("POST", f"{at}/outputs", self.log_outputs),
            Route("POST", f"{at}/log-model", self.log_model),
        ]

    def create(self, call: Call) -> Future[Any]:
        asked = call.read(CreateRun)
        queued = self._runs.submit_create(
            call.context,
            asked.experiment_id,
            name=asked.run_name,
            user=asked.user_id,
            started_at=None if asked.start_time is None else asked.start_time * _MILLISECOND_US,
            tags=_pairs(asked.tags),
        )
        return _then(queued, lambda found: {"run": run_message(found)})

    def get(self, call: Call) -> Any:
        return {"run": run_message(self._runs.get(call.context, run_id_of(call.read(RunId))))}

    def update(self, call: Call) -> Any:
        asked = call.read(UpdateRun)
        found = self._runs.update(
            call.context,
            run_id_of(asked),
            status=None if asked.status is None else _status(asked.status),
            ended_at=None if asked.end_time is None else asked.end_time * _MILLISECOND_US,
            name=asked.run_name,
        )
        return {"run_info": _info(found)}

    def delete(self, call: Call) -> None:
        self._runs.delete(call.context, run_id_of(call.read(RunId)))

    def restore(self, call: Call) -> None:
        self._runs.restore(call.context, run_id_of(call.read(RunId)))

    def search(self, call: Call) -> Any:
        asked = call.read(SearchRuns)
        page = self._runs.search(
            call.context,
            asked.experiment_ids,
            condition=asked.filter,
            order_by=asked.order_by,
            view=view_of(asked.run_view_type),
            limit=asked.max_results,
            page=asked.page_token or None,
        )
        return with_page({"runs": [run_message(run) for run in page.runs]}, page.next_page)

    def log_metric(self, call: Call) -> Future[None]:
        asked = call.read(LogMetric)
        return self._runs.submit_batch(call.context, run_id_of(asked), [_point(asked)])

    def log_parameter(self, call: Call) -> Future[None]:
        asked = call.read(LogPair)
        return self._runs.submit_batch(call.context, run_id_of(asked), parameters=[(asked.key, asked.value)])

    def log_batch(self, call: Call) -> Future[None]:
        asked = call.read(LogBatch)
        return self._runs.submit_batch(
            call.context,
            asked.run_id,
            [_point(metric) for metric in asked.metrics],
            _pairs(asked.params),
            _pairs(asked.tags),
        )

    def set_tag(self, call: Call) -> Future[None]:
        asked = call.read(LogPair)
        return self._runs.submit_batch(call.context, run_id_of(asked), tags=[(asked.key, asked.value)])

    def delete_tag(self, call: Call) -> None:
        asked = call.read(DeleteTag)
        self._runs.delete_tag(call.context, asked.run_id, asked.key)

    def log_inputs(self, call: Call) -> None:
        asked = call.read(LogInputs)
        datasets = [
            RunInput(
                DatasetUsed(**msgspec.structs.asdict(given.dataset)),
                {tag.key: tag.value for tag in given.tags},
            )
            for given in asked.datasets
        ]
        self._runs.log_inputs(call.context, asked.run_id, datasets, _links(asked.models))

    def log_outputs(self, call: Call) -> None:
        asked = call.read(LogOutputs)
        self._runs.log_outputs(call.context, asked.run_id, _links(asked.models))

    def log_model(self, call: Call) -> None:
        asked = call.read(LogModel)
        try:
            model = json.loads(asked.model_json)
        except (ValueError, RecursionError):
            raise InvalidError("Malformed model info: it is not JSON", field="model_json") from None
        missing = {"artifact_path", "flavors", "utc_time_created", "run_id"} - set(
            model if isinstance(model, dict) else ()
        )
        if missing:
            raise InvalidError(
                f"Model json is missing mandatory fields: {', '.join(sorted(missing))}", field="model_json"
            )
        self._runs.append_to_tag(call.context, asked.run_id, _MODELS_TAG, model)


def _then(queued: Future[LoggedRun], message: Callable[[LoggedRun], Any]) -> Future[Any]:
    """A future of the message about what is queued."""
    answer: Future[Any] = Future()

    def settle(done: Future[LoggedRun]) -> None:
        raised = done.exception()
        if raised is None:
            answer.set_result(message(done.result()))
        else:
            answer.set_exception(raised)

    queued.add_done_callback(settle)
    return answer


def run_id_of(asked: Any) -> str:
    """The run that a message is about; old clients call its id run_uuid.

    Raises:
        InvalidError: it names none.
    """
    run_id: str = asked.run_id or asked.run_uuid
    if not run_id:
        raise InvalidError("Missing value for required parameter 'run_id'", field="run_id")
    return run_id


def run_message(run: LoggedRun) -> dict[str, Any]:
    """A run as MLflow writes it."""
    data: dict[str, Any] = {}
    if run.metrics:
        data["metrics"] = [
            {
                "key": metric.key,
                "value": double(metric.value),
                "timestamp": metric.at // 1000,
                "step": metric.step,
            }
            for metric in run.metrics
        ]
    if run.parameters:
        data["params"] = pairs(run.parameters)
    if run.tags:
        data["tags"] = pairs(run.tags)
    message: dict[str, Any] = {"info": _info(run), "data": data, "inputs": {}}
    if run.inputs:
        message["inputs"]["dataset_inputs"] = [_input(given) for given in run.inputs]
    if run.model_inputs:
        message["inputs"]["model_inputs"] = [{"model_id": link.model_id} for link in run.model_inputs]
    if run.model_outputs:
        message["outputs"] = {
            "model_outputs": [{"model_id": link.model_id, "step": link.step} for link in run.model_outputs]
        }
    return message


def _info(run: LoggedRun) -> dict[str, Any]:
    message: dict[str, Any] = {
        "run_id": run.run_id,
        "run_uuid": run.run_id,
        "run_name": run.name,
        "experiment_id": run.experiment_id,
        "user_id": run.user,
        "status": run.status.upper(),
        "start_time": run.started_at // 1000,
        "artifact_uri": run.artifact_root,
        "lifecycle_stage": run.lifecycle,
    }
    if run.ended_at is not None:
        message["end_time"] = run.ended_at // 1000
    return message


def _input(given: RunInput) -> dict[str, Any]:
    dataset = given.dataset
    message = DatasetMessage(
        dataset.name, dataset.digest, dataset.source_type, dataset.source, dataset.schema, dataset.profile
    )
    return {"tags": pairs(given.tags), "dataset": message} if given.tags else {"dataset": message}


def _point(metric: MetricMessage) -> LoggedPoint:
    return LoggedPoint(
        metric.key,
        metric.value,
        metric.timestamp * _MILLISECOND_US,
        metric.step,
        metric.model_id,
        metric.dataset_name,
        metric.dataset_digest,
    )


def _pairs(given: tuple[Pair, ...]) -> list[tuple[str, str]]:
    return [(pair.key, pair.value) for pair in given]


def _links(models: tuple[ModelMessage, ...]) -> list[ModelLink]:
    return [ModelLink(model.model_id, model.step) for model in models]


def _status(given: str | int) -> str:
    return _STATUSES.get(str(given), str(given).lower())
