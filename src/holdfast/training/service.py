"""Training from the outside: begin a run, let a child do the work, record what came of it in one transaction.

Every step may be repeated after a crash. The run id is chosen by the caller, a job folder is named after it, and
a child that has ended leaves its result there; so training again with the same command registers the same version.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from holdfast.base import audit, bundle, lineage, urn
from holdfast.base.blobs import Blobs, replace_file
from holdfast.base.clock import Clock
from holdfast.base.context import Context
from holdfast.base.encoding import to_json
from holdfast.base.errors import UnavailableError
from holdfast.base.home import Home
from holdfast.base.ledger.protocol import Ledger, Transaction
from holdfast.data.records import Contract
from holdfast.data.service import DataService
from holdfast.features.records import FeatureView
from holdfast.features.service import FeatureService
from holdfast.registry.records import ModelVersion, VersionDraft
from holdfast.registry.service import RegistryService
from holdfast.tracking.records import CodeSnapshot, Run, RunResult
from holdfast.tracking.service import TrackingService
from holdfast.training.child import TASK
from holdfast.training.errors import TrainingFailedError
from holdfast.training.launcher import Launcher, read_result
from holdfast.training.records import (
    ProductionModel,
    TrainCommand,
    TrainingFailure,
    TrainingOutcome,
    TrainingTask,
)

__all__ = ["TrainCommand", "TrainingService"]


class TrainingService:
    """Turns commands into runs and registered versions.

    Args:
        launcher: runs the children; closing it is its owner's task.
    """

    def __init__(
        self,
        ledger: Ledger,
        blobs: Blobs,
        clock: Clock,
        home: Home,
        data: DataService,
        features: FeatureService,
        tracking: TrackingService,
        registry: RegistryService,
        launcher: Launcher,
    ) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock
        self._home = home
        self._data = data
        self._features = features
        self._tracking = tracking
        self._registry = registry
        self._launcher = launcher

    def train(
        self,
        context: Context,
        command: TrainCommand,
        feed: Sequence[Path],
        folder: Path,
        tell_pid: Callable[[int], None] | None = None,
        cancelled: threading.Event | None = None,
    ) -> ModelVersion:
        """Trains and registers a version; for a command that was carried out already, returns its version.

        Args:
            feed: Parquet files of the rows that were logged and labelled since `command.base`.
            folder: the run's own, from `job_folder`.

        Raises:
            TrainingFailedError: there is no model; the run keeps the reason.
        """
        with self._ledger.read() as reader:
            known = self._registry.version_of_run_in(reader, context, command.run_id)
        if known is not None:
            return known
        self._ledger.write(lambda transaction: self.begin(transaction, context, command))
        if read_result(folder) is None:
            self.build_task(command, feed, folder)
        result = self.execute(folder, tell_pid, cancelled)
        if isinstance(result, TrainingFailure):
            self.record_failure(context, command.run_id, result)
            raise TrainingFailedError(result.message, code=result.code)
        return self.record_outcome(context, command, result)

    @contextmanager
    def job_folder(self, run_id: str) -> Iterator[Path]:
        """The folder of a run's job, removed at the end.

        It stays when something was unavailable, as it does after a crash: the next attempt at the run finds the
        result that the child has put there.
        """
        folder = self._home.tmp / f"training-{run_id}"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            yield folder
        except UnavailableError:
            raise
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)

    def production_model(self, context: Context, name: str, version: int) -> ProductionModel | None:
        """A version as `TrainCommand.production` wants it, with the instant up to which it has seen the table.

        None for one from outside: nobody knows which rows it was fitted on, so no row judges it fairly.
        """
        with self._ledger.read() as reader:
            found = self._registry.version_in(reader, context, name, version)
            if not found.dataset:
                return None
            table, _, number = found.dataset.removeprefix("data/").rpartition("@")
            dataset = self._data.dataset(reader, context, table, int(number))
        return ProductionModel(version, found.signature, found.files, dataset.as_of_at)

    def begin(self, transaction: Transaction, context: Context, command: TrainCommand) -> Run:
        """Begins the command's run; a run that has begun stays as it is."""
        spec = command.spec
        return self._tracking.start_run(
            transaction,
            context,
            command.run_id,
            spec.name,
            self._clock.now(),
            seed=spec.seed,
            parameters={name: str(value) for name, value in spec.parameters.items()},
            tags={"because": command.because} if command.because else None,
        )

    def build_task(self, command: TrainCommand, feed: Sequence[Path], folder: Path) -> TrainingTask:
        """Unpacks the code into the job folder and writes `task.json` beside it."""
        target = folder / "bundle"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        code = bundle.unpack(self._blobs.read(command.bundle), target)
        task = TrainingTask(
            run_id=command.run_id,
            spec=command.spec,
            bundle_folder=str(target),
            entry=command.entry,
            blobs_folder=str(self._blobs.root.absolute()),
            as_of_at=command.as_of_at,
            source=command.source or command.spec.table.source,
            base=command.base,
            feed=tuple(str(path) for path in feed),
            production=command.production,
            cpu_count=command.cpu_count,
            code=CodeSnapshot(command.bundle, command.entry, code.git_commit, code.git_diff, code.git_remote),
        )
        replace_file(folder / TASK, to_json(task).encode())
        return task

    def execute(
        self,
        folder: Path,
        tell_pid: Callable[[int], None] | None = None,
        cancelled: threading.Event | None = None,
    ) -> TrainingOutcome | TrainingFailure:
        """Runs the job of a folder in a child and waits for it; setting `cancelled` ends the child's group."""
        return self._launcher.run(folder, tell_pid, cancelled)

    def record_outcome(
        self, context: Context, command: TrainCommand, outcome: TrainingOutcome
    ) -> ModelVersion:
        """Records dataset version, feature views, run, model version and lineage in one transaction."""
        contract = self._expected_contract(context, outcome)
        while True:
            digest = self._blobs.put(to_json(contract).encode())
            try:
                return self._ledger.write(
                    lambda transaction, contract=contract, digest=digest: self._record(  # type: ignore[misc]
                        transaction, context, command, outcome, contract, digest
                    )
                )
            except _ContractMovedError as moved:
                contract = moved.contract

    def record_failure(self, context: Context, run_id: str, failure: TrainingFailure) -> Run:
        """Ends the run with the reason; a cancelled one as killed."""
        status: Literal["failed", "killed"] = "killed" if failure.code == "cancelled" else "failed"
        return self._ledger.write(
            lambda transaction: self._tracking.fail_run(
                transaction, context, run_id, failure.message, self._clock.now(), status
            )
        )

    def _expected_contract(self, context: Context, outcome: TrainingOutcome) -> Contract:
        """The contract with the number that the dataset version will have, so that its blob is stored before."""
        with self._ledger.read() as reader:
            latest = self._data.latest(reader, context, outcome.dataset.table)
        number = 1 if latest is None else latest.version + 1
        return Contract(outcome.dataset.table, number, outcome.dataset.fields)

    def _record(
        self,
        transaction: Transaction,
        context: Context,
        command: TrainCommand,
        outcome: TrainingOutcome,
        contract: Contract,
        contract_digest: str,
    ) -> ModelVersion:
        at = self._clock.now()
        known = self._registry.version_of_run_in(transaction, context, command.run_id)
        if known is not None:
            return known
        self.begin(transaction, context, command)
        dataset = self._data.record_dataset(transaction, context, outcome.dataset, at)
        if dataset.contract != contract:
            raise _ContractMovedError(dataset.contract)
        others = {
            draft.table: self._data.record_dataset(transaction, context, draft, at).urn
            for draft in outcome.feature_datasets
        }
        views = self._record_views(transaction, context, command, outcome, others)
        result = RunResult(
            outcome.metrics,
            outcome.parameters,
            (dataset.urn, *others.values()),
            outcome.code,
            outcome.environment,
            outcome.artifacts,
            {"warnings": "; ".join(outcome.warnings)} if outcome.warnings else {},
        )
        run = self._tracking.finish_run(transaction, context, command.run_id, result, at)
        for view in views:
            if view.spec.table in (dataset.table, ""):
                lineage.record_edge(transaction, context, dataset.urn, "computed", view.urn, at)
            lineage.record_edge(transaction, context, view.urn, "fed", run.urn, at)
        detail = {
            "run_id": run.run_id,
            "dataset": dataset.urn,
            "because": command.because,
            "warnings": outcome.warnings,
        }
        audit.record(transaction, context, "training.finish", urn.model(command.spec.name), detail, at)
        draft = _version_draft(command, outcome, dataset.urn, contract_digest, views)
        return self._registry.register(transaction, context, draft, at)

    def _record_views(
        self,
        transaction: Transaction,
        context: Context,
        command: TrainCommand,
        outcome: TrainingOutcome,
        datasets: Mapping[str, str],
    ) -> list[FeatureView]:
        return [
            self._features.record_view(
                transaction,
                context,
                spec,
                outcome.feature_columns[spec.name],
                self._clock.now(),
                datasets.get(spec.table),
            )
            for spec in command.spec.features
        ]


class _ContractMovedError(Exception):
    """The dataset has another number than expected, as when another training was recorded in between; nothing
    was written."""

    def __init__(self, contract: Contract) -> None:
        super().__init__(contract.urn)
        self.contract = contract


def _version_draft(
    command: TrainCommand,
    outcome: TrainingOutcome,
    dataset: str,
    contract_digest: str,
    views: Sequence[FeatureView],
) -> VersionDraft:
    return VersionDraft(
        name=command.spec.name,
        run_id=command.run_id,
        task=command.spec.task,
        signature=outcome.signature,
        files=outcome.files,
        metrics=outcome.metrics,
        dataset=dataset,
        contract_digest=contract_digest,
        profile=outcome.profile,
        bundle=command.bundle,
        entry=command.entry,
        spec=command.declaration,
        feature_views=tuple(view.urn for view in views),
        history=outcome.history,
        gates=outcome.gates,
        trained_because=command.because,
    )
