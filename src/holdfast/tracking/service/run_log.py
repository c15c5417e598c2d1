"""The verbs with which a script keeps its own run: begin, log, end, resume. What comes twice changes nothing.

A script sends again whatever it got no answer for, because the server may have died before or after it wrote.
"""

from __future__ import annotations

import re
from typing import Literal

from holdfast.base import lineage, urn
from holdfast.base.blobs import Blobs, IncomingBlob
from holdfast.base.context import Context
from holdfast.base.encoding import to_json
from holdfast.base.errors import InvalidError
from holdfast.base.ledger.protocol import Ledger, Transaction
from holdfast.base.operations import Empty, operation
from holdfast.tracking import policy
from holdfast.tracking.errors import NotActiveError
from holdfast.tracking.log_records import BeginRun, EndRun, LogToRun, NoteInputs, ResumeRun, RunState
from holdfast.tracking.records import CodeSnapshot, GetRunRequest, LoggedPoint, Run, StoredArtifact
from holdfast.tracking.service import experiments as experiment_verbs
from holdfast.tracking.service.artifacts import ArtifactService
from holdfast.tracking.service.experiments import ExperimentService
from holdfast.tracking.service.run_access import head_in
from holdfast.tracking.service.runs import NAME_TAG, RunService
from holdfast.tracking.service.training_runs import TrackingService
from holdfast.tracking.store import experiments as experiment_store
from holdfast.tracking.store import metrics as metric_store
from holdfast.tracking.store import runs as store

PARENT_TAG = "mlflow.parentRunId"
_RUN_ID = re.compile(r"[0-9a-f]{32}")
_SEED_MOST = 2**63 - 1


class RunLogService:
    """Runs of one ledger, as the scripts behind them write them. The rules are those of `RunService`."""

    def __init__(
        self,
        ledger: Ledger,
        blobs: Blobs,
        experiments: ExperimentService,
        runs: RunService,
        tracking: TrackingService,
        artifacts: ArtifactService,
    ) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._experiments = experiments
        self._runs = runs
        self._tracking = tracking
        self._artifacts = artifacts

    @operation(
        "POST", "/runs", "Begin a run under an id of the client's choice; one that has begun stays as it is."
    )
    def begin(self, context: Context, request: BeginRun) -> RunState:
        _check_beginning(request)
        self._experiments.prepare(context)
        code = self._kept_code(request)

        def change(transaction: Transaction) -> RunState:
            known = store.find_run(transaction, context.project, request.run_id)
            if known is not None:
                return _state(known)
            self._insert(transaction, context, request, code)
            return _state(self._tracking.run_in(transaction, context, request.run_id))

        return self._ledger.write(change)

    @operation("POST", "/runs/{run_id}/log", "Log points, parameters and tags to a run, all or none of them.")
    def log(self, context: Context, request: LogToRun) -> Empty:
        points = [
            LoggedPoint(given.key, float(given.value), given.at, given.step) for given in request.points
        ]
        self._runs.log_batch(
            context,
            request.run_id,
            points,
            tuple(request.parameters.items()),
            tuple(request.tags.items()),
        )
        return Empty()

    @operation("POST", "/runs/{run_id}/inputs", "Note the datasets that a run read, as lineage too.")
    def note_inputs(self, context: Context, request: NoteInputs) -> Empty:
        self._runs.log_inputs(context, request.run_id, request.inputs)
        return Empty()

    @operation("POST", "/runs/{run_id}/end", "End a run well or badly; one that has ended stays as it is.")
    def end(self, context: Context, request: EndRun) -> RunState:
        policy.check_time(request.ended_at // 1000, "ended_at")
        run = self._tracking.get_run(context, GetRunRequest(request.run_id))
        if run.status == "running" and request.status == "finished":
            self._runs.update(context, request.run_id, status="finished", ended_at=request.ended_at)
        elif run.status == "running":
            self._ledger.write(lambda transaction: self._fail(transaction, context, request))
        return _state(self._tracking.get_run(context, GetRunRequest(request.run_id)))

    @operation("POST", "/runs/{run_id}/resume", "Let a run go on that has ended.")
    def resume(self, context: Context, request: ResumeRun) -> RunState:
        def change(transaction: Transaction) -> RunState:
            head = head_in(transaction, context, request.run_id)
            if head.lifecycle != "active":
                raise NotActiveError(
                    f"the run {request.run_id} is deleted",
                    hint=f"restore it with `holdfast runs restore {request.run_id[:8]}`",
                )
            if head.status != "running":
                store.end(transaction, head.number, "running", None, None)
            return _state(self._tracking.run_in(transaction, context, request.run_id))

        return self._ledger.write(change)

    def place(self, context: Context, run_id: str, path: str) -> str:
        """Where an artifact of an active run may stand in the store.

        Raises:
            NotFoundError: there is no such run.
            NotActiveError: it is deleted.
            InvalidError: the path is not legal, is taken, or the run keeps its artifacts elsewhere.
        """
        run = self._runs.get(context, run_id)
        if run.lifecycle != "active":
            raise NotActiveError(f"the run {run_id} is deleted and takes no artifacts")
        legal = policy.check_artifact_path(path)
        if not legal:
            raise InvalidError("an artifact needs a name", field="path")
        return self._artifacts.check_free(context, f"{policy.stored_root(run.artifact_root)}/{legal}")

    def receive(self) -> IncomingBlob:
        """Begins to take an artifact in; `keep` then shows it at the place it was given."""
        return self._artifacts.receive()

    def keep(self, context: Context, place: str, incoming: IncomingBlob) -> StoredArtifact:
        """Makes the bytes durable and shows them at a place, instead of what was there."""
        return self._artifacts.keep(context, place, incoming)

    def _kept_code(self, request: BeginRun) -> CodeSnapshot | None:
        given = request.code
        if given is None:
            return None
        digest = self._blobs.put(given.bundle)
        return CodeSnapshot(digest, given.entry, given.git_commit, given.git_diff, given.git_remote)

    def _insert(
        self, transaction: Transaction, context: Context, request: BeginRun, code: CodeSnapshot | None
    ) -> None:
        found = experiment_store.find_by_name(transaction, context.project, request.experiment)
        if found is not None:
            experiment_verbs.check_active(found)
        name = request.name or f"{request.experiment}-{request.run_id[:8]}"
        tags = {**request.tags, NAME_TAG: name, **({PARENT_TAG: request.parent} if request.parent else {})}
        run = self._tracking.start_run(
            transaction,
            context,
            request.run_id,
            request.experiment,
            request.started_at,
            name=name,
            seed=request.seed,
            parameters=request.parameters,
            tags=tags,
        )
        captured = {"code": to_json(code), "environment": to_json(request.environment)}
        store.update(transaction, head_in(transaction, context, run.run_id).number, captured)
        if code is not None:
            at = request.started_at
            lineage.record_edge(transaction, context, urn.code(code.bundle), "ran", run.urn, at)

    def _fail(self, transaction: Transaction, context: Context, request: EndRun) -> None:
        error = request.error or f"the run was {request.status}"
        status: Literal["failed", "killed"] = "killed" if request.status == "killed" else "failed"
        self._tracking.fail_run(transaction, context, request.run_id, error, request.ended_at, status)
        metric_store.settle(transaction, head_in(transaction, context, request.run_id).number)


def _state(run: Run) -> RunState:
    return RunState(run.run_id, run.experiment, run.name, run.status)


def _check_beginning(request: BeginRun) -> None:
    for run_id, field in ((request.run_id, "run_id"), (request.parent, "parent")):
        if run_id is not None and not _RUN_ID.fullmatch(run_id):
            raise InvalidError(f"{run_id[:100]!r} is not a run id", hint="32 hexadecimal digits", field=field)
    policy.check_experiment_name(request.experiment)
    policy.check_length(request.name, policy.EXPERIMENT_NAME_MOST, "Run name")
    policy.check_time(request.started_at // 1000, "started_at")
    policy.check_batch((), len(request.parameters), len(request.tags))
    policy.check_parameters(tuple(request.parameters.items()))
    policy.check_tags(request.tags.items())
    if request.seed is not None and abs(request.seed) > _SEED_MOST:
        raise InvalidError("the seed does not fit 64 bits", field="seed")
