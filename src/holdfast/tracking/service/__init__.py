"""The verbs of tracking, a class a noun; `TrackingService` is what the training side and the pages use.

A class is imported when it is asked for: a command that needs one of them answers before all would be there.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.tracking.service.artifacts import ArtifactService
    from holdfast.tracking.service.experiments import ExperimentService
    from holdfast.tracking.service.imports import ImportService
    from holdfast.tracking.service.logged_models import LoggedModelService
    from holdfast.tracking.service.metrics import MetricService
    from holdfast.tracking.service.run_log import RunLogService
    from holdfast.tracking.service.run_search import RunCatalog
    from holdfast.tracking.service.runs import RunService
    from holdfast.tracking.service.training_runs import TrackingService

_PLACES = {
    "ArtifactService": "holdfast.tracking.service.artifacts",
    "ExperimentService": "holdfast.tracking.service.experiments",
    "ImportService": "holdfast.tracking.service.imports",
    "LoggedModelService": "holdfast.tracking.service.logged_models",
    "MetricService": "holdfast.tracking.service.metrics",
    "RunLogService": "holdfast.tracking.service.run_log",
    "RunCatalog": "holdfast.tracking.service.run_search",
    "RunService": "holdfast.tracking.service.runs",
    "TrackingService": "holdfast.tracking.service.training_runs",
}

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


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
