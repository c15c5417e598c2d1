"""`/runs/{run_id}`: one run, whoever logged it: outcome, curves, what went in and what came out."""

from __future__ import annotations

from holdfast.base.context import Context
from holdfast.base.errors import NotFoundError
from holdfast.registry.catalog.records import Search
from holdfast.tracking.records import LoggedModel, LoggedRun
from holdfast.tracking.run_records import RunRequest, RunSummary
from holdfast.ui import urls
from holdfast.ui.flash import Flash
from holdfast.ui.kit.format import code_block
from holdfast.ui.lineage import graph_of, picture
from holdfast.ui.page import PageRequest, View, head
from holdfast.ui.runs import details
from holdfast.ui.runs.artifacts import gather as gather_artifacts
from holdfast.ui.runs.artifacts import no_artifacts, tree_table
from holdfast.ui.runs.curves import read_curves, small_chart, view_choices, view_of
from holdfast.ui.runs.head import run_tabs
from holdfast.ui.runs.run_data import RunData
from holdfast.ui.services import PageServices
from holdfast.ui.words import stopped

BECAUSE_TAG = "because"  # Every training by holdfast says why it began.
NOTE_TAG = "mlflow.note.content"
_CURVES_SHOWN = 9
_SYSTEM_SHOWN = 6


def show(services: PageServices, context: Context, request: PageRequest) -> View:
    """The page of one run."""
    data = gather(services, context, request.parameters["run_id"])
    described, run = data.described, data.described.run
    logged = services.logged_runs.get(context, run.run_id)
    view = view_of(request.query)
    page = head(
        services,
        request,
        run.name,
        tab="Runs",
        kind="Run",
        subtitle=_summary(data),
        status=run.status,
        urn=run.urn,
        command=f"holdfast runs show {run.run_id}",
        crumbs=(("Runs", urls.RUNS), (run.experiment, urls.runs_of(run.experiment))),
        live=run.status in ("running", "scheduled"),
    )
    small = [
        small_chart(one, view, urls.run_curves(run.run_id, one.key)) for one in data.curves[:_CURVES_SHOWN]
    ]
    parts = {
        "run": run,
        "error": described.error,
        "entry": _entry_of(services, context, described.run),
        "flash": _flash(request, run.lifecycle),
        "tabs": run_tabs(logged),
        "facts": details.facts(data, page.now_at, simulated=services.clock.simulated),
        "metrics": details.metrics_table(logged, request, page.now_at),
        "parameters": details.parameters_table(run, request),
        "choices": view_choices(request.path, request.query, view) if small else (),
        "curves": small,
        "more_curves": len(data.curves) - len(small),
        "system": [
            small_chart(one, view, urls.run_curves(run.run_id, one.key, system=True))
            for one in data.system[:_SYSTEM_SHOWN]
        ],
        "more_system": max(0, len(data.system) - _SYSTEM_SHOWN),
        "note": run.tags.get(NOTE_TAG, ""),
        "tags": details.tags(run),
        "children": details.children_table(described.children, page.now_at) if described.children else None,
        "datasets": details.datasets_table(data),
        "models": details.models_table(data, page.now_at),
        "code": details.code(described),
        "diff": code_block(described.code.git_diff) if described.code and described.code.git_diff else None,
        "environment": details.environment(described),
        "packages": details.packages(described, request),
        "artifacts": tree_table(run.run_id, data.files, no_artifacts(logged)),
        "lineage": picture(data.lineage),
    }
    return View("run.html", page, data, parts)


def gather(services: PageServices, context: Context, run_id: str) -> RunData:
    """Reads everything the page shows; curves only of metrics that were logged more than once.

    Raises:
        NotFoundError: there is no such run.
    """
    described = services.runs.describe(context, RunRequest(run_id))
    logged = services.logged_runs.get(context, described.run.run_id)
    with services.ledger.read() as reader:
        version = services.registry.version_of_run_in(reader, context, logged.run_id)
    metrics = [item.key for item in logged.metrics]
    made_of = Search(f"run_id = '{logged.run_id}'", ("version_number ASC",))
    return RunData(
        described=described,
        version=version,
        curves=read_curves(services, context, logged.run_id, metrics, system=False),
        system=read_curves(services, context, logged.run_id, metrics, system=True),
        parent=_run(services, context, described.parent or ""),
        models=_models(services, context, logged),
        registered=tuple(services.versions.search(context, made_of)[0]),
        files=gather_artifacts(services, context, logged, "").files,
        lineage=graph_of(services, context, described.run.urn, depth=3),
    )


def _run(services: PageServices, context: Context, run_id: str) -> LoggedRun | None:
    try:
        return services.logged_runs.get(context, run_id) if run_id else None
    except NotFoundError:
        return None  # A parent that is gone leaves its tag behind.


def _models(services: PageServices, context: Context, run: LoggedRun) -> tuple[LoggedModel, ...]:
    found = []
    for link in run.model_outputs:
        try:
            found.append(services.logged_models.get(context, link.model_id))
        except NotFoundError:
            continue  # It was deleted since.
    return tuple(found)


def _entry_of(services: PageServices, context: Context, run: RunSummary) -> str:
    """The file to train again with, of a training of a declared model; empty for what clients and scripts logged."""
    if BECAUSE_TAG not in run.tags:
        return ""
    declared = services.loop.declarations(context)
    return next((item.entry for item in declared if item.name == run.experiment), "")


def _flash(request: PageRequest, lifecycle: str) -> Flash | None:
    """What a form on this page did, where it is still so."""
    if request.query.get("changed") != "restored" or lifecycle != "active":
        return None
    return Flash("good", "The run is restored", "It is in the list of runs again.")


def _summary(data: RunData) -> str:
    run = data.described.run
    if run.status in ("running", "scheduled"):
        return "Under way." if run.status == "running" else "It waits to begin."
    if data.described.error:
        return stopped(f"Failed: {data.described.error}")
    if data.version is not None:
        because = f", because {data.version.trained_because}" if data.version.trained_because else ""
        return stopped(f"Made version {data.version.version} of {data.version.name}{because}")
    if data.registered:
        first = data.registered[0]
        return f"Its model is registered as version {first.version} of {first.name}."
    return "" if data.described.code is None else "Made no version."
