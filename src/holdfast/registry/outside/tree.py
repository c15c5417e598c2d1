"""The artifact store as `source` wants it, from the services of tracking."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.base.context import Context
from holdfast.tracking.service.artifacts import ArtifactService
from holdfast.tracking.service.logged_models import LoggedModelService
from holdfast.tracking.service.runs import RunService


class TrackedArtifacts:
    """Folders of the artifact store, and where runs and logged models keep theirs."""

    def __init__(self, artifacts: ArtifactService, runs: RunService, models: LoggedModelService) -> None:
        self._artifacts = artifacts
        self._runs = runs
        self._models = models

    def files(self, context: Context, folder: str) -> Mapping[str, str]:
        """Every file below a folder: its path inside the folder, and the digest of its blob."""
        found: dict[str, str] = {}
        waiting = [folder]
        while waiting:
            for item in self._artifacts.children(context, waiting.pop()):
                if item.is_folder:
                    waiting.append(item.path)
                else:
                    found[item.path.removeprefix(f"{folder}/")] = item.digest
        return found

    def location_of_model(self, context: Context, model_id: str) -> str:
        """Where a logged model lies; `NotFoundError` when there is none."""
        return self._models.get(context, model_id).artifact_location

    def run_of_model(self, context: Context, model_id: str) -> str:
        """The run that wrote a logged model; `NotFoundError` when there is no such model."""
        return self._models.get(context, model_id).source_run_id

    def location_of_run(self, context: Context, run_id: str, path: str) -> str:
        """Where an artifact of a run lies; a model that the run logged under that path goes before it."""
        run = self._runs.get(context, run_id)
        for link in run.model_outputs:
            model = self._models.get(context, link.model_id)
            if model.name == path:
                return model.artifact_location
        return f"{run.artifact_root}/{path}"
