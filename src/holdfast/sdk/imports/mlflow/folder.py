"""An `mlruns` folder: the file store of MLflow, read without it.

mlruns/EXPERIMENT/meta.yaml, tags/KEY                   an experiment; deleted ones lie in .trash
mlruns/EXPERIMENT/RUN/meta.yaml, params/KEY, tags/KEY   a run
mlruns/EXPERIMENT/RUN/metrics/KEY                       lines "time value step"
mlruns/EXPERIMENT/RUN/inputs/*/meta.yaml, outputs/*/meta.yaml, artifacts/
mlruns/EXPERIMENT/datasets/ID/meta.yaml
mlruns/EXPERIMENT/models/ID/meta.yaml, params, tags, metrics, artifacts
mlruns/models/NAME/meta.yaml, tags, aliases/ALIAS, version-N/meta.yaml, version-N/tags
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import IO, Any

from holdfast.sdk.imports.mlflow.errors import SourceError
from holdfast.sdk.imports.mlflow.local_files import LocalFiles
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

_RUNS_A_PAGE = 200
_POINTS_A_PART = 50_000
_META = "meta.yaml"
_TRASH = ".trash"
_MODELS = "models"
_RUN_ID = re.compile(r"[0-9a-f]{32}")
_EXPERIMENT_ID = re.compile(r"\d+")
_RUN_STATUS = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
_MODEL_STATUS = {0: "UNSPECIFIED", 1: "PENDING", 2: "READY", 3: "UPLOAD_FAILED"}


def is_file_store(path: Path) -> bool:
    """Whether experiments lie in a folder."""
    return any(True for _ in _experiments_in(path)) or any(True for _ in _experiments_in(path / _TRASH))


class FolderSource:
    """A file store."""

    is_local = True

    def __init__(self, root: Path, artifacts: Path | None) -> None:
        self.name = str(root.resolve())
        self._root = root
        self._files = LocalFiles([root.parent / "mlartifacts", root], artifacts)
        self._places = {
            place.name: place for folder in (root, root / _TRASH) for place in _experiments_in(folder)
        }

    def experiments(self) -> list[SourceExperiment]:
        return [self._experiment(place) for _, place in sorted(self._places.items())]

    def run_count(self, experiment_id: str) -> int | None:
        return sum(1 for _ in _runs_in(self._places[experiment_id]))

    def run_pages(self, experiment_id: str) -> Iterator[list[SourceRun]]:
        places = iter(list(_runs_in(self._places[experiment_id])))
        while part := list(islice(places, _RUNS_A_PAGE)):
            yield sorted((self._run(place) for place in part), key=lambda run: (run.started_ms, run.run_id))

    def curves(self, runs: list[SourceRun]) -> Iterator[tuple[str, str, list[Point]]]:
        for run in runs:
            folder = self._places[run.experiment_id] / run.run_id / "metrics"
            for key in run.metrics:
                with (folder / key).open(encoding="utf-8") as lines:
                    while part := list(islice(lines, _POINTS_A_PART)):
                        yield run.run_id, key, [_point(folder / key, line) for line in part if line.strip()]

    def logged_models(self, experiment_id: str) -> Iterator[SourceLoggedModel]:
        folder = self._places[experiment_id] / _MODELS
        for place in _folders(folder):
            if (place / _META).is_file():
                yield _logged_model(place, experiment_id)

    def models(self) -> Iterator[SourceModel]:
        for place in _folders(self._root / _MODELS):
            if not (place / _META).is_file():
                continue
            meta = _yaml(place / _META)
            aliases = _pairs(place / "aliases")
            yield SourceModel(
                name=str(meta["name"]),
                created_ms=meta.get("creation_timestamp") or 0,
                updated_ms=meta.get("last_updated_timestamp") or 0,
                description=meta.get("description") or "",
                tags=_pairs(place / "tags"),
                aliases={alias: int(number) for alias, number in aliases.items()},
                versions=tuple(sorted(_versions(place), key=lambda item: item.version)),
            )

    def files(self, folder: Folder) -> list[SourceFile]:
        return self._files.files(folder)

    def open(self, folder: Folder, file: SourceFile) -> AbstractContextManager[IO[bytes]]:
        return self._files.open(folder, file)

    def close(self) -> None:
        pass

    def _experiment(self, place: Path) -> SourceExperiment:
        meta = _yaml(place / _META)
        return SourceExperiment(
            experiment_id=place.name,
            name=str(meta["name"]),
            lifecycle=meta.get("lifecycle_stage") or "active",
            created_ms=meta.get("creation_time") or 0,
            updated_ms=meta.get("last_update_time") or 0,
            artifact_location=meta.get("artifact_location") or "",
            tags=_pairs(place / "tags"),
        )

    def _run(self, place: Path) -> SourceRun:
        meta, tags = _yaml(place / _META), _pairs(place / "tags")
        status = meta.get("status", 1)
        read = [_yaml(item / _META) for item in _folders(place / "inputs")]
        wrote = [_yaml(item / _META) for item in _folders(place / "outputs")]
        return SourceRun(
            run_id=place.name,
            experiment_id=place.parent.name,
            name=meta.get("run_name") or tags.get("mlflow.runName", ""),
            status=_RUN_STATUS.get(status, str(status)),
            lifecycle=meta.get("lifecycle_stage") or "active",
            started_ms=meta.get("start_time") or 0,
            ended_ms=meta.get("end_time"),
            user=meta.get("user_id") or "",
            artifact_uri=meta.get("artifact_uri") or "",
            beside=str(place / "artifacts"),
            params=_pairs(place / "params"),
            tags=tags,
            metrics=_metric_marks(place / "metrics"),
            inputs=tuple(
                self._input(place.parent, item) for item in read if item["source_type"] == "DATASET"
            ),
            model_inputs=tuple(
                item["destination_id"] for item in read if item["destination_type"] == "MODEL_INPUT"
            ),
            model_outputs=tuple((item["destination_id"], item.get("step") or 0) for item in wrote),
        )

    def _input(self, experiment: Path, link: dict[str, Any]) -> SourceInput:
        meta = _yaml(experiment / "datasets" / str(link["source_id"]) / _META)
        return SourceInput(
            name=str(meta["name"]),
            digest=str(meta["digest"]),
            source_type=meta.get("source_type") or "",
            source=meta.get("source") or "",
            schema=meta.get("schema"),
            profile=meta.get("profile"),
            tags={str(key): str(value) for key, value in (link.get("tags") or {}).items()},
        )


def _logged_model(place: Path, experiment_id: str) -> SourceLoggedModel:
    meta = _yaml(place / _META)
    metrics = place / "metrics"
    return SourceLoggedModel(
        model_id=place.name,
        experiment_id=experiment_id,
        name=str(meta["name"]),
        status=_MODEL_STATUS.get(meta.get("status", 0), "UNSPECIFIED"),
        lifecycle=meta.get("lifecycle_stage") or "active",
        created_ms=meta.get("creation_timestamp") or 0,
        updated_ms=meta.get("last_updated_timestamp") or 0,
        model_type=meta.get("model_type") or "",
        source_run_id=meta.get("source_run_id") or "",
        artifact_uri=meta.get("artifact_location") or "",
        beside=str(place / "artifacts"),
        params=_pairs(place / "params"),
        tags=_pairs(place / "tags"),
        metrics=tuple(
            _model_metric(file, metrics, line)
            for file in _files(metrics)
            for line in file.read_text(encoding="utf-8").splitlines()
            if line.strip()
        ),
    )


def _versions(place: Path) -> Iterator[SourceVersion]:
    """Those of a model; one that was deleted keeps its folder under a stage of MLflow's own."""
    for item in _folders(place):
        if (item / _META).is_file():
            found = _version(item)
            if found.stage != "Deleted_Internal":
                yield found


def _version(place: Path) -> SourceVersion:
    meta = _yaml(place / _META)
    return SourceVersion(
        name=str(meta["name"]),
        version=int(meta["version"]),
        created_ms=meta.get("creation_timestamp") or 0,
        updated_ms=meta.get("last_updated_timestamp") or 0,
        source=meta.get("source") or "",
        storage=meta.get("storage_location") or "",
        run_id=meta.get("run_id") or "",
        user=meta.get("user_id") or "",
        description=meta.get("description") or "",
        stage=meta.get("current_stage") or "None",
        run_link=meta.get("run_link") or "",
        model_id=meta.get("model_id") or "",
        tags=_pairs(place / "tags"),
    )


def _point(file: Path, line: str) -> Point:
    """Step, time and value of a line; the oldest releases wrote no step.

    A line about a dataset has five parts, and its step all the same, though MLflow's own reader takes it for 0.
    """
    parts = line.split()
    try:
        step = int(parts[2]) if len(parts) in (3, 5) else 0
        return step, int(parts[0]), float(parts[1])
    except (ValueError, IndexError):
        raise SourceError(f"{file} holds a line that is not a metric: {line.strip()[:80]!r}") from None


def _model_metric(file: Path, root: Path, line: str) -> SourceModelMetric:
    parts = line.split()
    try:
        name, digest = (parts[4], parts[5]) if len(parts) == 6 else ("", "")
        return SourceModelMetric(
            key=file.relative_to(root).as_posix(),
            value=float(parts[1]),
            at_ms=int(parts[0]),
            step=int(parts[2]),
            run_id=parts[3],
            dataset_name=name,
            dataset_digest=digest,
        )
    except (ValueError, IndexError):
        raise SourceError(f"{file} holds a line that is not a metric: {line.strip()[:80]!r}") from None


def _metric_marks(folder: Path) -> dict[str, str]:
    return {file.relative_to(folder).as_posix(): str(file.stat().st_size) for file in _files(folder)}


def _pairs(folder: Path) -> dict[str, str]:
    """Keys and values of a folder with a file a key; a key may hold slashes."""
    return {file.relative_to(folder).as_posix(): file.read_text(encoding="utf-8") for file in _files(folder)}


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _experiments_in(folder: Path) -> Iterator[Path]:
    for place in _folders(folder):
        if _EXPERIMENT_ID.fullmatch(place.name) and (place / _META).is_file():
            yield place


def _runs_in(experiment: Path) -> Iterator[Path]:
    for place in _folders(experiment):
        if _RUN_ID.fullmatch(place.name) and (place / _META).is_file():
            yield place


def _yaml(file: Path) -> dict[str, Any]:
    import yaml

    try:
        # The C loader reads ten times as fast, and thousands of runs are thousands of files.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        found = yaml.load(file.read_text(encoding="utf-8"), loader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SourceError(f"{file} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise SourceError(f"{file} is not the description of anything of MLflow's")
    return found
