"""What an import would bring, found without writing anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from holdfast.sdk.imports.mlflow.importer import Watch, chosen_experiments
from holdfast.sdk.imports.mlflow.records import Source
from holdfast.sdk.imports.mlflow.report import Report
from holdfast.tracking.import_records import FindMarksRequest, Marks

FindMarks = Callable[[FindMarksRequest], Marks]


def planned(source: Source, names: Sequence[str], find_marks: FindMarks, watch: Watch) -> Report:
    """Counts what is there, and how much of it was brought before.

    Whether something changed since shows only when it is read whole, so what has a mark counts as known.
    """
    report = Report(source.name, dry_run=True)
    chosen = chosen_experiments(source.experiments(), names)
    watch.begin(len(chosen))
    report.experiments.new = len(chosen)
    seen: set[str] = set()
    for given in chosen:
        watch.experiment(given.name, source.run_count(given.experiment_id))
        models = [model.model_id for model in source.logged_models(given.experiment_id)]
        for page in source.run_pages(given.experiment_id):
            ids = tuple(run.run_id for run in page)
            known = len(find_marks(FindMarksRequest(source.name, "run", ids)).marks)
            report.runs.known += known
            report.runs.new += len(ids) - known
            seen.update(ids)
            watch.advance(len(page), report)
        known = len(find_marks(FindMarksRequest(source.name, "logged_model", tuple(models))).marks)
        report.logged_models.known += known
        report.logged_models.new += len(models) - known
        seen.update(models)
    _plan_models(source, seen if names else None, find_marks, report)
    return report


def _plan_models(source: Source, seen: set[str] | None, find_marks: FindMarks, report: Report) -> None:
    for given in source.models():
        versions = [item for item in given.versions if seen is None or item.run_id in seen]
        if seen is not None and not versions:
            continue
        keys = {
            "model": (given.name,),
            "version": tuple(f"{given.name}/{item.version}" for item in versions),
            "alias": tuple(f"{given.name}@{alias}" for alias in given.aliases),
        }
        counts = {"model": report.models, "version": report.versions, "alias": report.aliases}
        for kind, asked in keys.items():
            known = len(find_marks(FindMarksRequest(source.name, kind, asked)).marks) if asked else 0  # type: ignore[arg-type]
            counts[kind].known += known
            counts[kind].new += len(asked) - known
