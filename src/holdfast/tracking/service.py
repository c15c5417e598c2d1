"""The verbs of tracking: begin a run, end it well or badly, look it up."""

from __future__ import annotations

from typing import Literal

from holdfast.base import events, lineage, urn
from holdfast.base.clock import Micros
from holdfast.base.context import Context
from holdfast.base.errors import InvalidError, NotFoundError
from holdfast.base.ledger.protocol import Ledger, Reader, Transaction
from holdfast.base.operations import operation
from holdfast.tracking import store
from holdfast.tracking.errors import RunEndedError
from holdfast.tracking.records import GetRunRequest, ListRunsRequest, MetricPoint, Run, RunPage, RunResult

_PAGE_MOST = 1000


class TrackingService:
    """Runs in one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @operation(
        "GET", "/runs/{run_id}", "Show a run: parameters, metrics, data, code, environment, artifacts."
    )
    def get_run(self, context: Context, request: GetRunRequest) -> Run:
        with self._ledger.read() as reader:
            return self.run_in(reader, context, request.run_id)

    @operation("GET", "/runs", "List runs, newest first.")
    def list_runs(self, context: Context, request: ListRunsRequest) -> RunPage:
        limit = max(1, min(request.limit, _PAGE_MOST))
        cursor = None if request.after is None else _parse_cursor(request.after)
        with self._ledger.read() as reader:
            found = store.list_runs(reader, context.project, request.experiment, cursor, limit + 1)
        page = tuple(found[:limit])
        return RunPage(page, _cursor(page[-1]) if len(found) > limit else None)

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
            InvalidError: the experiment is not a name.
        """
        urn.check_name(experiment, "experiment")
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
        store.insert_run(transaction, context.project, started)
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
        store.set_result(transaction, context.project, run, result)
        self.log_metrics(
            transaction,
            context,
            run_id,
            [MetricPoint(key, value, at) for key, value in result.metrics.items()],
        )
        for dataset in result.datasets:
            lineage.record_edge(transaction, context, dataset, "trained", run.urn, at)
        if result.code is not None:
            lineage.record_edge(transaction, context, urn.code(result.code.bundle), "ran", run.urn, at)
        store.end_run(transaction, context.project, run_id, "finished", at, None)
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
        store.end_run(transaction, context.project, run_id, status, at, error)
        events.emit(transaction, context, "tracking.run_failed", {"run_id": run_id, "status": status}, at)
        return self.run_in(transaction, context, run_id)

    def log_metrics(
        self, transaction: Transaction, context: Context, run_id: str, points: list[MetricPoint]
    ) -> None:
        """Adds metric points to a run."""
        store.add_points(transaction, context.project, run_id, points)

    def run_in(self, reader: Reader, context: Context, run_id: str) -> Run:
        """A run as a snapshot or transaction sees it; `NotFoundError` when there is none."""
        found = store.find_run(reader, context.project, run_id)
        if found is None:
            raise NotFoundError(f"there is no run {run_id!r}", hint="list runs with `holdfast status`")
        return found

    def metric_history(self, reader: Reader, context: Context, run_id: str, key: str) -> list[MetricPoint]:
        """All points of one metric of a run, by step and time."""
        return store.points(reader, context.project, run_id, key)


def _check_running(run: Run) -> None:
    if run.status != "running":
        raise RunEndedError(
            f"the run {run.run_id} is {run.status} and cannot finish",
            hint="train again with `holdfast train`",
        )


def _cursor(run: Run) -> str:
    return f"{run.started_at}-{run.run_id}"


def _parse_cursor(text: str) -> store.Cursor:
    at, _, run_id = text.partition("-")
    if not at.isdecimal() or not run_id:
        raise InvalidError(
            f"{text!r} is not a page mark", hint="pass on the `next_after` of the page before", field="after"
        )
    return int(at), run_id
