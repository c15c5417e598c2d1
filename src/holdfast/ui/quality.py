"""Quality over time as charts: the daily metric with its interval, against the level that was promised."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from markupsafe import Markup

from holdfast.base.clock import DAY_US, Micros
from holdfast.loop.records import Decision, DecisionKind
from holdfast.monitoring.records import Alert, QualityPoint
from holdfast.ui.kit import charts
from holdfast.ui.kit.badges import Tone, status
from holdfast.ui.words import DECISION_STATUS, metric_name, subject_version

T = TypeVar("T")

_MARKED: dict[DecisionKind, str] = {
    "retrain": "retraining",
    "deploy": "{} deployed",
    "start rollout": "rollout of {}",
    "promote": "{} promoted",
    "roll back": "{} rolled back",
    "reject": "{} rejected",
    "give up": "{} given up",
}
_MARKS_MOST = 24
_LOUD: tuple[DecisionKind, ...] = ("promote", "roll back", "deploy")


def quality_chart(
    points: Sequence[QualityPoint],
    metric: str | None,
    baseline: float | None,
    decisions: Iterable[Decision] = (),
    alerts: Iterable[Alert] = (),
    without: Sequence[QualityPoint] = (),
) -> Markup:
    """The daily metric with its 95% band, what was decided, and the held-out level of the version in production.

    `without` is the same metric had the first version never been replaced. Days without labels are gaps.
    """
    days = _with_breaks(points)
    lines = [_series("as served", days, 1)]
    if without:
        lines.append(_series("without retraining", without, 0))
    return charts.line_chart(
        lines,
        title="Quality over time",
        y_label=f"{metric_name(metric)} by day of prediction",
        bands=[_band(days)],
        events=_marks(decisions, alerts),
        threshold=charts.Threshold(baseline, "held-out level") if baseline is not None else None,
        gaps=_gaps(days),
        height=240,
        empty="No labels have arrived yet: quality is known once they do.",
    )


def quality_sparkline(points: Sequence[QualityPoint], title: str) -> Markup:
    """The shape of the last sixty days."""
    return charts.sparkline([point.value for point in points[-60:]], title=title, width=120)


def rows_sparkline(points: Sequence[QualityPoint]) -> Markup:
    """Predictions a day, the last sixty days."""
    return charts.sparkline(
        [float(point.rows) for point in points[-60:]], title="Predictions a day", width=96
    )


def recent(points: Sequence[QualityPoint], days: int = 7) -> tuple[float | None, int, int]:
    """Metric, labels and rows of the last labelled days: labels come late, so these may end before today."""
    labelled = [point for point in points if point.labelled and point.value is not None]
    if not labelled:
        return None, 0, 0
    since = labelled[-1].day_at - (days - 1) * DAY_US
    window = [point for point in labelled if point.day_at >= since]
    count = sum(point.labelled for point in window)
    total = sum((point.value or 0.0) * point.labelled for point in window)
    return total / count, count, sum(point.rows for point in window)


def predictions_per_day(points: Sequence[QualityPoint], now: Micros, days: int = 7) -> float:
    """Rows answered a day over the last days, days without a request included."""
    since = now - days * DAY_US
    window = [point for point in points if point.day_at >= since]
    first = points[0].day_at if points else now
    span = max(1.0, min(float(days), (now - first) / DAY_US))
    return sum(point.rows for point in window) / span


def _with_breaks(points: Sequence[QualityPoint]) -> list[QualityPoint]:
    """The points with an empty day where days are missing, so that no line is drawn across them."""
    found: list[QualityPoint] = []
    for point in points:
        if found and point.day_at > found[-1].day_at + DAY_US:
            found.append(QualityPoint(found[-1].day_at + DAY_US, 0, 0))
            found.append(QualityPoint(point.day_at - DAY_US, 0, 0))
        found.append(point)
    return found


def _series(name: str, points: Sequence[QualityPoint], colour: int) -> charts.Series:
    return charts.Series(
        name,
        tuple(float(point.day_at) for point in points),
        tuple(point.value for point in points),
        stroke="solid" if colour else "dashed",
        colour=colour,
    )


def _band(points: Sequence[QualityPoint]) -> charts.Band:
    return charts.Band(
        "95% interval",
        tuple(float(point.day_at) for point in points),
        tuple(point.interval[0] if point.interval else None for point in points),
        tuple(point.interval[1] if point.interval else None for point in points),
    )


def _marks(decisions: Iterable[Decision], alerts: Iterable[Alert]) -> list[charts.EventMark]:
    """What happened, one mark a day for decisions and one for alerts, thinned to what the chart can hold.

    Where there is too much, who serves matters more than what was tried or seen.
    """
    told = [item for item in decisions if item.kind in _MARKED]
    marks = [_decision_mark(day) for day in _by_day(told, lambda item: item.decided_at)]
    raised = [_alert_mark(day) for day in _by_day(alerts, lambda item: item.opened_at)]
    if len(marks) + len(raised) > _MARKS_MOST:
        loud = [item for item in told if item.kind in _LOUD]
        marks, raised = [_decision_mark(day) for day in _by_day(loud, lambda item: item.decided_at)], []
    return [*marks[-_MARKS_MOST:], *raised]


def _by_day(items: Iterable[T], at: Callable[[T], Micros]) -> list[list[T]]:
    """Items in order of time, those of one day together."""
    ordered = sorted(items, key=at)
    return [list(day) for _, day in itertools.groupby(ordered, lambda item: at(item) // DAY_US)]


def _decision_mark(day: list[Decision]) -> charts.EventMark:
    labels = dict.fromkeys(_MARKED[item.kind].format(_short(item)) for item in day)
    loudest = max(day, key=lambda item: item.kind in _LOUD)
    status_word = DECISION_STATUS[loudest.kind]
    tone: Tone = status(status_word).tone if status_word else "info"
    return charts.EventMark(float(day[0].decided_at), ", ".join(labels), tone)


def _alert_mark(day: list[Alert]) -> charts.EventMark:
    kinds = list(dict.fromkeys(item.kind for item in day))
    label = f"alert: {kinds[0]}" if len(kinds) == 1 else f"alerts: {kinds[0]} and {len(kinds) - 1} more"
    return charts.EventMark(float(day[0].opened_at), label, "warn")


def _short(decision: Decision) -> str:
    return subject_version(decision).replace("Version ", "v")


def _gaps(points: Sequence[QualityPoint]) -> list[charts.Gap]:
    """Stretches of days without a value, with the reason; a single day is a break of the line, no more."""
    gaps: list[charts.Gap] = []
    for has_value, run in itertools.groupby(points, lambda point: point.value is not None):
        days = list(run)
        if not has_value and days[-1].day_at > days[0].day_at:
            reason = "labels not here yet" if any(day.rows for day in days) else "no predictions"
            gaps.append(charts.Gap(float(days[0].day_at), float(days[-1].day_at), reason))
    return gaps
