"""`/runs` and `/runs/{run_id}`: every training with its code, data, environment and outcome."""

from __future__ import annotations

import msgspec
from markupsafe import Markup

from holdfast.base import lineage
from holdfast.base.clock import Micros
from holdfast.base.context import Context
from holdfast.registry.records import ModelVersion
from holdfast.tracking.records import GetRunRequest, ListRunsRequest, MetricPoint, Run
from holdfast.ui import urls
from holdfast.ui.cells import link
from holdfast.ui.kit import Choice, Column, Fact, Paging, Row, badge, charts, render_table, table
from holdfast.ui.kit.format import code_block, duration, number, short_id, size, time_tag
from holdfast.ui.kit.table_query import url_with
from holdfast.ui.lineage import graph_of, picture
from holdfast.ui.page import PageRequest, View, head
from holdfast.ui.services import PageServices
from holdfast.ui.words import by, counted, metric_name, stopped

_PAGE_RUNS = 50
_TOOK = Column("took", "Took", align="right", sortable=False, formatter=duration)
_METRICS_SHOWN = 2
_EMPTY = Markup("<h3>No runs yet</h3><p>A run appears when a model is trained.</p>{}").format(
    code_block("$ holdfast train FILE\n$ holdfast status")
)


class RunData(msgspec.Struct, frozen=True):
    """A run's page as data."""

    run: Run
    version: ModelVersion | None
    curves: dict[str, list[MetricPoint]]
    lineage: lineage.LineageGraph


def show_list(services: PageServices, context: Context, request: PageRequest) -> View:
    """Runs, newest first, a page at a time."""
    asked = ListRunsRequest(
        request.query.get("experiment") or None, _PAGE_RUNS, request.query.get("after") or None
    )
    found = services.tracking.list_runs(context, asked)
    page = head(services, request, "Runs", tab="Runs", command="holdfast status", live=asked.after is None)
    metrics = list(dict.fromkeys(name for run in found.runs for name in run.metrics))[:_METRICS_SHOWN]
    now = page.now_at
    columns = (
        Column("run", "Run", sortable=False),
        Column("experiment", "Model", sortable=False),
        Column("status", "Status", sortable=False, formatter=badge),
        *(Column(name, name, align="right", sortable=False, formatter=number) for name in metrics),
        Column("data", "Data", sortable=False),
        Column("commit", "Commit", sortable=False),
        *(() if services.clock.simulated else (_TOOK,)),
        Column("started", "Started", align="right", sortable=False, formatter=lambda at: time_tag(at, now)),
    )
    experiments = tuple(sorted({run.experiment for run in found.runs} | ({asked.experiment or ""} - {""})))
    older = url_with(request.path, request.query, {"after": found.next_after}) if found.next_after else ""
    first = url_with(request.path, request.query, {"after": None}) if asked.after else ""
    listed = render_table(
        columns, [_row(run, metrics) for run in found.runs], request.query, path=request.path, caption="Runs",
        paging=Paging(counted(len(found.runs), "run") if older or first else "", first, older),
        choices=(Choice("experiment", "Model", experiments),) if len(experiments) > 1 or asked.experiment else (),
        empty=_EMPTY,
    )  # fmt: skip
    return View("list.html", page, found, {"table": listed})


def _row(run: Run, metrics: list[str]) -> Row:
    cells = {
        "run": run.name,
        "experiment": run.experiment,
        "status": run.status,
        **{name: run.metrics.get(name) for name in metrics},
        "data": ", ".join(urn.removeprefix("data/") for urn in run.datasets) or None,
        "commit": run.code.git_commit[:8] if run.code and run.code.git_commit else None,
        "took": run.ended_at - run.started_at if run.ended_at is not None else None,
        "started": run.started_at,
    }
    return Row(cells, urls.run(run.run_id), run.run_id)


def show(services: PageServices, context: Context, request: PageRequest) -> View:
    """The page of one run."""
    data = gather(services, context, request.parameters["run_id"])
    run = data.run
    page = head(
        services,
        request,
        run.name,
        tab="Runs",
        kind="Run",
        subtitle=_summary(data),
        status=run.status,
        urn=run.urn,
        command=f"holdfast trace {run.experiment}"
        + (f" --version {data.version.version}" if data.version else ""),
        crumbs=(("Runs", urls.RUNS), (run.experiment, urls.model(run.experiment))),
        live=run.status == "running",
    )
    parts = {
        "run": run,
        "facts": _facts(data, page.now_at, simulated=services.clock.simulated),
        "metrics": tuple(Fact(metric_name(name), number(value), name) for name, value in run.metrics.items()),
        "parameters": tuple(Fact(name, value) for name, value in sorted(run.parameters.items())),
        "curves": [_curve(name, points) for name, points in data.curves.items()],
        "code": _code(run),
        "diff": code_block(run.code.git_diff) if run.code and run.code.git_diff else None,
        "environment": _environment(run),
        "packages": _packages(run, request),
        "artifacts": _artifacts(run),
        "lineage": picture(data.lineage),
    }
    return View("run.html", page, data, parts)


def gather(services: PageServices, context: Context, run_id: str) -> RunData:
    """Reads everything the page shows; curves only of metrics that were logged more than once."""
    run = services.tracking.get_run(context, GetRunRequest(run_id))
    with services.ledger.read() as reader:
        version = services.registry.version_of_run_in(reader, context, run_id)
        points = {key: services.tracking.metric_history(reader, context, run_id, key) for key in run.metrics}
    curves = {key: found for key, found in points.items() if len(found) > 1}
    return RunData(run, version, curves, graph_of(services, context, run.urn, depth=3))


def _summary(data: RunData) -> str:
    run = data.run
    if run.status == "running":
        return "Under way."
    if run.error:
        return stopped(f"Failed: {run.error}")
    because = (
        f", because {data.version.trained_because}" if data.version and data.version.trained_because else ""
    )
    made = (
        f"Made version {data.version.version} of {data.version.name}" if data.version else "Made no version"
    )
    return stopped(f"{made}{because}")


def _facts(data: RunData, now: Micros, *, simulated: bool) -> tuple[Fact, ...]:
    run = data.run
    datasets = Markup(", ").join(link(urn, urls.of_urn(urn)) for urn in run.datasets)
    took = duration(run.ended_at - run.started_at) if run.ended_at is not None else "still running"
    # A simulated clock stands still while something trains: a duration by it would be untrue.
    timed = () if simulated and run.ended_at is not None else (Fact("Took", took),)
    made = (
        Fact(
            "Made",
            f"version {data.version.version}",
            url=urls.version(data.version.name, data.version.version),
        )
        if data.version
        else Fact("Made", "no version")
    )
    return (
        Fact("Status", badge(run.status)),
        made,
        Fact("Data", datasets or "none recorded"),
        Fact("Started", time_tag(run.started_at, now)),
        *timed,
        Fact("By", by(run.created_by)),
        Fact("Seed", str(run.seed) if run.seed is not None else "not set"),
        *(Fact(name, value) for name, value in sorted(run.tags.items())),
    )


def _curve(name: str, points: list[MetricPoint]) -> Markup:
    ordered = sorted(points, key=lambda point: point.step)
    series = charts.Series(
        name, tuple(float(point.step) for point in ordered), tuple(point.value for point in ordered)
    )
    return charts.line_chart(
        [series], title=metric_name(name), y_label="by step", x_is_time=False, height=150
    )


def _code(run: Run) -> tuple[Fact, ...]:
    if run.code is None:
        return ()
    commit = short_id(run.code.git_commit, 40) if run.code.git_commit else "not in a git checkout"
    changed = "with the changes below" if run.code.git_diff else "clean"
    return (
        Fact("Entry", Markup("<code>{}</code>").format(run.code.entry)),
        Fact("Source bundle", short_id(run.code.bundle, 24)),
        Fact("Commit", commit),
        *((Fact("Work tree", changed),) if run.code.git_commit else ()),
        *((Fact("Remote", run.code.git_remote),) if run.code.git_remote else ()),
    )


def _environment(run: Run) -> tuple[Fact, ...]:
    if run.environment is None:
        return ()
    return (
        Fact("Python", run.environment.python),
        Fact("Platform", run.environment.platform),
        Fact("Processors", number(run.environment.cpu_count)),
        Fact("Packages", number(len(run.environment.packages))),
    )


def _packages(run: Run, request: PageRequest) -> Markup:
    packages = run.environment.packages if run.environment else {}
    rows = [Row({"name": name, "version": version}, key=name) for name, version in packages.items()]
    columns = (Column("name", "Package"), Column("version", "Version"))
    return table(
        columns, rows, request.query, path=request.path, name="packages", default_sort="name", page_rows=12,
        caption="Packages",
    )  # fmt: skip


def _artifacts(run: Run) -> Markup:
    columns = (
        Column("path", "Path", sortable=False),
        Column("size", "Size", align="right", sortable=False, formatter=size),
        Column("digest", "Blob", sortable=False, formatter=short_id),
    )
    rows = [
        Row({"path": item.path, "size": item.size_bytes, "digest": item.digest}, key=item.path)
        for item in run.artifacts
    ]
    return render_table(
        columns, rows, caption="Artifacts", empty=Markup("<p>It kept no files of its own.</p>")
    )
