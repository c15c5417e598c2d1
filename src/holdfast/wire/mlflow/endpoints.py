"""All endpoints of the door, from the services that answer them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from holdfast.registry.outside.source import SourceFiles
from holdfast.tracking.service import (
    ArtifactService,
    ExperimentService,
    LoggedModelService,
    MetricService,
    RunService,
)
from holdfast.wire.mlflow import server_info
from holdfast.wire.mlflow.artifacts import Artifacts
from holdfast.wire.mlflow.experiments import Experiments
from holdfast.wire.mlflow.logged_models import LoggedModels
from holdfast.wire.mlflow.metrics import Metrics
from holdfast.wire.mlflow.model_folders import ModelFolders
from holdfast.wire.mlflow.routing import Route
from holdfast.wire.mlflow.runs import Runs


@dataclass(frozen=True)
class TrackingDoors:
    """What the tracking side of the door calls."""

    experiments: ExperimentService
    runs: RunService
    metrics: MetricService
    models: LoggedModelService
    artifacts: ArtifactService


def mlflow_routes(
    tracking: TrackingDoors, sources: SourceFiles, folders: ModelFolders, registry: Iterable[Route]
) -> list[Route]:
    """The routes of every noun; those of the registry come ready."""
    return [
        *server_info.routes(),
        *Experiments(tracking.experiments, tracking.runs).routes(),
        *Runs(tracking.runs).routes(),
        *Metrics(tracking.metrics).routes(),
        *Artifacts(tracking.artifacts, tracking.runs, tracking.models, sources, folders).routes(),
        *LoggedModels(tracking.models).routes(),
        *registry,
    ]
