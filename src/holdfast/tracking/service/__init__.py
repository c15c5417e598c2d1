"""The verbs of tracking, a class a noun; `TrackingService` is what the training side and the pages use."""

from holdfast.tracking.service.artifacts import ArtifactService
from holdfast.tracking.service.experiments import ExperimentService
from holdfast.tracking.service.imports import ImportService
from holdfast.tracking.service.logged_models import LoggedModelService
from holdfast.tracking.service.metrics import MetricService
from holdfast.tracking.service.run_log import RunLogService
from holdfast.tracking.service.run_search import RunCatalog
from holdfast.tracking.service.runs import RunService
from holdfast.tracking.service.training_runs import TrackingService

__all__ = [
    "ArtifactService",
    "ExperimentService",
    "ImportService",
    "LoggedModelService",
    "MetricService",
    "RunCatalog",
    "RunLogService",
    "RunService",
    "TrackingService",
]
