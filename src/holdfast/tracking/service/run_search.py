"""The verbs with which people look for runs: search, describe, compare, delete and restore; experiments with counts."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

from holdfast.base.context import Context
from holdfast.base.errors import InvalidError, NotFoundError
from holdfast.base.ledger.protocol import Ledger, Reader
from holdfast.base.operations import operation
from holdfast.tracking.comparison import Comparison, compare
from holdfast.tracking.records import LoggedRun, measured
from holdfast.tracking.run_records import (
    CompareRuns,
    CurvesFound,
    CurvesRequest,
    ExperimentsFound,
    LatestValue,
    ListExperiments,
    RunCurve,
    RunDescription,
    RunRequest,
    RunSearch,
    RunsFound,
    RunSummary,
)
from holdfast.tracking.service.metrics import Curve, MetricService
from holdfast.tracking.service.runs import RunService
from holdfast.tracking.store import catalog, search
from holdfast.tracking.store import runs as store

_PAGE_MOST = 1000
_ARTIFACTS_MOST = 1000
_CHILDREN_MOST = 200
_COMPARED_MOST = 50
_CURVES_MOST = 12
_POINTS_MOST = 10_000
_BEGINNING = re.compile(r"[0-9a-f]{3,32}")
_ROOT_SCHEME = "mlflow-artifacts:/"


class RunCatalog:
    """Runs of one ledger, as people look for them."""

    def __init__(self, ledger: Ledger, runs: RunService, metrics: MetricService) -> None:
        self._ledger = ledger
        self._runs = runs
        self._metrics = metrics

    @operation("GET", "/runs/search", "Search runs by parameters, metrics, tags, attributes and datasets.")
    def search(self, context: Context, request: RunSearch) -> RunsFound:
        """One page of runs; by default those that started last come first.

        Raises:
            InvalidError: the filter, an order, the limit or the page mark is not legal.
            NotFoundError: there is no such experiment.
        """
        if not 1 <= request.limit <= _PAGE_MOST:
            raise InvalidError(
                f"a page has 1 to {_PAGE_MOST} runs, not {request.limit}",
                hint="see the next ones with --after (`after` in the API)",
                field="limit",
            )
        with self._ledger.read() as reader:
            names = catalog.experiment_names(reader, context.project)
        found = self._runs.search(
            context,
            _experiment_ids(names, request.experiments),
            condition=request.filter,
            order_by=request.order_by,
            view=request.view,
            limit=request.limit,
            page=request.after,
            grammar=search.OWN_RUNS,
        )
        with self._ledger.read() as reader:
            return RunsFound(tuple(_summaries(reader, context, found.runs)), found.next_page)

    @operation("GET", "/experiments", "List experiments with how many runs they have.")
    def experiments(self, context: Context, request: ListExperiments) -> ExperimentsFound:
        """Every experiment, the one with the latest run first."""
        with self._ledger.read() as reader:
            return ExperimentsFound(
                tuple(catalog.experiment_summaries(reader, context.project, request.view))
            )

    @operation(
        "GET", "/runs/{run_id}/description", "Describe a run, deleted or not: everything but its curves."
    )
    def describe(self, context: Context, request: RunRequest) -> RunDescription:
        """Everything of one run but its curves; the beginning of an id will do.

        Raises:
            NotFoundError: there is no such run.
            InvalidError: several begin so.
        """
        with self._ledger.read() as reader:
            return _describe(reader, context, _resolve(reader, context, request.run_id))

    @operation("GET", "/runs/{run_id}/curves", "Show metrics of a run by step, thinned for a picture.")
    def curves(self, context: Context, request: CurvesRequest) -> CurvesFound:
        """Curves of one run, of every metric by default; a metric that it does not have is left out."""
        _check_most(request.most)
        with self._ledger.read() as reader:
            run_id = _resolve(reader, context, request.run_id)
            keys = request.metrics or tuple(item.key for item in _described(reader, context, run_id).metrics)
        curves = self._metrics.outlines(context, run_id, keys, request.most)
        return CurvesFound(tuple(_run_curve(curve) for curve in curves if curve.steps))

    @operation(
        "GET", "/runs/compare", "Compare runs: parameters, metrics, datasets, code, environment, curves."
    )
    def compare(self, context: Context, request: CompareRuns) -> Comparison:
        """Runs beside each other, in the order asked for.

        Raises:
            InvalidError: fewer than 2 runs or more than 50, one of them twice, or a metric that none of them has.
            NotFoundError: there is no such run.
        """
        _check_most(request.most)
        if not 2 <= len(request.runs) <= _COMPARED_MOST:
            raise InvalidError(
                f"2 to {_COMPARED_MOST} runs are compared, not {len(request.runs)}",
                hint="find them with `holdfast runs list`",
                field="runs",
            )
        with self._ledger.read() as reader:
            ids = [_resolve(reader, context, run_id) for run_id in request.runs]
            if len(set(ids)) < len(ids):
                raise InvalidError("a run is compared with itself", hint="name different runs", field="runs")
            described = [_describe(reader, context, run_id) for run_id in ids]
        known = sorted({item.key for each in described for item in each.metrics})
        for key in request.metrics:
            if key not in known:
                raise InvalidError(
                    f"none of these runs has the metric {key!r}",
                    hint=f"valid are {', '.join(known)}" if known else "they have no metrics at all",
                    field="metrics",
                )
        keys = request.metrics or known
        curves = self._curves(context, ids, keys, request.most, 1 if request.metrics else 2)
        return compare(described, curves if request.metrics else _first(curves, _CURVES_MOST))

    @operation("DELETE", "/runs/{run_id}", "Delete a run; it can be restored until the garbage is collected.")
    def delete(self, context: Context, request: RunRequest) -> RunSummary:
        """Deletes a run, audited; one that is deleted already stays so.

        Raises:
            NotFoundError: there is no such run.
        """
        run_id = self._resolved(context, request.run_id)
        self._runs.delete(context, run_id)
        return self._summary(context, run_id)

    @operation("POST", "/runs/{run_id}/restore", "Restore a deleted run.")
    def restore(self, context: Context, request: RunRequest) -> RunSummary:
        """Restores a deleted run, audited; one that is not deleted stays as it is.

        Raises:
            NotFoundError: there is no such run, any more.
        """
        run_id = self._resolved(context, request.run_id)
        self._runs.restore(context, run_id)
        return self._summary(context, run_id)

    def _resolved(self, context: Context, text: str) -> str:
        with self._ledger.read() as reader:
            return _resolve(reader, context, text)

    def _summary(self, context: Context, run_id: str) -> RunSummary:
        with self._ledger.read() as reader:
            return _summaries(reader, context, [_described(reader, context, run_id)])[0]

    def _curves(
        self, context: Context, run_ids: Sequence[str], keys: Iterable[str], most: int, fewest: int
    ) -> Iterable[RunCurve]:
        """Curves by metric and run, of at least `fewest` points."""
        for key in keys:
            for run_id in run_ids:
                curve = self._metrics.outline(context, run_id, key, most)
                if len(curve.steps) >= fewest:
                    yield _run_curve(curve)


def _first(curves: Iterable[RunCurve], most: int) -> Iterable[RunCurve]:
    """The curves of the first so many metrics."""
    seen: set[str] = set()
    for curve in curves:
        seen.add(curve.key)
        if len(seen) > most:
            return
        yield curve


def _run_curve(curve: Curve) -> RunCurve:
    values = tuple(measured(value) for value in curve.values)
    return RunCurve(curve.run_id, curve.key, tuple(curve.steps), tuple(curve.times), values)


def _check_most(most: int) -> None:
    if not 2 <= most <= _POINTS_MOST:
        raise InvalidError(f"a curve has 2 to {_POINTS_MOST} points, not {most}", field="most")


def _experiment_ids(names: dict[str, str], wanted: Sequence[str]) -> list[str]:
    """The ids of experiments given by name or id; a name goes first."""
    if not wanted:
        return list(names)
    by_name = {name: experiment_id for experiment_id, name in names.items()}
    found = []
    for text in wanted:
        experiment_id = by_name.get(text, text)
        if experiment_id not in names:
            near = difflib.get_close_matches(text, list(by_name), 1)
            hint = f"did you mean {near[0]!r}?" if near else "see them with `holdfast runs experiments`"
            raise NotFoundError(f"there is no experiment {text[:200]!r}", hint=hint, field="experiments")
        found.append(experiment_id)
    return found


def _resolve(reader: Reader, context: Context, text: str) -> str:
    """The id of the run that is meant.

    Raises:
        NotFoundError: no id begins so.
        InvalidError: several do.
    """
    if store.head(reader, context.project, text) is not None:
        return text
    found = (
        catalog.ids_beginning(reader, context.project, text, 3)
        if _BEGINNING.fullmatch(text) is not None
        else []
    )
    if not found:
        raise NotFoundError(
            f"there is no run {text[:100]!r}",
            hint="find it with `holdfast runs list`; an id may be shortened to its first digits, at least 3",
            field="run_id",
        )
    if len(found) > 1:
        shown = ", ".join(run_id[: len(text) + 4] for run_id in found)
        raise InvalidError(
            f"several runs begin with {text!r}: {shown}", hint="give more digits", field="run_id"
        )
    return found[0]


def _described(reader: Reader, context: Context, run_id: str) -> LoggedRun:
    head = store.head(reader, context.project, run_id)
    assert head is not None, "the id was resolved in this snapshot"
    return store.logged(reader, [head.number])[0]


def _summaries(reader: Reader, context: Context, runs: Sequence[LoggedRun]) -> list[RunSummary]:
    names = catalog.experiment_names(reader, context.project)
    deleted = catalog.deleted_times(reader, [run.number for run in runs if run.lifecycle == "deleted"])
    return [
        RunSummary(
            run_id=run.run_id,
            name=run.name,
            experiment=names[run.experiment_id],
            experiment_id=run.experiment_id,
            status=run.status,
            lifecycle=run.lifecycle,
            started_at=run.started_at,
            ended_at=run.ended_at,
            created_by=run.user,
            deleted_at=deleted.get(run.number),
            parameters=run.parameters,
            metrics={metric.key: measured(metric.value) for metric in run.metrics},
            tags=run.tags,
            inputs=run.inputs,
        )
        for run in runs
    ]


def _describe(reader: Reader, context: Context, run_id: str) -> RunDescription:
    logged, own = _described(reader, context, run_id), store.find_run(reader, context.project, run_id)
    assert own is not None
    root = logged.artifact_root.removeprefix(_ROOT_SCHEME)
    artifacts, count = catalog.artifacts_below(reader, context.project, root, _ARTIFACTS_MOST)
    children = store.logged(reader, catalog.children(reader, context.project, run_id, _CHILDREN_MOST))
    return RunDescription(
        run=_summaries(reader, context, [logged])[0],
        metrics=tuple(
            LatestValue(item.key, measured(item.value), item.step, item.at) for item in logged.metrics
        ),
        seed=own.seed,
        error=own.error,
        datasets=own.datasets,
        code=own.code,
        environment=own.environment,
        artifacts=tuple(artifacts),
        artifact_count=count,
        model_inputs=logged.model_inputs,
        model_outputs=logged.model_outputs,
        parent=logged.tags.get(catalog.PARENT_TAG),
        children=tuple(_summaries(reader, context, children)),
    )
