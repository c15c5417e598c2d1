"""`/runs/{run_id}/curves` and `/system`: all curves of a run as small charts, or one large with its points."""

from __future__ import annotations

import msgspec

from holdfast.base.context import Context
from holdfast.base.errors import NotFoundError
from holdfast.tracking.records import LoggedRun, measured
from holdfast.tracking.run_records import CurvesRequest, RunCurve
from holdfast.tracking.service.metrics import Curve
from holdfast.ui import urls
from holdfast.ui.kit import Column, Paging, Row, render_table
from holdfast.ui.kit.format import absolute_time
from holdfast.ui.kit.table_query import url_with
from holdfast.ui.page import PageRequest, View, head
from holdfast.ui.runs.curves import (
    LARGE_POINTS,
    Line,
    exact,
    large_chart,
    read_curves,
    small_chart,
    view_choices,
    view_of,
)
from holdfast.ui.runs.head import crumbs_of, run_tabs
from holdfast.ui.services import PageServices
from holdfast.ui.words import counted

_CHARTS_A_PAGE = 24
_POINTS_A_PAGE = 100


class CurvesData(msgspec.Struct, frozen=True):
    """Curves of a run as data, thinned for pictures; `count` is how many there are on all pages."""

    run_id: str
    count: int
    curves: list[RunCurve]


class CurveData(msgspec.Struct, frozen=True):
    """One curve as data: thinned for the picture, and a page of its points as they were logged."""

    run_id: str
    metric: str
    outline: RunCurve
    points: RunCurve
    next_page: str | None


def show(services: PageServices, context: Context, request: PageRequest) -> View:
    """The curves of a run's metrics, or with `?metric=` one of them."""
    return _show(services, context, request, system=False)


def show_system(services: PageServices, context: Context, request: PageRequest) -> View:
    """The curves of what the machine did meanwhile."""
    return _show(services, context, request, system=True)


def _show(services: PageServices, context: Context, request: PageRequest, *, system: bool) -> View:
    run = services.logged_runs.get(context, request.parameters["run_id"])
    metric = request.query.get("metric", "")
    if metric:
        return _show_one(services, context, request, run, metric)
    words = request.query.get("q", "")
    found = read_curves(
        services, context, run.run_id, [item.key for item in run.metrics], system=system, words=words
    )
    first = (_page_number(request, len(found)) - 1) * _CHARTS_A_PAGE
    shown = found[first : first + _CHARTS_A_PAGE]
    data = CurvesData(run.run_id, len(found), shown)
    view = view_of(request.query)
    page = head(
        services,
        request,
        run.name,
        tab="Runs",
        kind="System metrics" if system else "Curves",
        status=run.status,
        urn=f"tracking/run/{run.run_id}",
        command=f"holdfast runs show {run.run_id}",
        crumbs=crumbs_of(run),
        live=run.status == "running",
        stateful=True,
    )
    base = urls.run_curves(run.run_id, system=system)
    kept = {name: value for name, value in request.query.items() if name in ("x", "scale")}
    parts = {
        "run": run,
        "tabs": run_tabs(run),
        "current": "System" if system else "Curves",
        "charts": [small_chart(one, view, url_with(base, kept, {"metric": one.key})) for one in shown],
        "choices": view_choices(request.path, request.query, view),
        "words": words,
        "kept": kept,
        "path": request.path,
        "paging": _paging(request, len(found), first),
        "system": system,
        "note": counted(len(found), "curve") + "; a metric with one value is on the summary",
    }
    return View("curves.html", page, data, parts)


def _show_one(
    services: PageServices, context: Context, request: PageRequest, run: LoggedRun, metric: str
) -> View:
    if metric not in {item.key for item in run.metrics}:
        raise NotFoundError(
            f"the run {run.run_id} has no metric {metric[:200]!r}", hint="choose one on its curves page"
        )
    asked = CurvesRequest(run.run_id, (metric,), LARGE_POINTS)
    outline = services.runs.curves(context, asked).curves[0]
    mark = request.query.get("page") or None
    points = services.curves.history(context, run.run_id, metric, limit=_POINTS_A_PAGE, page=mark)
    view = view_of(request.query)
    page = head(
        services,
        request,
        metric,
        tab="Runs",
        kind="Metric",
        subtitle=f"Of the run {run.name}.",
        urn=f"tracking/run/{run.run_id}",
        command=f"holdfast runs show {run.run_id}",
        crumbs=(*crumbs_of(run), ("Curves", urls.run_curves(run.run_id))),
        live=run.status == "running" and mark is None,
        stateful=True,
    )
    parts = {
        "run": run,
        "chart": large_chart([Line(metric, outline)], metric, view),
        "choices": view_choices(request.path, request.query, view),
        "points": _points_table(request, points, first=mark is None),
    }
    data = CurveData(run.run_id, metric, outline, _travelling(points), points.next_page)
    return View("curve.html", page, data, parts)


def _travelling(points: Curve) -> RunCurve:
    """Points as JSON can hold them."""
    values = tuple(measured(value) for value in points.values)
    return RunCurve(points.run_id, points.key, tuple(points.steps), tuple(points.times), values)


def _points_table(request: PageRequest, points: Curve, *, first: bool) -> str:
    columns = (
        Column("step", "Step", align="right", sortable=False, formatter=lambda step: f"{step:,}"),
        Column("value", "Value", align="right", sortable=False),
        Column("at", "Logged at", align="right", sortable=False, formatter=lambda at: absolute_time(at)),
    )
    rows = [
        Row({"step": step, "value": exact(value), "at": at}, key=f"{step}-{at}-{place}")
        for place, (step, at, value) in enumerate(zip(points.steps, points.times, points.values, strict=True))
    ]
    older = url_with(request.path, request.query, {"page": points.next_page}) if points.next_page else ""
    start = "" if first else url_with(request.path, request.query, {"page": None})
    label = counted(len(rows), "point") if older or start else ""
    return render_table(columns, rows, caption="Points", paging=Paging(label, start, older, "← First points"))


def _page_number(request: PageRequest, count: int) -> int:
    text = request.query.get("page", "1")
    pages = max(1, -(-count // _CHARTS_A_PAGE))
    return min(max(1, int(text)), pages) if text.isascii() and text.isdigit() and len(text) < 9 else 1


def _paging(request: PageRequest, count: int, first: int) -> Paging:
    if count <= _CHARTS_A_PAGE:
        return Paging()
    number = first // _CHARTS_A_PAGE + 1
    last = min(first + _CHARTS_A_PAGE, count)
    return Paging(
        f"{first + 1:,}–{last:,} of {count:,}",
        url_with(request.path, request.query, {"page": str(number - 1)}) if first else "",
        url_with(request.path, request.query, {"page": str(number + 1)}) if last < count else "",
    )
