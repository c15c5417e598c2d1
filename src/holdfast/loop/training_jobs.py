"""The training job: cuts the feed from the prediction log, lets `training` run the child, records the outcome.

The run id is chosen when the job is submitted, so a job that runs again after a crash fills the same run and
registers the same version once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from holdfast.base import urn
from holdfast.base.blobs import digest_of
from holdfast.base.clock import Micros
from holdfast.base.context import Context
from holdfast.base.encoding import to_json
from holdfast.base.jobs import Job
from holdfast.base.ledger import Ledger
from holdfast.data.records import DatasetVersion, TableSpec
from holdfast.data.service import DataService
from holdfast.loop import store
from holdfast.loop.errors import UndeclaredModelError
from holdfast.loop.records import LoopSpec
from holdfast.serving.records import DeploymentKey
from holdfast.serving.service import DeploymentService
from holdfast.training.errors import TrainingFailedError
from holdfast.training.service import TrainCommand, TrainingService

if TYPE_CHECKING:
    from holdfast.serving.log import PredictionLog

TRAIN = "train"


def training_spec(rng: Random, model: str, as_of_at: Micros, because: str) -> dict[str, Any]:
    """The spec of a training job: the run it fills, the data it may see, and why it was asked for."""
    return {
        "run_id": f"{rng.getrandbits(128):032x}",
        "model": model,
        "as_of_at": as_of_at,
        "because": because,
    }


class TrainingJobs:
    """Handles jobs of the kind `train`."""

    def __init__(
        self,
        ledger: Ledger,
        data: DataService,
        training: TrainingService,
        deployments: DeploymentService,
        log: PredictionLog,
    ) -> None:
        self._ledger = ledger
        self._data = data
        self._training = training
        self._deployments = deployments
        self._log = log

    def __call__(self, job: Job, tell_pid: Callable[[int], None]) -> dict[str, Any]:
        """Trains and registers a version.

        Raises:
            TrainingFailedError: training failed; the run says why.
        """
        context = job.context
        declaration = self._declaration(context, job.spec["model"])
        command = self._command(context, declaration, job.spec)
        with self._training.job_folder(command.run_id) as folder:
            feed = self._write_feed(context, declaration.spec, command, folder)
            try:
                version = self._training.train(context, command, feed, folder, tell_pid)
            except TrainingFailedError as error:
                self._record_failure(context, declaration.spec, command, str(error))
                raise
        return {
            "model": version.name,
            "version": version.version,
            "run_id": version.run_id,
            "stage": version.stage,
        }

    def _record_failure(self, context: Context, spec: LoopSpec, command: TrainCommand, reason: str) -> None:
        """A failed training is a decision too: the champion stays."""
        self._ledger.write(
            lambda tx: store.add_decision(
                tx,
                context,
                model=spec.model.name,
                environment=spec.environment,
                kind="training failed",
                subject=urn.run(command.run_id),
                rule=command.because,
                reason=reason,
                evidence={"run": command.run_id},
                reversal="",
                at=command.as_of_at,
            )
        )

    def _declaration(self, context: Context, name: str) -> store.Declaration:
        with self._ledger.read() as reader:
            found = store.get_declaration(reader, context, name)
        if found is None:
            raise UndeclaredModelError(name, [])
        return found

    def _command(
        self, context: Context, declaration: store.Declaration, spec: dict[str, Any]
    ) -> TrainCommand:
        model = declaration.spec.model
        with self._ledger.read() as reader:
            latest = self._data.latest(reader, context, model.table.name)
            deployment = self._deployments.find(
                reader, context, declaration.spec.environment, declaration.name
            )
        champion = deployment.revision.champion if deployment else None
        return TrainCommand(
            run_id=spec["run_id"],
            spec=model,
            bundle=declaration.bundle,
            entry=declaration.entry,
            as_of_at=spec["as_of_at"],
            because=spec["because"],
            declaration=to_json(declaration.spec),
            base=latest if latest is not None and _still_grows(latest, model.table) else None,
            production=(
                None
                if champion is None
                else self._training.production_model(context, declaration.name, champion)
            ),
        )

    def _write_feed(
        self, context: Context, spec: LoopSpec, command: TrainCommand, folder: Path
    ) -> list[Path]:
        """The rows that were logged and became labelled since the base version, as one Parquet file."""
        key = DeploymentKey(context.project, spec.environment, spec.model.name)
        rows = self._log.feed(key, command.base.as_of_at if command.base else 0, command.as_of_at)
        if rows.height == 0:
            return []
        path = folder / "feed.parquet"
        rows.write_parquet(path)
        return [path]


def _still_grows(base: DatasetVersion, table: TableSpec) -> bool:
    """Whether a version can be grown by logged rows alone: its source has not been changed or replaced since.

    A source that has gone is no change: what it held is in the version. A version that was added as plain data has not
    the columns that tell when a row was known.
    """
    if base.provenance is not None:
        return False
    if table.source is None or base.source is None:
        return base.source == table.source
    if base.source != table.source:
        return False
    path = Path(table.source)
    return not path.is_file() or digest_of(path) == base.source_digest
