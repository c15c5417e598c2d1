"""MLflow's experiments."""

from __future__ import annotations

from typing import Any

import msgspec

from holdfast.base.errors import InvalidError
from holdfast.tracking.records import Experiment, View
from holdfast.tracking.service import ExperimentService, RunService
from holdfast.wire.mlflow.messages import Int64, Pair
from holdfast.wire.mlflow.routing import Call, Route

_VIEWS: dict[str, View] = {"ACTIVE_ONLY": "active", "DELETED_ONLY": "deleted", "ALL": "all"}
_VIEW_NUMBERS = {"1": "ACTIVE_ONLY", "2": "DELETED_ONLY", "3": "ALL"}
_SEARCH_DEFAULT = 1000
_DATASET_EXPERIMENTS_MOST = 20


class CreateExperiment(msgspec.Struct, frozen=True):
    name: str
    artifact_location: str = ""
    tags: tuple[Pair, ...] = ()


class ExperimentId(msgspec.Struct, frozen=True):
    experiment_id: str


class ExperimentName(msgspec.Struct, frozen=True):
    experiment_name: str


class UpdateExperiment(msgspec.Struct, frozen=True):
    experiment_id: str
    new_name: str


class SearchExperiments(msgspec.Struct, frozen=True):
    max_results: Int64 = _SEARCH_DEFAULT
    page_token: str = ""
    filter: str = ""
    order_by: tuple[str, ...] = ()
    view_type: str | int = "ACTIVE_ONLY"


class ExperimentTag(msgspec.Struct, frozen=True):
    experiment_id: str
    key: str
    value: str = ""


class ExperimentTagKey(msgspec.Struct, frozen=True):
    experiment_id: str
    key: str


class SearchDatasets(msgspec.Struct, frozen=True):
    experiment_ids: tuple[str, ...]


class Experiments:
    """The endpoints of experiments."""

    def __init__(self, experiments: ExperimentService, runs: RunService) -> None:
        self._experiments = experiments
        self._runs = runs

    def routes(self) -> list[Route]:
        at = "/mlflow/experiments"
        return [
            Route("POST", f"{at}/create", self.create),
            Route("GET", f"{at}/get", self.get),
            Route("GET", f"{at}/get-by-name", self.get_by_name),
            Route("GET", f"{at}/search", self.search),
            Route("POST", f"{at}/search", self.search),
            Route("POST", f"{at}/update", self.update),
            Route("POST", f"{at}/delete", self.delete),
            Route("POST", f"{at}/restore", self.restore),
            Route("POST", f"{at}/set-experiment-tag", self.set_tag),
            Route("POST", f"{at}/delete-experiment-tag", self.delete_tag),
            Route("POST", f"{at}/search-datasets", self.search_datasets),
        ]

    def create(self, call: Call) -> Any:
        asked = call.read(CreateExperiment)
        tags = [(tag.key, tag.value) for tag in asked.tags]
        return {
            "experiment_id": self._experiments.create(call.context, asked.name, asked.artifact_location, tags)
        }

    def get(self, call: Call) -> Any:
        found = self._experiments.get(call.context, call.read(ExperimentId).experiment_id)
        return {"experiment": experiment_message(found)}

    def get_by_name(self, call: Call) -> Any:
        found = self._experiments.get_by_name(call.context, call.read(ExperimentName).experiment_name)
        return {"experiment": experiment_message(found)}

    def search(self, call: Call) -> Any:
        asked = call.read(SearchExperiments)
        page = self._experiments.search(
            call.context,
            condition=asked.filter,
            order_by=asked.order_by,
            view=view_of(asked.view_type),
            limit=asked.max_results,
            page=asked.page_token or None,
        )
        answer: dict[str, Any] = {"experiments": [experiment_message(item) for item in page.experiments]}
        return with_page(answer, page.next_page)

    def update(self, call: Call) -> None:
        asked = call.read(UpdateExperiment)
        self._experiments.rename(call.context, asked.experiment_id, asked.new_name)

    def delete(self, call: Call) -> None:
        self._experiments.delete(call.context, call.read(ExperimentId).experiment_id)

    def restore(self, call: Call) -> None:
        self._experiments.restore(call.context, call.read(ExperimentId).experiment_id)

    def set_tag(self, call: Call) -> None:
        asked = call.read(ExperimentTag)
        self._experiments.set_tag(call.context, asked.experiment_id, asked.key, asked.value)

    def delete_tag(self, call: Call) -> None:
        asked = call.read(ExperimentTagKey)
        self._experiments.delete_tag(call.context, asked.experiment_id, asked.key)

    def search_datasets(self, call: Call) -> Any:
        ids = call.read(SearchDatasets).experiment_ids
        if not 1 <= len(ids) <= _DATASET_EXPERIMENTS_MOST:
            raise InvalidError(
                f"SearchDatasets takes 1 to {_DATASET_EXPERIMENTS_MOST} experiment_ids, not {len(ids)}"
            )
        rows = self._runs.dataset_summaries(call.context, ids)
        fields = ("experiment_id", "name", "digest", "context")
        return {
            "dataset_summaries": [
                {field: value for field, value in zip(fields, row, strict=True) if value is not None}
                for row in rows
            ]
        }


def experiment_message(found: Experiment) -> dict[str, Any]:
    """An experiment as MLflow writes it."""
    message: dict[str, Any] = {
        "experiment_id": found.experiment_id,
        "name": found.name,
        "artifact_location": found.artifact_location,
        "lifecycle_stage": found.lifecycle,
        "last_update_time": found.updated_at // 1000,
        "creation_time": found.created_at // 1000,
    }
    if found.tags:
        message["tags"] = pairs(found.tags)
    return message


def pairs(values: dict[str, str]) -> list[dict[str, str]]:
    """Tags or parameters as MLflow writes them."""
    return [{"key": key, "value": value} for key, value in values.items()]


def with_page(answer: dict[str, Any], next_page: str | None) -> dict[str, Any]:
    """The answer without empty lists, with the token of the next page where there is one."""
    answer = {key: value for key, value in answer.items() if value}
    if next_page is not None:
        answer["next_page_token"] = next_page
    return answer


def view_of(view_type: str | int) -> View:
    """The view that an enum of MLflow means, by name or number.

    Raises:
        InvalidError: it is none.
    """
    name = _VIEW_NUMBERS.get(str(view_type), str(view_type))
    if name not in _VIEWS:
        raise InvalidError(
            f"Invalid value {name[:50]!r} for the view type", hint=f"valid are {', '.join(_VIEWS)}"
        )
    return _VIEWS[name]
