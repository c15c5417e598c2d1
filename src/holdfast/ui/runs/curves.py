"""Metric curves: how a URL says which ones and how, and their charts, thinned on the server."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
from markupsafe import Markup

from holdfast.base.context import Context
from holdfast.tracking.run_records import CurvesRequest, RunCurve
from holdfast.ui.kit import Choices, Tab, charts
from holdfast.ui.kit.format import number
from holdfast.ui.kit.table_query import url_with
from holdfast.ui.services import PageServices
from holdfast.ui.words import counted

X = Literal["step", "time"]

SMALL_POINTS = 160
LARGE_POINTS = 2000
SYSTEM = "system/"
_SMALL_PX = 110
_LARGE_PX = 380
_METRICS_READ = 300
_MICROS_PER_SECOND = 1_000_000


class CurveView(msgspec.Struct, frozen=True):
    """How curves are drawn, as the URL says it: across by step or time, and whether the value axis is logarithmic."""

    x: X = "step"
    log: bool = False


class Line(msgspec.Struct, frozen=True):
    """One curve with the name and the look it has in a chart, and when its run began."""

    name: str
    curve: RunCurve
    started_at: int = 0
    look: charts.Look | None = None


def view_of(query: Mapping[str, str]) -> CurveView:
    """The view a URL asks for; what makes no sense is ignored."""
    return CurveView("time" if query.get("x") == "time" else "step", query.get("scale") == "log")


def view_choices(
    path: str, query: Mapping[str, str], view: CurveView, across: tuple[str, str] = ("by step", "by time")
) -> tuple[Choices, ...]:
    """What a page of curves lets its reader choose, as links that keep everything else."""

    def tab(title: str, **changes: str | None) -> Tab:
        return Tab(title, url_with(path, query, changes))

    scales = ("linear", "logarithmic")
    return (
        Choices("Across", (tab(across[0], x=None), tab(across[1], x="time")), across[view.x == "time"]),
        Choices("Values", (tab(scales[0], scale=None), tab(scales[1], scale="log")), scales[view.log]),
    )


def is_system(key: str) -> bool:
    """Whether a metric is about the machine rather than the model."""
    return key.startswith(SYSTEM)


def read_curves(
    services: PageServices,
    context: Context,
    run_id: str,
    metrics: Sequence[str],
    *,
    system: bool,
    words: str = "",
) -> list[RunCurve]:
    """The curves of those metrics that contain `words`, thinned; a metric of a single point has none."""
    wanted = words.casefold().strip()
    keys = [key for key in metrics if is_system(key) == system and wanted in key.casefold()]
    if not keys:
        return []
    asked = CurvesRequest(run_id, tuple(keys[:_METRICS_READ]), SMALL_POINTS)
    return [curve for curve in services.runs.curves(context, asked).curves if len(curve.values) > 1]


def small_chart(curve: RunCurve, view: CurveView, url: str) -> Markup:
    """One curve in a grid of many; its title leads to the large one."""
    return _chart([Line(curve.key, curve)], curve.key, view, _SMALL_PX, url)


def large_chart(lines: Sequence[Line], title: str, view: CurveView, url: str = "") -> Markup:
    """One metric of one run, or of several, in the width of the page."""
    return _chart(lines, title, view, _LARGE_PX if len(lines) == 1 else 280, url)


def _chart(lines: Sequence[Line], title: str, view: CurveView, height: int, url: str) -> Markup:
    by_time = view.x == "time" or all(_stands_still(line.curve) for line in lines)
    elapsed = by_time and len(lines) > 1
    drawn = [_series(line, by_time=by_time, elapsed=elapsed) for line in lines]
    across = "seconds since each run began" if elapsed else "" if by_time else "by step"
    strange = sum(not math.isfinite(float(value)) for line in lines for value in line.curve.values)
    notes = [across, f"{counted(strange, 'value')} NaN or ∞, drawn as a gap" if strange else ""]
    return charts.line_chart(
        drawn,
        title=title,
        y_label=" · ".join(note for note in notes if note),
        x_is_time=by_time and not elapsed,
        log=view.log,
        height=height,
        url=url,
        empty="Every value is NaN or infinite." if lines else "No values yet.",
    )


def _stands_still(curve: RunCurve) -> bool:
    """Whether a curve was logged without steps, so that only the time tells its points apart."""
    return len(curve.steps) > 1 and curve.steps[0] == curve.steps[-1]


def _series(line: Line, *, by_time: bool, elapsed: bool) -> charts.Series:
    xs, ys = _columns(line, by_time=by_time, elapsed=elapsed)
    if line.look is None:
        return charts.Series(line.name, xs, ys)
    return charts.Series(line.name, xs, ys, line.look.stroke, line.look.colour)


def _columns(line: Line, *, by_time: bool, elapsed: bool) -> tuple[tuple[float, ...], tuple[float, ...]]:
    curve = line.curve
    if not by_time:
        return tuple(map(float, curve.steps)), tuple(map(float, curve.values))
    ordered = sorted(zip(curve.times, curve.values, strict=True), key=lambda point: point[0])
    since = line.started_at if elapsed else 0
    divisor = _MICROS_PER_SECOND if elapsed else 1
    return tuple((at - since) / divisor for at, _ in ordered), tuple(float(value) for _, value in ordered)


def exact(value: float) -> str:
    """A value with all its digits, for a table that somebody copies from."""
    return repr(value) if math.isfinite(value) else number(value)
