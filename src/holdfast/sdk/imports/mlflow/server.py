"""A running MLflow server, read by its REST API 2.0, as MLflow 2 and 3 serve it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import IO, Any
from urllib.parse import quote

from holdfast.sdk.imports.mlflow.errors import SourceError
from holdfast.sdk.imports.mlflow.http import AnswerError, Reader
from holdfast.sdk.imports.mlflow.records import (
    Folder,
    Point,
    SourceExperiment,
    SourceFile,
    SourceInput,
    SourceLoggedModel,
    SourceModel,
    SourceModelMetric,
    SourceRun,
    SourceVersion,
)

_API, _AJAX = "/api/2.0/mlflow", "/ajax-api/2.0/mlflow"
_EXPERIMENTS_A_PAGE = 1000
_RUNS_A_PAGE = 200
_RUNS_A_BULK = 100
_POINTS_A_PAGE = 25_000
_MODELS_A_PAGE = 100
_VERSIONS_A_PAGE = 1000
_PROMPTS = "tags.`mlflow.prompt.is_prompt` = 'true'"
_GONE = (404, 405, 501)


class ServerSource:
    """An MLflow server."""

    is_local = False

    def __init__(self, url: str, environ: Mapping[str, str]) -> None:
        self._reader = Reader(url, environ)
        self.name = self._reader.address
        self._has_bulk = True

    def experiments(self) -> list[SourceExperiment]:
        body = {"max_results": _EXPERIMENTS_A_PAGE, "view_type": "ALL"}
        try:
            found = list(self._searched(f"{_API}/experiments/search", body, "experiments"))
        except (AnswerError, ValueError) as error:
            if isinstance(error, AnswerError) and error.answer_status not in _GONE:
                raise
            raise SourceError(
                f"{self.name} is not an MLflow server of release 2 or 3 ({error})",
                hint="give its address without a path, such as http://127.0.0.1:5000",
            ) from None
        return sorted((_experiment(item) for item in found), key=lambda item: (item.created_ms, item.name))

    def run_count(self, experiment_id: str) -> int | None:
        return None

    def run_pages(self, experiment_id: str) -> Iterator[list[SourceRun]]:
        body = {
            "experiment_ids": [experiment_id],
            "run_view_type": "ALL",
            "max_results": _RUNS_A_PAGE,
            "order_by": ["attributes.start_time ASC"],
        }
        for page in self._pages(f"{_API}/runs/search", body):
            if found := page.get("runs"):
                yield [_run(item) for item in found]

    def curves(self, runs: list[SourceRun]) -> Iterator[tuple[str, str, list[Point]]]:
        having: dict[str, list[str]] = {}
        for run in runs:
            for key in run.metrics:
                having.setdefault(key, []).append(run.run_id)
        for key, run_ids in having.items():
            for start in range(0, len(run_ids), _RUNS_A_BULK):
                yield from self._curves_of(key, run_ids[start : start + _RUNS_A_BULK])

    def logged_models(self, experiment_id: str) -> Iterator[SourceLoggedModel]:
        body = {"experiment_ids": [experiment_id], "max_results": _MODELS_A_PAGE}
        try:
            for item in self._searched(f"{_API}/logged-models/search", body, "models"):
                yield _logged_model(item)
        except AnswerError as error:
            # Releases before 3 have no logged models.
            if error.answer_status not in _GONE:
                raise

    def models(self) -> Iterator[SourceModel]:
        names = set()
        for condition in ("", _PROMPTS):
            query = {"max_results": _MODELS_A_PAGE} | ({"filter": condition} if condition else {})
            for item in self._listed(f"{_API}/registered-models/search", query, "registered_models"):
                if item["name"] not in names:
                    names.add(item["name"])
                    yield self._model(item)

    def files(self, folder: Folder) -> list[SourceFile]:
        found, waiting = [], [""]
        while waiting:
            for item in self._children(folder, waiting.pop()):
                if item.get("is_dir"):
                    waiting.append(item["path"])
                else:
                    size = int(item.get("file_size") or 0)
                    found.append(SourceFile(item["path"], size, str(size)))
        return sorted(found, key=lambda file: file.path)

    def open(self, folder: Folder, file: SourceFile) -> AbstractContextManager[IO[bytes]]:
        if folder.kind == "logged_model":
            path = f"{_AJAX}/logged-models/{folder.owner}/artifacts/files"
            return self._reader.stream(path, {"artifact_file_path": file.path})
        return self._reader.stream("/get-artifact", {"path": file.path, "run_id": folder.owner})

    def close(self) -> None:
        self._reader.close()

    def _curves_of(self, key: str, run_ids: list[str]) -> Iterator[tuple[str, str, list[Point]]]:
        """Of many runs by one request, unless the server has none, or their points do not fit into one."""
        if self._has_bulk and len(run_ids) > 1:
            found = self._bulk(key, run_ids)
            if found is not None:
                for run_id, points in found.items():
                    yield run_id, key, points
                return
        for run_id in run_ids:
            query = {"run_id": run_id, "metric_key": key, "max_results": _POINTS_A_PAGE}
            for page in self._got_pages(f"{_API}/metrics/get-history", query):
                if points := [_point(item) for item in page.get("metrics", ())]:
                    yield run_id, key, points

    def _bulk(self, key: str, run_ids: list[str]) -> dict[str, list[Point]] | None:
        query = [("run_id", run_id) for run_id in run_ids]
        query += [("metric_key", key), ("max_results", str(_POINTS_A_PAGE))]
        try:
            points = self._reader.get(f"{_AJAX}/metrics/get-history-bulk", query).get("metrics", ())
        except AnswerError as error:
            if error.answer_status not in _GONE:
                raise
            self._has_bulk = False
            return None
        if len(points) >= _POINTS_A_PAGE:
            return None
        found: dict[str, list[Point]] = {}
        for item in points:
            found.setdefault(item["run_id"], []).append(_point(item))
        return found

    def _model(self, item: dict[str, Any]) -> SourceModel:
        name = item["name"]
        quoted = f'"{name}"' if "'" in name else f"'{name}'"
        condition = f"name = {quoted}"
        query = {"filter": condition, "max_results": _VERSIONS_A_PAGE}
        versions = list(self._listed(f"{_API}/model-versions/search", query, "model_versions"))
        tags = _pairs(item.get("tags"))
        if tags.get("mlflow.prompt.is_prompt", "").lower() == "true" and not versions:
            # MLflow 3 shows versions of prompts only to those who ask for prompts.
            query["filter"] = f"{condition} AND {_PROMPTS}"
            versions = list(self._listed(f"{_API}/model-versions/search", query, "model_versions"))
        return SourceModel(
            name=name,
            created_ms=int(item.get("creation_timestamp") or 0),
            updated_ms=int(item.get("last_updated_timestamp") or 0),
            description=item.get("description") or "",
            tags=tags,
            aliases={alias["alias"]: int(alias["version"]) for alias in item.get("aliases") or ()},
            versions=tuple(sorted((_version(found) for found in versions), key=lambda found: found.version)),
        )

    def _children(self, folder: Folder, path: str) -> Iterator[dict[str, Any]]:
        if folder.kind == "logged_model":
            at = f"{_API}/logged-models/{quote(folder.owner)}/artifacts/directories"
            query = {"artifact_directory_path": path} if path else {}
        else:
            at, query = f"{_API}/artifacts/list", {"run_id": folder.owner} | ({"path": path} if path else {})
        yield from self._listed(at, query, "files")

    def _searched(self, path: str, body: dict[str, Any], field: str) -> Iterator[dict[str, Any]]:
        for page in self._pages(path, body):
            yield from page.get(field) or ()

    def _listed(self, path: str, query: dict[str, Any], field: str) -> Iterator[dict[str, Any]]:
        for page in self._got_pages(path, query):
            yield from page.get(field) or ()

    def _pages(self, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        token = None
        while token is None or token:
            page = self._reader.post(path, body | ({"page_token": token} if token else {}))
            yield page
            token = page.get("next_page_token") or ""

    def _got_pages(self, path: str, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
        token = None
        while token is None or token:
            page = self._reader.get(path, query | ({"page_token": token} if token else {}))
            yield page
            token = page.get("next_page_token") or ""


def _experiment(item: dict[str, Any]) -> SourceExperiment:
    return SourceExperiment(
        experiment_id=str(item["experiment_id"]),
        name=item["name"],
        lifecycle=item.get("lifecycle_stage") or "active",
        created_ms=int(item.get("creation_time") or 0),
        updated_ms=int(item.get("last_update_time") or 0),
        artifact_location=item.get("artifact_location") or "",
        tags=_pairs(item.get("tags")),
    )


def _run(item: dict[str, Any]) -> SourceRun:
    info, data = item["info"], item.get("data") or {}
    inputs, outputs = item.get("inputs") or {}, item.get("outputs") or {}
    tags = _pairs(data.get("tags"))
    ended = info.get("end_time")
    return SourceRun(
        run_id=info.get("run_id") or info["run_uuid"],
        experiment_id=str(info["experiment_id"]),
        name=info.get("run_name") or tags.get("mlflow.runName", ""),
        status=info.get("status") or "RUNNING",
        lifecycle=info.get("lifecycle_stage") or "active",
        started_ms=int(info.get("start_time") or 0),
        ended_ms=int(ended) if ended else None,
        user=info.get("user_id") or "",
        artifact_uri=info.get("artifact_uri") or "",
        params=_pairs(data.get("params")),
        tags=tags,
        # The latest point changes with every point that is logged in the order of steps.
        metrics={
            metric["key"]: f"{metric.get('step', 0)}:{metric.get('timestamp', 0)}:{metric.get('value', 0)}"
            for metric in data.get("metrics") or ()
        },
        inputs=tuple(_input(found) for found in inputs.get("dataset_inputs") or ()),
        model_inputs=tuple(found["model_id"] for found in inputs.get("model_inputs") or ()),
        model_outputs=tuple(
            (found["model_id"], int(found.get("step") or 0)) for found in outputs.get("model_outputs") or ()
        ),
    )


def _input(item: dict[str, Any]) -> SourceInput:
    dataset = item["dataset"]
    return SourceInput(
        name=dataset["name"],
        digest=dataset.get("digest") or "",
        source_type=dataset.get("source_type") or "",
        source=dataset.get("source") or "",
        schema=dataset.get("schema"),
        profile=dataset.get("profile"),
        tags=_pairs(item.get("tags")),
    )


def _logged_model(item: dict[str, Any]) -> SourceLoggedModel:
    info, data = item["info"], item.get("data") or {}
    status = str(info.get("status") or "").removeprefix("LOGGED_MODEL_").removeprefix("STATUS_")
    return SourceLoggedModel(
        model_id=info["model_id"],
        experiment_id=str(info["experiment_id"]),
        name=info.get("name") or info["model_id"],
        status=status,
        lifecycle="active",
        created_ms=int(info.get("creation_timestamp_ms") or 0),
        updated_ms=int(info.get("last_updated_timestamp_ms") or 0),
        model_type=info.get("model_type") or "",
        source_run_id=info.get("source_run_id") or "",
        artifact_uri=info.get("artifact_uri") or "",
        params=_pairs(data.get("params")),
        tags=_pairs(info.get("tags")),
        metrics=tuple(
            SourceModelMetric(
                key=metric["key"],
                value=float(metric.get("value", 0)),
                at_ms=int(metric.get("timestamp") or 0),
                step=int(metric.get("step") or 0),
                run_id=metric.get("run_id") or "",
                dataset_name=metric.get("dataset_name") or "",
                dataset_digest=metric.get("dataset_digest") or "",
            )
            for metric in data.get("metrics") or ()
        ),
    )


def _version(item: dict[str, Any]) -> SourceVersion:
    return SourceVersion(
        name=item["name"],
        version=int(item["version"]),
        created_ms=int(item.get("creation_timestamp") or 0),
        updated_ms=int(item.get("last_updated_timestamp") or 0),
        source=item.get("source") or "",
        run_id=item.get("run_id") or "",
        user=item.get("user_id") or "",
        description=item.get("description") or "",
        stage=item.get("current_stage") or "None",
        run_link=item.get("run_link") or "",
        model_id=item.get("model_id") or "",
        tags=_pairs(item.get("tags")),
    )


def _point(item: dict[str, Any]) -> Point:
    return int(item.get("step") or 0), int(item.get("timestamp") or 0), float(item.get("value") or 0.0)


def _pairs(items: list[dict[str, str]] | None) -> dict[str, str]:
    return {item["key"]: item.get("value") or "" for item in items or ()}
