"""Carries an MLflow store to a holdfast server, so that it can be stopped anywhere and started again.

Each thing gets a mark once it was brought whole: a fingerprint of it as it was. What still has the fingerprint of its
mark is passed over; everything else is sent again, and the server adds only what it does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Protocol, TypeVar

import msgspec

from holdfast.base.errors import InvalidError, RemoteError
from holdfast.registry.outside.source import artifact_folder
from holdfast.sdk.imports.mlflow import translation
from holdfast.sdk.imports.mlflow.carrier import Carrier
from holdfast.sdk.imports.mlflow.models import ModelImport
from holdfast.sdk.imports.mlflow.records import (
    Folder,
    Source,
    SourceExperiment,
    SourceFile,
    SourceLoggedModel,
    SourceRun,
)
from holdfast.sdk.imports.mlflow.report import Counts, Report
from holdfast.sdk.imports.mlflow.target import Target
from holdfast.tracking.import_records import (
    FindMarksRequest,
    FinishImportRequest,
    ImportedCurve,
    ImportedExperiment,
    ImportedLoggedModel,
    ImportedRun,
    ImportLoggedModelsRequest,
    ImportOutcome,
    ImportPointsRequest,
    ImportRunsRequest,
    MarkKind,
    SetMarksRequest,
)
from holdfast.tracking.service import ImportService

T = TypeVar("T")

_RUNS_A_REQUEST = 100
_POINTS_A_REQUEST = 50_000
_MODELS_A_PAGE = 50


class Watch(Protocol):
    """Is told how far an import is."""

    def begin(self, experiments: int) -> None:
        """How many experiments there are."""
        ...

    def experiment(self, name: str, runs: int | None) -> None:
        """The next experiment, and how many runs it has where that is known."""
        ...

    def advance(self, runs: int, report: Report) -> None:
        """So many more runs were seen to."""
        ...


class MlflowImport:
    """One import.

    Args:
        source: the store to read.
        target: the server to write to.
        names: the experiments to bring; all of them when empty.
        watch: is told how far it is.
    """

    def __init__(self, source: Source, target: Target, names: Sequence[str], watch: Watch) -> None:
        self._source = source
        self._target = target
        self._names = names
        self._watch = watch
        self.report = Report(source.name)
        self._carrier = Carrier(source, target, self.report)
        # What was seen of a chosen experiment: only versions made of these are brought then.
        self._seen: set[str] = set()

    def run(self) -> Report:
        """Brings everything, and says what that was.

        Raises:
            InvalidError: an experiment that was asked for is not there.
            SourceAwayError, UnavailableError: one of the two sides went away; `report` holds what was brought.
        """
        chosen = chosen_experiments(self._source.experiments(), self._names)
        self._watch.begin(len(chosen))
        for given in chosen:
            self._watch.experiment(given.name, self._source.run_count(given.experiment_id))
            request = translation.experiment_request(self._source.name, given)
            made = self._target.call(ImportService.experiment, request)
            _count(self.report.experiments, is_new=made.created, is_changed=False)
            self._logged_models(given, made)
            for page in self._source.run_pages(given.experiment_id):
                self._runs(page, made)
        models = ModelImport(self._source, self._target, self.report)
        models.bring(self._seen if self._names else None)
        if brought := self.report.brought():
            self._target.call(ImportService.finish, FinishImportRequest(self._source.name, brought))
        return self.report

    def _logged_models(self, given: SourceExperiment, made: ImportedExperiment) -> None:
        found = iter(self._source.logged_models(given.experiment_id))
        while page := list(islice(found, _MODELS_A_PAGE)):
            self._seen.update(model.model_id for model in page)
            folders = {model.model_id: _folder_of_model(model) for model in page}
            files = {model_id: self._carrier.listed(folder) for model_id, folder in folders.items()}
            prints = {
                model.model_id: translation.fingerprint(
                    made.experiment_id, model, translation.stamps(files[model.model_id])
                )
                for model in page
            }
            due = self._due("logged_model", prints, self.report.logged_models)
            wanted = [
                translation.imported_logged_model(model, made.experiment_id)
                for model in page
                if model.model_id in due
            ]
            taken = self._take(wanted, self._take_models, lambda model: f"logged model {model.model_id}")
            brought = {
                model.model_id: prints[model.model_id]
                for model in taken
                if self._carry(folders[model.model_id], files[model.model_id], made)
            }
            self._mark("logged_model", brought)

    def _runs(self, page: list[SourceRun], made: ImportedExperiment) -> None:
        self._seen.update(run.run_id for run in page)
        folders = {run.run_id: Folder("run", run.run_id, run.artifact_uri, run.beside) for run in page}
        files = {run_id: self._carrier.listed(folder) for run_id, folder in folders.items()}
        prints = {
            run.run_id: translation.fingerprint(
                made.experiment_id, run, translation.stamps(files[run.run_id])
            )
            for run in page
        }
        due = self._due("run", prints, self.report.runs)
        wanted = [
            translation.imported_run(run, made.experiment_id, left_behind=files[run.run_id] is None)
            for run in page
            if run.run_id in due
        ]
        taken = {run.run_id for run in self._take(wanted, self._take_runs, lambda run: f"run {run.run_id}")}
        whole = self._points([run for run in page if run.run_id in taken])
        for run in page:
            if run.run_id in taken and self._carry(folders[run.run_id], files[run.run_id], made):
                continue
            whole.discard(run.run_id)
        self._mark("run", {run_id: prints[run_id] for run_id in whole})
        self._watch.advance(len(page), self.report)

    def _points(self, runs: list[SourceRun]) -> set[str]:
        """Sends the curves of some runs; the ids of those that were taken whole."""
        whole = {run.run_id for run in runs}
        waiting: dict[str, list[ImportedCurve]] = {}
        count = 0
        for run_id, key, points in self._source.curves(runs):
            waiting.setdefault(run_id, []).append(translation.imported_curve(key, points))
            count += len(points)
            if count >= _POINTS_A_REQUEST:
                whole -= self._send_points(waiting)
                waiting, count = {}, 0
        return whole - self._send_points(waiting)

    def _send_points(self, curves: dict[str, list[ImportedCurve]]) -> set[str]:
        """The ids of the runs whose points were refused."""
        if not curves:
            return set()
        try:
            outcome = self._target.call(ImportService.points, ImportPointsRequest(curves))
        except RemoteError as error:
            if len(curves) > 1:
                parts = [self._send_points({run_id: found}) for run_id, found in curves.items()]
                return set().union(*parts)
            (run_id,) = curves
            self.report.problems.append(f"points of run {run_id} were refused: {error}")
            return {run_id}
        self.report.points += outcome.created
        return set()

    def _carry(self, folder: Folder, files: list[SourceFile] | None, made: ImportedExperiment) -> bool:
        if not files:
            return True
        root = artifact_folder(made.artifact_location)
        if root is None:
            self.report.problems.append(
                f"the artifacts of {folder.owner} were not brought: experiment {made.experiment_id} here keeps its"
                f" own at {made.artifact_location}"
            )
            return False
        below = "models/" if folder.kind == "logged_model" else ""
        return self._carrier.bring(folder, files, f"{root}/{below}{folder.owner}/artifacts".lstrip("/"))

    def _take_runs(self, runs: list[ImportedRun]) -> ImportOutcome:
        return self._target.call(ImportService.runs, ImportRunsRequest(tuple(runs)))

    def _take_models(self, models: list[ImportedLoggedModel]) -> ImportOutcome:
        return self._target.call(ImportService.logged_models, ImportLoggedModelsRequest(tuple(models)))

    def _take(
        self, wanted: list[T], send: Callable[[list[T]], ImportOutcome], named: Callable[[T], str]
    ) -> list[T]:
        """Sends things in batches; where a batch is refused, one by one. Those that were taken."""
        taken: list[T] = []
        for start in range(0, len(wanted), _RUNS_A_REQUEST):
            part = wanted[start : start + _RUNS_A_REQUEST]
            try:
                send(part)
                taken += part
            except RemoteError as error:
                if len(part) == 1:
                    self.report.problems.append(f"{named(part[0])} was refused: {error}")
                    continue
                for item in part:
                    taken += self._take([item], send, named)
        return taken

    def _due(self, kind: MarkKind, prints: dict[str, str], counts: Counts) -> set[str]:
        """The keys of what is not here as it is now."""
        marks = self._target.call(
            ImportService.find_marks, FindMarksRequest(self._source.name, kind, tuple(prints))
        ).marks
        return due(prints, marks, counts)

    def _mark(self, kind: MarkKind, marks: dict[str, str]) -> None:
        if marks:
            self._target.call(ImportService.set_marks, SetMarksRequest(self._source.name, kind, marks))


def chosen_experiments(found: list[SourceExperiment], names: Sequence[str]) -> list[SourceExperiment]:
    """The experiments that were asked for; all of them when none was.

    Raises:
        InvalidError: one that was asked for is not there.
    """
    known = [item.name for item in found]
    missing = [name for name in names if name not in known]
    if missing:
        raise InvalidError(
            f"the source has no experiment {missing[0]!r}",
            hint=f"it has: {', '.join(sorted(known)[:20]) or 'none'}",
        )
    return [item for item in found if not names or item.name in names]


def due(prints: dict[str, str], marks: dict[str, str], counts: Counts) -> set[str]:
    """The keys whose mark is missing or another, counted as new, changed or known."""
    found = {key for key, mark in prints.items() if marks.get(key) != mark}
    for key in prints:
        _count(counts, is_new=key not in marks, is_changed=key in found)
    return found


def _count(counts: Counts, *, is_new: bool, is_changed: bool) -> None:
    if is_new:
        counts.new += 1
    elif is_changed:
        counts.changed += 1
    else:
        counts.known += 1


def _folder_of_model(model: SourceLoggedModel) -> Folder:
    return Folder("logged_model", model.model_id, model.artifact_uri, model.beside)


def as_builtin(report: Report) -> dict[str, object]:
    """The report as JSON shows it."""
    found: dict[str, object] = msgspec.to_builtins(report)
    return found
