"""The verbs of runs that the training side and the pages use: begin a run, end it well or badly, look it up."""

from __future__ import annotations

from typing import Literal

from holdfast.base import events, lineage, urn
from holdfast.base.clock import Micros
from holdfast.base.context import Context
from holdfast.base.errors import NotFoundError
from holdfast.base.ledger.protocol import Ledger, Reader, Transaction
from holdfast.base.operations import operation
from holdfast.tracking import policy
from holdfast.tracking.errors import RunEndedError
from holdfast.tracking.records import (
    Experiment,
    GetRunRequest,
    MetricPoint,
    Run,
    RunInput,
    RunResult,
)
from holdfast.tracking.service.experiments import make_default
from holdfast.tracking.service.run_access import artifact_root, head_in
from holdfast.tracking.store import artifacts as artifact_store
from holdfast.tracking.store import experiments as experiment_store
from holdfast.tracking.store import inputs as input_store
from holdfast.tracking.store import metrics as metric_store
from holdfast.tracking.store import runs as store
from holdfast.tracking.store import upgrade as upgrade_store


class TrackingService:
    """Runs in one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def upgrade(self) -> None:
        """Moves what an older release wrote into today's tables; costs nothing once that is done."""
        while self._ledger.write(upgrade_store.move_some):
            pass

    @operation(
        "GET", "/runs/{run_id}", "Show a run: parameters, metrics, data, code, environment, artifacts."
    )
    def get_run(self, context: Context, request: GetRunRequest) -> Run:
        with self._ledger.read() as reader:
            return self.run_in(reader, context, request.run_id)

    def start_run(
        self,
        transaction: Transaction,
        context: Context,
        run_id: str,
        experiment: str,
        at: Micros,
        *,
        name: str = "",
        seed: int | None = None,
        parameters: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
    ) -> Run:
        """Begins a run; one that has begun already stays as it is.

        Raises:
            InvalidError: the experiment's name is empty or too long.
        """
        policy.check_experiment_name(experiment)
        known = store.find_run(transaction, context.project, run_id)
        if known is not None:
            return known
        started = Run(
            run_id=run_id,
            experiment=experiment,
            name=name or f"{experiment}-{run_id[:8]}",
            status="running",
            started_at=at,
            created_by=context.actor.name,
            seed=seed,
            parameters=parameters or {},
            tags=tags or {},
        )
        of = _experiment(transaction, context, experiment, at)
        root = artifact_root(of.artifact_location, run_id)
        store.insert(transaction, context.project, started, of.number, root)
        return started

    def finish_run(
        self, transaction: Transaction, context: Context, run_id: str, result: RunResult, at: Micros
    ) -> Run:
        """Ends a run well with what it captured, and draws its lineage from data and code.

        A run that has finished already stays as it is.

        Raises:
            NotFoundError: there is no such run.
            RunEndedError: it has failed or was killed before.
        """
        run = self.run_in(transaction, context, run_id)
        if run.status == "finished":
            return run
        _check_running(run)
        number = head_in(transaction, context, run_id).number
        store.set_result(transaction, number, result)
        self.log_metrics(
            transaction,
            context,
            run_id,
            [MetricPoint(key, value, at) for key, value in result.metrics.items()],
        )
        _list_artifacts(transaction, context, number, result, at)
        for dataset in result.datasets:
            lineage.record_edge(transaction, context, dataset, "trained", run.urn, at)
        if result.code is not None:
            lineage.record_edge(transaction, context, urn.code(result.code.bundle), "ran", run.urn, at)
        store.end(transaction, number, "finished", at, None)
        metric_store.settle(transaction, number)
        events.emit(transaction, context, "tracking.run_finished", {"run_id": run_id}, at)
        return self.run_in(transaction, context, run_id)

    def fail_run(
        self,
        transaction: Transaction,
        context: Context,
        run_id: str,
        error: str,
        at: Micros,
        status: Literal["failed", "killed"] = "failed",
    ) -> Run:
        """Ends a run badly, with the sentence that says why; a run that has ended stays as it is."""
        run = self.run_in(transaction, context, run_id)
        if run.status != "running":
            return run
        store.end(transaction, head_in(transaction, context, run_id).number, status, at, error)
        events.emit(transaction, context, "tracking.run_failed", {"run_id": run_id, "status": status}, at)
        return self.run_in(transaction, context, run_id)

    def log_metrics(
        self, transaction: Transaction, context: Context, run_id: str, points: list[MetricPoint]
    ) -> None:
        """Adds metric points to a run."""
        if points:
            head = head_in(transaction, context, run_id)
            rows = [(point.key, point.step, point.at, float(point.value)) for point in points]
            metric_store.append(transaction, head.number, head.experiment_number, rows)

    def run_in(self, reader: Reader, context: Context, run_id: str) -> Run:
        """A run as a snapshot or transaction sees it; `NotFoundError` when there is none."""
        found = store.find_run(reader, context.project, run_id)
        if found is None:
            raise NotFoundError(f"there is no run {run_id!r}", hint="list runs with `holdfast runs list`")
        return found

    def inputs_in(self, reader: Reader, context: Context, run_id: str) -> tuple[RunInput, ...]:
        """The datasets that a client said the run read; `NotFoundError` when there is no run."""
        number = head_in(reader, context, run_id).number
        return tuple(input_store.datasets(reader, [number]).get(number, ()))

    def metric_history(self, reader: Reader, context: Context, run_id: str, key: str) -> list[MetricPoint]:
        """All points of one metric of a run, by step and time."""
        steps, times, values = metric_store.history(reader, head_in(reader, context, run_id).number, key)
        rows = zip(values.tolist(), times.tolist(), steps.tolist(), strict=True)
        return [MetricPoint(key, value, at, step) for value, at, step in rows]


def _experiment(transaction: Transaction, context: Context, name: str, at: Micros) -> Experiment:
    make_default(transaction, context.project, at)
    found = experiment_store.find_by_name(transaction, context.project, name)
    if found is None:
        number = experiment_store.insert(transaction, context.project, name, "", at)
        found = experiment_store.find_by_number(transaction, number)
        assert found is not None
    return found


def _list_artifacts(
    transaction: Transaction, context: Context, number: int, result: RunResult, at: Micros
) -> None:
    """What the training side wrote is found by tracking clients too."""
    run = store.logged(transaction, [number], brief=True)[0]
    root = f"{run.experiment_id}/{run.run_id}/artifacts"
    for artifact in result.artifacts:
        path = f"{root}/{artifact.path}"
        artifact_store.put(transaction, context.project, path, artifact.digest, artifact.size_bytes, at)


def _check_running(run: Run) -> None:
    if run.status != "running":
        raise RunEndedError(
            f"the run {run.run_id} is {run.status} and cannot finish",
            hint="train again with `holdfast train`",
        )
