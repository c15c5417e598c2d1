"""MLflow's words in ours: statuses, times, addresses, and what tells whether something has changed."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from blake3 import blake3

from holdfast.registry.catalog.import_records import ImportModelRequest, ImportVersionRequest
from holdfast.sdk.imports.mlflow.records import (
    Point,
    SourceExperiment,
    SourceFile,
    SourceInput,
    SourceLoggedModel,
    SourceModel,
    SourceRun,
    SourceVersion,
)
from holdfast.tracking.import_records import (
    ImportedCurve,
    ImportedLoggedModel,
    ImportedModelMetric,
    ImportedRun,
    ImportExperimentRequest,
    carried,
)
from holdfast.tracking.records import DatasetUsed, Lifecycle, ModelLink, ModelStatus, RunInput, RunStatus

ADDRESS_TAG = "holdfast.source.artifact_uri"
_STATUSES: dict[str, RunStatus] = {
    "RUNNING": "running",
    "SCHEDULED": "scheduled",
    "FINISHED": "finished",
    "FAILED": "failed",
    "KILLED": "killed",
}
_MODEL_STATUSES: dict[str, ModelStatus] = {
    "PENDING": "pending",
    "READY": "ready",
    "UPLOAD_FAILED": "upload_failed",
}
_OF_RUN = re.compile(r"(?:^|/)([0-9a-f]{32})/artifacts/(.+?)/?$")
_OF_MODEL = re.compile(r"(?:^|/)(m-[0-9a-f]{32})(?:/artifacts)?/?$")


def experiment_request(source: str, given: SourceExperiment) -> ImportExperimentRequest:
    """An experiment as it is taken up."""
    return ImportExperimentRequest(
        source=source,
        source_id=given.experiment_id,
        name=given.name,
        lifecycle=_lifecycle(given.lifecycle),
        created_at=_micros(given.created_ms),
        updated_at=_micros(given.updated_ms),
        artifact_location=given.artifact_location,
        tags=_texts(given.tags),
    )


def imported_run(given: SourceRun, experiment_id: str, left_behind: bool) -> ImportedRun:
    """A run as it is taken up; one whose artifacts were left behind says where they are."""
    tags = _texts(given.tags)
    if given.name:
        tags["mlflow.runName"] = _text(given.name)
    if left_behind:
        tags[ADDRESS_TAG] = given.artifact_uri
    return ImportedRun(
        run_id=given.run_id,
        experiment_id=experiment_id,
        name=_text(given.name) or f"run-{given.run_id[:8]}",
        status=_STATUSES.get(given.status.upper(), "running"),
        lifecycle=_lifecycle(given.lifecycle),
        started_at=_micros(given.started_ms),
        ended_at=None if given.ended_ms is None else _micros(given.ended_ms),
        user=given.user or tags.get("mlflow.user", ""),
        parameters=_texts(given.params),
        tags=tags,
        inputs=tuple(_input(item) for item in given.inputs),
        model_inputs=tuple(ModelLink(model_id) for model_id in given.model_inputs),
        model_outputs=tuple(ModelLink(model_id, step) for model_id, step in given.model_outputs),
    )


def imported_curve(key: str, points: list[Point]) -> ImportedCurve:
    """Points of a metric as they are taken up."""
    return ImportedCurve(
        key,
        [step for step, _, _ in points],
        [_micros(at_ms) for _, at_ms, _ in points],
        [carried(value) for _, _, value in points],
    )


def imported_logged_model(given: SourceLoggedModel, experiment_id: str) -> ImportedLoggedModel:
    """A logged model as it is taken up."""
    return ImportedLoggedModel(
        model_id=given.model_id,
        experiment_id=experiment_id,
        name=given.name,
        status=_MODEL_STATUSES.get(given.status.upper(), "unspecified"),
        lifecycle=_lifecycle(given.lifecycle),
        created_at=_micros(given.created_ms),
        updated_at=_micros(given.updated_ms),
        model_type=given.model_type,
        source_run_id=given.source_run_id,
        parameters=_texts(given.params),
        tags=_texts(given.tags),
        metrics=tuple(
            ImportedModelMetric(
                item.key,
                carried(item.value),
                _micros(item.at_ms),
                item.step,
                item.run_id,
                item.dataset_name,
                item.dataset_digest,
            )
            for item in given.metrics
        ),
    )


def model_request(source: str, given: SourceModel) -> ImportModelRequest:
    """A registered model as it is taken up."""
    return ImportModelRequest(
        source=source,
        name=given.name,
        created_at=_micros(given.created_ms),
        updated_at=_micros(given.updated_ms),
        description=_text(given.description),
        tags=_texts(given.tags),
    )


def version_request(source: str, given: SourceVersion) -> ImportVersionRequest:
    """A version as it is taken up."""
    return ImportVersionRequest(
        source=source,
        name=given.name,
        version=given.version,
        original=given.storage or given.source,
        located=located(given.source, given.storage),
        created_at=_micros(given.created_ms),
        updated_at=_micros(given.updated_ms),
        run_id=given.run_id,
        description=_text(given.description),
        tags=_texts(given.tags),
        label=given.stage,
        logged_model=logged_model_of(given),
        run_link=given.run_link,
        created_by=given.user,
    )


def located(source: str, storage: str) -> str:
    """Where the files of a version lie once its run or logged model is here; empty when neither holds them.

    Example:
        >>> located("mlflow-artifacts:/1/0123456789abcdef0123456789abcdef/artifacts/model", "")
        'runs:/0123456789abcdef0123456789abcdef/model'
    """
    for address in (source, storage):
        if address.startswith(("runs:/", "models:/")):
            return address
        if match := _OF_MODEL.search(address):
            return f"models:/{match[1]}"
        if match := _OF_RUN.search(address):
            return f"runs:/{match[1]}/{match[2]}"
    return ""


def logged_model_of(given: SourceVersion) -> str:
    """The id of the logged model that a version was made of, or nothing."""
    if given.model_id:
        return given.model_id
    match = _OF_MODEL.search(given.source) if given.source.startswith("models:/") else None
    return match[1] if match else ""


def fingerprint(*parts: Any) -> str:
    """Changes when one of the parts does.

    Example:
        >>> fingerprint({"a": 1}) == fingerprint({"a": 1}), fingerprint(1) == fingerprint(2)
        (True, False)
    """
    return blake3(msgspec.json.encode(parts, order="deterministic")).hexdigest(16)


def stamps(files: list[SourceFile] | None) -> list[tuple[str, str]] | None:
    """What tells whether an artifact folder has changed."""
    return None if files is None else [(file.path, file.stamp) for file in files]


def _input(given: SourceInput) -> RunInput:
    dataset = DatasetUsed(
        given.name, given.digest, given.source_type, given.source, given.schema, given.profile
    )
    return RunInput(dataset, _texts(given.tags))


def _lifecycle(given: str) -> Lifecycle:
    return "deleted" if given == "deleted" else "active"


def _micros(milliseconds: int) -> int:
    return milliseconds * 1000


def _texts(pairs: dict[str, str]) -> dict[str, str]:
    return {key: _text(value) for key, value in pairs.items()}


def _text(value: str) -> str:
    # PostgreSQL keeps no NUL in a text.
    return value.replace("\x00", "\N{REPLACEMENT CHARACTER}")
