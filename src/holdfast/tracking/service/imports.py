"""The verbs of an import: take up what another store holds, under its own ids and times, without doubling anything."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from holdfast.base import audit, lineage, urn
from holdfast.base.clock import Clock
from holdfast.base.context import Context
from holdfast.base.errors import ConflictError, InvalidError
from holdfast.base.ledger.protocol import Ledger, Transaction
from holdfast.base.operations import Empty, operation
from holdfast.tracking import policy
from holdfast.tracking.import_records import (
    FindMarksRequest,
    FinishImportRequest,
    ImportedCurve,
    ImportedExperiment,
    ImportedLoggedModel,
    ImportedRun,
    ImportExperimentRequest,
    ImportLoggedModelsRequest,
    ImportOutcome,
    ImportPointsRequest,
    ImportRunsRequest,
    ListStoredRequest,
    Marks,
    SetMarksRequest,
    StoredFile,
    StoredFiles,
    number,
)
from holdfast.tracking.records import Experiment, LoggedModel, LoggedPoint, Run, RunHead
from holdfast.tracking.service import experiments as experiment_verbs
from holdfast.tracking.service.artifacts import ArtifactService
from holdfast.tracking.service.experiments import ExperimentService
from holdfast.tracking.service.run_access import artifact_root, head_in
from holdfast.tracking.store import experiments as experiment_store
from holdfast.tracking.store import imports as store
from holdfast.tracking.store import inputs as input_store
from holdfast.tracking.store import logged_models as model_store
from holdfast.tracking.store import metrics as metric_store
from holdfast.tracking.store import runs as run_store

if TYPE_CHECKING:
    from holdfast.tracking.packing import Point

SOURCE_TAG = "holdfast.source"
SOURCE_ID_TAG = "holdfast.source.experiment_id"
_RUN_ID = re.compile(r"[0-9a-f]{32}")
_MODEL_ID = re.compile(r"m-[0-9a-f]{32}")
_ENDED = frozenset({"finished", "failed", "killed"})


class ImportService:
    """Takes up experiments, runs and logged models of other stores.

    Each verb may be called twice with the same content: what is there stays, and only what is new is added. No
    event is told of it, because a run that ended long ago does not end now.
    """

    def __init__(
        self, ledger: Ledger, clock: Clock, experiments: ExperimentService, artifacts: ArtifactService
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._experiments = experiments
        self._artifacts = artifacts

    @operation("POST", "/imports/experiments", "Take up an experiment of another store, by its name.")
    def experiment(self, context: Context, request: ImportExperimentRequest) -> ImportedExperiment:
        policy.check_experiment_name(request.name)
        policy.check_time(request.created_at // 1000, "created_at")
        self._experiments.prepare(context)

        def change(transaction: Transaction) -> ImportedExperiment:
            known = experiment_store.find_by_name(transaction, context.project, request.name)
            if known is None:
                number = experiment_store.insert(
                    transaction, context.project, request.name, "", request.created_at
                )
            else:
                number = known.number
            if known is None or known.tags.get(SOURCE_TAG) in (None, request.source):
                _describe(transaction, number, known, request)
            found = experiment_store.find_by_number(transaction, number)
            assert found is not None
            return ImportedExperiment(found.experiment_id, found.artifact_location, known is None)

        return self._ledger.write(change)

    @operation("POST", "/imports/runs", "Take up runs of another store, under their own ids.")
    def runs(self, context: Context, request: ImportRunsRequest) -> ImportOutcome:
        for run in request.runs:
            _check_run(run)

        def change(transaction: Transaction) -> ImportOutcome:
            created = sum(_take_run(transaction, context, run) for run in request.runs)
            return ImportOutcome(created, len(request.runs) - created)

        return self._ledger.write(change)

    @operation("POST", "/imports/points", "Take up points of imported runs.")
    def points(self, context: Context, request: ImportPointsRequest) -> ImportOutcome:
        sent = sum(len(curve.steps) for curves in request.curves.values() for curve in curves)

        def change(transaction: Transaction) -> ImportOutcome:
            added = 0
            for run_id, curves in request.curves.items():
                head = head_in(transaction, context, run_id)
                added += _take_points(transaction, head, curves)
                if head.status in _ENDED:
                    metric_store.settle(transaction, head.number)
            return ImportOutcome(added, sent - added)

        return self._ledger.write(change)

    @operation("POST", "/imports/logged-models", "Take up logged models of another store.")
    def logged_models(self, context: Context, request: ImportLoggedModelsRequest) -> ImportOutcome:
        for model in request.models:
            if not _MODEL_ID.fullmatch(model.model_id):
                raise InvalidError(
                    f"{model.model_id[:100]!r} is not the id of a logged model", field="model_id"
                )
            policy.check_model_name(model.name)

        def change(transaction: Transaction) -> ImportOutcome:
            created = sum(_take_model(transaction, context, model) for model in request.models)
            return ImportOutcome(created, len(request.models) - created)

        return self._ledger.write(change)

    @operation("GET", "/imports/artifacts/{folder:path}", "List every file below a folder of artifacts.")
    def stored(self, context: Context, request: ListStoredRequest) -> StoredFiles:
        folder = policy.check_artifact_path(request.folder)
        found, waiting = [], [folder]
        while waiting:
            for item in self._artifacts.children(context, waiting.pop()):
                if item.is_folder:
                    waiting.append(item.path)
                else:
                    found.append(StoredFile(item.path[len(folder) + 1 :], item.size_bytes, item.digest))
        return StoredFiles(tuple(sorted(found, key=lambda file: file.path)))

    @operation("POST", "/imports/marks/find", "Show which things of another store were brought before.")
    def find_marks(self, context: Context, request: FindMarksRequest) -> Marks:
        with self._ledger.read() as reader:
            return Marks(store.find(reader, context.project, request.source, request.kind, request.keys))

    @operation("POST", "/imports/marks", "Note that things of another store were brought whole.")
    def set_marks(self, context: Context, request: SetMarksRequest) -> Empty:
        at = self._clock.now()
        self._ledger.write(
            lambda transaction: store.put(
                transaction, context.project, request.source, request.kind, request.marks, at
            )
        )
        return Empty()

    @operation("POST", "/imports/finish", "Note in the audit trail what an import brought.")
    def finish(self, context: Context, request: FinishImportRequest) -> Empty:
        at = self._clock.now()
        subject = f"import/{request.source}"
        self._ledger.write(
            lambda transaction: audit.record(
                transaction, context, "tracking.import", subject, request.brought, at
            )
        )
        return Empty()


def _describe(
    transaction: Transaction, number: int, known: Experiment | None, request: ImportExperimentRequest
) -> None:
    """Tags of the source, and where the experiment came from. What is deleted here stays deleted."""
    told = {**request.tags, SOURCE_TAG: request.source, SOURCE_ID_TAG: request.source_id}
    if request.artifact_location:
        told[f"{SOURCE_TAG}.artifact_location"] = request.artifact_location
    for key, value in policy.check_tags(told.items(), policy.EXPERIMENT_TAG_MOST).items():
        experiment_store.set_tag(transaction, number, key, value)
    if known is None:
        experiment_store.update(
            transaction, number, request.updated_at or request.created_at, lifecycle=request.lifecycle
        )


def _check_run(run: ImportedRun) -> None:
    if not _RUN_ID.fullmatch(run.run_id):
        raise InvalidError(f"{run.run_id[:100]!r} is not a run id", hint="a run id is 32 hexadecimal digits")
    policy.check_time(run.started_at // 1000, "started_at")
    for noun, pairs in (("param", run.parameters), ("tag", run.tags)):
        for key in pairs:
            policy.check_key(key, noun)
    policy.check_inputs(run.inputs)


def _take_run(transaction: Transaction, context: Context, run: ImportedRun) -> bool:
    """Whether the run is new."""
    experiment = experiment_verbs.experiment_in(transaction, context, run.experiment_id)
    head = run_store.head(transaction, context.project, run.run_id)
    is_new = head is None
    if head is None:
        _insert(transaction, context, run, experiment)
        head = head_in(transaction, context, run.run_id)
    elif head.experiment_number != experiment.number:
        raise ConflictError(
            f"the run {run.run_id} is here already, in another experiment than {experiment.name!r}"
        )
    else:
        run_store.update(transaction, head.number, _changes(run, head))
    run_store.set_parameters(transaction, head.number, run.parameters)
    run_store.set_tags(transaction, head.number, run.tags)
    _link(transaction, context, run, head)
    return is_new


def _insert(transaction: Transaction, context: Context, run: ImportedRun, experiment: Experiment) -> None:
    row = Run(
        run_id=run.run_id,
        experiment=experiment.name,
        name=run.name,
        status=run.status,
        started_at=run.started_at,
        created_by=run.user,
    )
    root = artifact_root(experiment.artifact_location, run.run_id)
    number = run_store.insert(transaction, context.project, row, experiment.number, root)
    deleted_at = (run.ended_at or run.started_at) if run.lifecycle == "deleted" else None
    changes = {"ended_at": run.ended_at, "lifecycle": run.lifecycle, "deleted_at": deleted_at}
    run_store.update(transaction, number, changes)


def _changes(run: ImportedRun, head: RunHead) -> dict[str, object]:
    """What the source says of a run that is here; one that was deleted here is not brought back."""
    changes: dict[str, object] = {"name": run.name, "status": run.status, "ended_at": run.ended_at}
    if run.lifecycle == "deleted" and head.lifecycle == "active":
        changes |= {"lifecycle": "deleted", "deleted_at": run.ended_at or run.started_at}
    return changes


def _link(transaction: Transaction, context: Context, run: ImportedRun, head: RunHead) -> None:
    """What the run read and wrote, as lineage too."""
    at, here = run.started_at, urn.run(run.run_id)
    for given in run.inputs:
        input_store.add_dataset(transaction, head.experiment_number, head.number, given)
        source = urn.source(f"{given.dataset.name}@{given.dataset.digest}")
        lineage.record_edge(transaction, context, source, "trained", here, at)
    for link in run.model_inputs:
        input_store.add_model(transaction, head.number, "input", link)
        lineage.record_edge(transaction, context, urn.logged_model(link.model_id), "read by", here, at)
    for link in run.model_outputs:
        input_store.add_model(transaction, head.number, "output", link)
        lineage.record_edge(transaction, context, here, "wrote", urn.logged_model(link.model_id), at)


def _take_points(transaction: Transaction, head: RunHead, curves: Sequence[ImportedCurve]) -> int:
    known = {metric.key for metric in metric_store.latest(transaction, [head.number])[head.number]}
    fresh: list[Point] = []
    for curve in curves:
        policy.check_key(curve.key, "metric")
        rows = list(_points_of(curve))
        fresh += _missing(transaction, head.number, curve.key, rows) if curve.key in known else rows
    if fresh:
        metric_store.append(transaction, head.number, head.experiment_number, fresh)
    return len(fresh)


def _points_of(curve: ImportedCurve) -> list[Point]:
    if not len(curve.steps) == len(curve.times) == len(curve.values):
        raise InvalidError(f"the curve {curve.key!r} has columns of several lengths", field="curves")
    try:
        values = [number(value) for value in curve.values]
    except ValueError as error:
        raise InvalidError(f"the curve {curve.key!r} holds no number: {error}", field="values") from None
    return [(curve.key, *row) for row in zip(curve.steps, curve.times, values, strict=True)]


def _missing(transaction: Transaction, run_number: int, key: str, rows: list[Point]) -> list[Point]:
    """The points that the run does not have. NaN equals NaN here, so values are told apart by their text."""
    steps, times, values = metric_store.history(transaction, run_number, key)
    # A part of a long curve meets little of what is there; only that stretch is turned into objects.
    asked = [row[2] for row in rows]
    near = (times >= min(asked, default=0)) & (times <= max(asked, default=0))
    present = set(
        zip(steps[near].tolist(), times[near].tolist(), map(repr, values[near].tolist()), strict=True)
    )
    return [row for row in rows if (row[1], row[2], repr(row[3])) not in present]


def _take_model(transaction: Transaction, context: Context, model: ImportedLoggedModel) -> bool:
    """Whether the model is new."""
    experiment = experiment_verbs.experiment_in(transaction, context, model.experiment_id)
    known = model_store.find(transaction, context.project, model.model_id)
    if known is None:
        _insert_model(transaction, context, model, experiment)
        known = model_store.find(transaction, context.project, model.model_id)
        assert known is not None
        is_new = True
    else:
        changes = {"status": model.status, "updated_at": model.updated_at}
        model_store.update(transaction, known.number, changes)
        is_new = False
    model_store.set_pairs(transaction, "logged_model_parameter", known.number, model.parameters)
    model_store.set_pairs(transaction, "logged_model_tag", known.number, model.tags)
    for metric in model.metrics:
        point = LoggedPoint(
            metric.key,
            number(metric.value),
            metric.at,
            metric.step,
            model.model_id,
            metric.dataset_name,
            metric.dataset_digest,
        )
        model_store.add_points(transaction, context.project, metric.run_id, [point])
    return is_new


def _insert_model(
    transaction: Transaction, context: Context, model: ImportedLoggedModel, experiment: Experiment
) -> None:
    row = LoggedModel(
        number=0,
        model_id=model.model_id,
        experiment_id=experiment.experiment_id,
        name=model.name,
        model_type=model.model_type,
        source_run_id=model.source_run_id,
        status=model.status,
        lifecycle=model.lifecycle,
        artifact_location=f"{experiment.artifact_location}/models/{model.model_id}/artifacts",
        created_at=model.created_at,
        updated_at=model.updated_at,
        parameters=model.parameters,
        tags=model.tags,
    )
    number = model_store.insert(transaction, context.project, row, experiment.number)
    if model.lifecycle == "deleted":
        model_store.update(transaction, number, {"lifecycle": "deleted"})
    if model.source_run_id:
        source, target = urn.run(model.source_run_id), urn.logged_model(model.model_id)
        lineage.record_edge(transaction, context, source, "wrote", target, model.created_at)
