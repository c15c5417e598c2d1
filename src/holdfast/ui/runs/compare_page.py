"""`/runs/compare?runs=a,b,c`: what differs between runs first, the best of each metric, and their curves together."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import msgspec
from markupsafe import Markup

from holdfast.base.clock import Micros
from holdfast.base.context import Context
from holdfast.base.errors import InvalidError
from holdfast.tracking.comparison import ComparedDataset, ComparedMetric, ComparedText, Comparison
from holdfast.tracking.run_records import CompareRuns, RunSummary
from holdfast.ui import urls
from holdfast.ui.cells import clipped, link, long_text
from holdfast.ui.kit import Choices, Column, Fact, Row, badge, charts, render_table
from holdfast.ui.kit.format import MISSING, duration, number, time_tag
from holdfast.ui.kit.table_query import url_with
from holdfast.ui.page import PageRequest, View, head
from holdfast.ui.runs.curves import Line, large_chart, view_choices, view_of
from holdfast.ui.runs.scatter import scatter_of
from holdfast.ui.services import PageServices
from holdfast.ui.words import counted

_PICTURE_POINTS = 240
_POINTS_ALTOGETHER = 40_000
_FEWEST_POINTS = 40
_SCATTER_FROM = 4
_CURVES_SHOWN = 12
_LEGEND_CHARACTERS = 30
_DIRECTIONS = {"higher": "higher is better", "lower": "lower is better", None: "better is not known"}

_DIFFERS = Markup('<span aria-hidden="true">≠ </span><span class="visually-hidden">differs: </span>')


class Head(msgspec.Struct, frozen=True):
    """A run as the head of a column: its name, alone among the runs, and the look of its lines."""

    run: RunSummary
    name: str
    look: charts.Look


def show(services: PageServices, context: Context, request: PageRequest) -> View:
    """Runs beside each other, in the order asked for; the first is what the others are compared with."""
    asked = tuple(request.values("runs"))
    if len(asked) < 2:
        raise InvalidError(
            f"{counted(len(asked), 'run')} cannot be compared",
            hint="tick two runs or more in the table of runs",
        )
    metrics = tuple(value for key, value in request.pairs if key == "metric" and value)
    most = 2000 if request.as_data else _points_a_curve(len(asked))
    found = services.runs.compare(context, CompareRuns(asked, metrics, most))
    heads = _heads(found.runs)
    page = head(
        services,
        request,
        f"{len(heads)} runs",
        tab="Runs",
        kind="Compare",
        subtitle=_summary(found),
        command=_command(found, metrics),
        crumbs=(("Runs", urls.RUNS),),
        live=any(run.status == "running" for run in found.runs),
        stateful=True,
    )
    scatter = scatter_of(found, heads_names(heads), request.query) if len(heads) >= _SCATTER_FROM else None
    parts = {
        "heads": heads,
        "runs": _runs_table(request, heads, page.now_at, simulated=services.clock.simulated),
        "differing": _texts(heads, found.parameters_differing),
        "differing_count": len(found.parameters_differing),
        "same": tuple(Fact(key, long_text(value)) for key, value in found.parameters_same.items()),
        "metrics": _metrics_table(heads, found.metrics),
        "choices": _curve_choices(request),
        "curves": _curves(request, found, heads),
        "metric_names": [item.key for item in found.metrics],
        "metrics_chosen": set(metrics) or {curve.key for curve in found.curves},
        "pairs": [(key, value) for key, value in request.pairs if key != "metric"],
        "own_metrics": bool(metrics),
        "default_url": url_with(request.path, request.query, {"metric": None}),
        "path": request.path,
        "scatter": scatter,
        "scatter_pairs": [(key, value) for key, value in request.pairs if key not in ("param", "against")],
        "datasets": _datasets_table(heads, found.datasets),
        "code": _texts(heads, found.code),
        "code_differs": found.code_differs,
        "environment": _texts(heads, found.environment_differing),
        "environment_count": len(found.environment_differing),
        "packages_same": found.packages_same,
    }
    return View("compare.html", page, found, parts)


def _points_a_curve(runs: int) -> int:
    """So many points that a page of many runs stays a page and not a download."""
    return max(_FEWEST_POINTS, min(_PICTURE_POINTS, _POINTS_ALTOGETHER // (runs * _CURVES_SHOWN)))


def _heads(runs: Sequence[RunSummary]) -> list[Head]:
    """Runs with names that tell them apart: several trainings often share one."""
    names = [run.name for run in runs]
    return [
        Head(
            run,
            run.name if names.count(run.name) == 1 else f"{run.name} ({run.run_id[:6]})",
            charts.look(place),
        )
        for place, run in enumerate(runs)
    ]


def heads_names(heads: Sequence[Head]) -> list[str]:
    """The names of the columns."""
    return [item.name for item in heads]


def _summary(found: Comparison) -> str:
    count = len(found.parameters_differing)
    verb = "differs" if count == 1 else "differ"
    same = len(found.parameters_same)
    parameters = f"{counted(count, 'parameter')} {verb}, {same} {'is' if same == 1 else 'are'} the same"
    code = "; their code differs" if found.code_differs else ""
    environment = "; their environments differ" if found.environment_differing else ""
    return f"{parameters}{code}{environment}."


def _command(found: Comparison, metrics: Sequence[str]) -> str:
    words = ["holdfast", "runs", "compare", *(run.run_id[:8] for run in found.runs)]
    return shlex.join([*words, *(word for metric in metrics for word in ("--metric", metric))])


def _runs_table(request: PageRequest, heads: Sequence[Head], now: Micros, *, simulated: bool) -> Markup:
    """The runs and their looks, with links that leave one out or put it first."""
    columns = (
        Column("run", "Run", sortable=False),
        Column("status", "Status", sortable=False, formatter=badge),
        Column("experiment", "Experiment", sortable=False),
        Column("started", "Started", align="right", sortable=False, formatter=lambda at: time_tag(at, now)),
        *(() if simulated else (Column("took", "Took", align="right", sortable=False, formatter=duration),)),
        Column("order", "", sortable=False),
    )
    rows = [
        Row(
            {
                "run": Markup("{} {}").format(
                    charts.line_swatch(item.look), link(item.name, urls.run(item.run.run_id))
                ),
                "status": item.run.status,
                "experiment": link(clipped(item.run.experiment), urls.runs_of(item.run.experiment)),
                "started": item.run.started_at,
                "took": (now if item.run.ended_at is None else item.run.ended_at) - item.run.started_at,
                "order": _order(request, heads, item),
            },
            key=item.run.run_id,
        )
        for item in heads
    ]
    return render_table(columns, rows, caption="Runs")


def _order(request: PageRequest, heads: Sequence[Head], item: Head) -> Markup:
    ids = [other.run.run_id for other in heads if other is not item]

    def linked(words: str, label: str, runs: list[str]) -> Markup:
        url = url_with(request.path, request.query, {"runs": ",".join(runs)})
        return Markup('<a href="{}" aria-label="{}">{}</a>').format(url, f"{label}: {item.name}", words)

    first = (
        Markup('<span class="muted">the others are compared with it</span>')
        if item is heads[0]
        else linked("compare with it", "Compare the others with it", [item.run.run_id, *ids])
    )
    leave = linked("leave out", "Leave out", ids) if len(heads) > 2 else Markup("")
    return Markup('<span class="row-actions">{} {}</span>').format(first, leave)


def _table(
    heads: Sequence[Head], title: str, rows: Sequence[Row], caption: str, more: Sequence[Column] = ()
) -> Markup:
    columns = (
        Column("key", title, sortable=False),
        *more,
        *(Column(item.run.run_id, _titled(item), sortable=False, hint=item.name) for item in heads),
    )
    return render_table(columns, rows, caption=caption, pinned=True)


def _named(item: Head) -> Markup:
    return link(clipped(item.name), urls.run(item.run.run_id))


def _short(name: str) -> str:
    return name if len(name) <= _LEGEND_CHARACTERS else f"{name[: _LEGEND_CHARACTERS - 1]}…"


def _titled(item: Head) -> Markup:
    return Markup("{} {}").format(charts.line_swatch(item.look), clipped(item.name))


def _texts(heads: Sequence[Head], rows: Sequence[ComparedText]) -> Markup | None:
    """A row a key; what differs from the first run has a sign and a word, not only a colour."""
    if not rows:
        return None
    drawn = [Row({"key": row.key, **_against_first(heads, row.values)}, key=row.key) for row in rows]
    return _table(heads, "", drawn, "Differences")


def _against_first(heads: Sequence[Head], values: Sequence[str | None]) -> dict[str, Markup]:
    return {
        item.run.run_id: _shown(value, differs=place > 0 and value != values[0])
        for place, (item, value) in enumerate(zip(heads, values, strict=True))
    }


def _shown(value: str | None, *, differs: bool) -> Markup:
    text = clipped(value) if value is not None else MISSING
    if not differs:
        return Markup("{}").format(text)
    return Markup('<span class="differs">{}{}</span>').format(_DIFFERS, text)


def _metrics_table(heads: Sequence[Head], metrics: Sequence[ComparedMetric]) -> Markup | None:
    if not metrics:
        return None
    rows = [
        Row(
            {
                "key": row.key,
                "better": Markup('<span class="muted">{}</span>').format(_DIRECTIONS[row.better]),
                **{
                    item.run.run_id: _measured(value, best=place in row.best)
                    for place, (item, value) in enumerate(zip(heads, row.values, strict=True))
                },
            },
            key=row.key,
        )
        for row in metrics
    ]
    return _table(heads, "Metric", rows, "Metrics", (Column("better", "", sortable=False),))


def _measured(value: float | str | None, *, best: bool) -> Markup | str:
    text = number(None if value is None else float(value), 4)
    return Markup('<strong>{}</strong> <span class="best">best</span>').format(text) if best else text


def _datasets_table(heads: Sequence[Head], datasets: Sequence[ComparedDataset]) -> Markup | None:
    rows = [
        Row(
            {
                "key": f"{row.name} ({row.context})" if row.context else row.name,
                **_against_first(heads, row.versions),
            },
            key=f"{row.name} {row.context}",
        )
        for row in sorted(datasets, key=lambda row: not row.differs)
    ]
    return _table(heads, "Dataset", rows, "Data") if rows else None


def _curve_choices(request: PageRequest) -> tuple[Choices, ...]:
    return view_choices(
        request.path, request.query, view_of(request.query), ("by step", "by time since start")
    )


def _curves(request: PageRequest, found: Comparison, heads: Sequence[Head]) -> list[Markup]:
    """A chart for each metric, in which a run keeps the look it has everywhere on the page."""
    view = view_of(request.query)
    by_run = {item.run.run_id: item for item in heads}
    keys = dict.fromkeys(curve.key for curve in found.curves)

    def alone(key: str) -> str:
        return "" if len(keys) == 1 else url_with(request.path, request.query, {"metric": key})

    return [
        large_chart(
            [
                Line(_short(item.name), curve, item.run.started_at, item.look)
                for curve in found.curves
                if curve.key == key
                for item in (by_run[curve.run_id],)
            ],
            key,
            view,
            alone(key),
        )
        for key in keys
    ]
