"""MLflow's logged models."""

from __future__ import annotations

from typing import Any

import msgspec

from holdfast.base.errors import InvalidError
from holdfast.tracking.records import LoggedModel, ModelStatus
from holdfast.tracking.service import LoggedModelService
from holdfast.tracking.service.logged_models import model_order
from holdfast.wire.mlflow.experiments import pairs, with_page
from holdfast.wire.mlflow.messages import Int64, Pair, double
from holdfast.wire.mlflow.routing import Call, Route

_STATUSES: dict[str, ModelStatus] = {
    "LOGGED_MODEL_STATUS_UNSPECIFIED": "unspecified",
    "LOGGED_MODEL_PENDING": "pending",
    "LOGGED_MODEL_READY": "ready",
    "LOGGED_MODEL_UPLOAD_FAILED": "upload_failed",
}
_NAMES = {status: name for name, status in _STATUSES.items()}


class CreateLoggedModel(msgspec.Struct, frozen=True):
    experiment_id: str
    name: str = ""
    model_type: str = ""
    source_run_id: str = ""
    params: tuple[Pair, ...] = ()
    tags: tuple[Pair, ...] = ()


class FinalizeLoggedModel(msgspec.Struct, frozen=True):
    model_id: str
    status: str | int


class ModelId(msgspec.Struct, frozen=True):
    model_id: str
    allow_deleted: bool = False


class ModelPairs(msgspec.Struct, frozen=True):
    model_id: str
    params: tuple[Pair, ...] = ()
    tags: tuple[Pair, ...] = ()


class ModelTagKey(msgspec.Struct, frozen=True):
    model_id: str
    tag_key: str


class DatasetFilter(msgspec.Struct, frozen=True):
    dataset_name: str
    dataset_digest: str = ""


class OrderBy(msgspec.Struct, frozen=True):
    field_name: str
    ascending: bool = True
    dataset_name: str = ""
    dataset_digest: str = ""


class SearchLoggedModels(msgspec.Struct, frozen=True):
    experiment_ids: tuple[str, ...]
    filter: str = ""
    datasets: tuple[DatasetFilter, ...] = ()
    max_results: Int64 = 50
    order_by: tuple[OrderBy, ...] = ()
    page_token: str = ""


class LoggedModels:
    """The endpoints of logged models."""

    def __init__(self, models: LoggedModelService) -> None:
        self._models = models

    def routes(self) -> list[Route]:
        at = "/mlflow/logged-models"
        return [
            Route("POST", at, self.create),
            Route("POST", f"{at}/search", self.search),
            Route("GET", f"{at}/{{model_id}}", self.get),
            Route("PATCH", f"{at}/{{model_id}}", self.finalize),
            Route("DELETE", f"{at}/{{model_id}}", self.delete),
            Route("POST", f"{at}/{{model_id}}/params", self.log_parameters),
            Route("PATCH", f"{at}/{{model_id}}/tags", self.set_tags),
            Route("DELETE", f"{at}/{{model_id}}/tags/{{tag_key:path}}", self.delete_tag),
        ]

    def create(self, call: Call) -> Any:
        asked = call.read(CreateLoggedModel)
        found = self._models.create(
            call.context,
            asked.experiment_id,
            name=asked.name,
            model_type=asked.model_type,
            source_run_id=asked.source_run_id,
            parameters=[(pair.key, pair.value) for pair in asked.params],
            tags=[(pair.key, pair.value) for pair in asked.tags],
        )
        return {"model": model_message(found)}

    def get(self, call: Call) -> Any:
        asked = call.read(ModelId)
        found = self._models.get(call.context, asked.model_id, deleted_too=asked.allow_deleted)
        return {"model": model_message(found)}

    def finalize(self, call: Call) -> Any:
        asked = call.read(FinalizeLoggedModel)
        found = self._models.finish(call.context, asked.model_id, _status(asked.status))
        return {"model": model_message(found)}

    def delete(self, call: Call) -> None:
        self._models.delete(call.context, call.read(ModelId).model_id)

    def log_parameters(self, call: Call) -> None:
        asked = call.read(ModelPairs)
        self._models.log_parameters(
            call.context, asked.model_id, [(pair.key, pair.value) for pair in asked.params]
        )

    def set_tags(self, call: Call) -> Any:
        asked = call.read(ModelPairs)
        tags = [(pair.key, pair.value) for pair in asked.tags]
        return {"model": model_message(self._models.set_tags(call.context, asked.model_id, tags))}

    def delete_tag(self, call: Call) -> None:
        asked = call.read(ModelTagKey)
        self._models.delete_tag(call.context, asked.model_id, asked.tag_key)

    def search(self, call: Call) -> Any:
        asked = call.read(SearchLoggedModels)
        page = self._models.search(
            call.context,
            asked.experiment_ids,
            condition=asked.filter,
            datasets=[(given.dataset_name, given.dataset_digest) for given in asked.datasets],
            orders=[
                model_order(
                    given.field_name,
                    given.ascending,
                    (given.dataset_name, given.dataset_digest) if given.dataset_name else None,
                )
                for given in asked.order_by
            ],
            limit=asked.max_results,
            page=asked.page_token or None,
        )
        return with_page({"models": [model_message(model) for model in page.models]}, page.next_page)


def model_message(model: LoggedModel) -> dict[str, Any]:
    """A logged model as MLflow writes it."""
    info: dict[str, Any] = {
        "model_id": model.model_id,
        "experiment_id": model.experiment_id,
        "name": model.name,
        "creation_timestamp_ms": model.created_at // 1000,
        "last_updated_timestamp_ms": model.updated_at // 1000,
        "artifact_uri": model.artifact_location,
        "status": _NAMES[model.status],
        "model_type": model.model_type,
        "source_run_id": model.source_run_id,
        "tags": pairs(model.tags),
    }
    data: dict[str, Any] = {
        "params": pairs(model.parameters),
        "metrics": [
            {
                "key": metric.key,
                "value": double(metric.value),
                "timestamp": metric.at // 1000,
                "step": metric.step,
                "dataset_name": metric.dataset_name,
                "dataset_digest": metric.dataset_digest,
                "model_id": model.model_id,
                "run_id": metric.run_id,
            }
            for metric in model.metrics
        ],
    }
    data["metrics"] = [_filled(metric) for metric in data["metrics"]]
    return {"info": _filled(info), "data": _filled(data)}


def _filled(message: dict[str, Any]) -> dict[str, Any]:
    """The message without empty texts and lists, which MLflow leaves out."""
    return {key: value for key, value in message.items() if value not in ("", [])}


def _status(given: str | int) -> ModelStatus:
    names = list(_STATUSES)
    text = str(given)
    name = names[int(text)] if text.isdecimal() and int(text) < len(names) else text
    if name not in _STATUSES:
        raise InvalidError(
            f"Invalid value {text[:50]!r} for parameter 'status'", hint=f"use {', '.join(names)}"
        )
    return _STATUSES[name]
