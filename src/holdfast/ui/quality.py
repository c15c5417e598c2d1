"""Quality over time as charts: the daily metric with its interval, against the level that was promised."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from markupsafe import Markup

from holdfast.base.clock import DAY_US, Micros
from holdfast.loop.records import Decision, DecisionKind, WithoutRetraining
from holdfast.monitoring.records import Alert, QualityPoint
from holdfast.ui.kit import charts
from holdfast.ui.kit.badges import Tone, status
from holdfast.ui.kit.format import si
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
_DAYS_SHOWN_MOST = 150
_DAYS_FOR_INTERVAL = 3
_WEEK_US = 7 * DAY_US
_ALERTS_US = 4 * DAY_US
_LOUD: tuple[DecisionKind, ...] = ("promote", "roll back", "deploy")


def quality_chart(
    points: Sequence[QualityPoint],
    metric: str | None,
    baseline: float | None,
    decisions: Iterable[Decision] = (),
    alerts: Iterable[Alert] = (),
    without: WithoutRetraining | None = None,
) -> Markup:
    """The daily metric with its 95% band, what was decided, and the held-out level of the version in production.

    `without` is the same metric had the first version never been replaced. Days without labels are gaps. A long
    history is drawn by weeks, because hundreds of noisy days hide what happened.
    """
    marks = _marks(decisions, alerts)
    weekly = len(points) > _DAYS_SHOWN_MOST
    days = points if weekly else _with_breaks(points)
    days = _until(by_week(days) if weekly else list(days), max((mark.at for mark in marks), default=0.0))
    lines = [_served_line(days)]
    if without is not None and without.metric == metric and without.days:
        lines.append(_without_line(without, weekly=weekly))
    return charts.line_chart(
        lines,
        title="Quality over time",
        y_label=f"{metric_name(metric)} by {'week' if weekly else 'day'} of prediction",
        bands=[_band(days)],
        events=marks,
        threshold=charts.Threshold(baseline, "held-out level") if baseline is not None else None,
        gaps=_gaps(days),
        height=240,
        empty="No labels have arrived yet: quality is known once they do.",
    )


def by_week(points: Sequence[QualityPoint]) -> list[QualityPoint]:
    """One point for each seven days from the first: the mean over the labels, and how much the days scatter.

    The interval treats days as the independent units, so that dependence within a day does not narrow it; with
    fewer than three labelled days there is none.
    """
    weeks = itertools.groupby(points, lambda point: (point.day_at - points[0].day_at) // _WEEK_US)
    return [_week(list(days)) for _, days in weeks]


def _week(days: list[QualityPoint]) -> QualityPoint:
    from holdfast.statistics.intervals import mean_interval

    known = [(point.labelled, point.value) for point in days if point.labelled and point.value is not None]
    rows, labelled = sum(point.rows for point in days), sum(count for count, _ in known)
    if not known:
        return QualityPoint(days[0].day_at, rows, 0, version=days[-1].version)
    mean = sum(count * value for count, value in known) / labelled
    interval = None
    if len(known) >= _DAYS_FOR_INTERVAL:
        bounds = mean_interval(mean, statistics.stdev(value for _, value in known), len(known))
        interval = (max(0.0, bounds.lower), bounds.upper)
    return QualityPoint(days[0].day_at, rows, labelled, mean, interval, days[-1].version)


def quality_sparkline(points: Sequence[QualityPoint], title: str) -> Markup:
    """The shape of the last sixty days."""
    return charts.sparkline([point.value for point in points[-60:]], title=title, width=120)


def rows_by_day(points: Sequence[QualityPoint], now: Micros) -> list[tuple[Micros, int]]:
    """Predictions of each whole day, days without any included; today, not over yet, would look like a fall."""
    if not points:
        return []
    rows = {point.day_at: point.rows for point in points}
    today = now // DAY_US * DAY_US
    return [(day, rows.get(day, 0)) for day in range(points[0].day_at, today, DAY_US)]


def rows_sparkline(points: Sequence[QualityPoint], now: Micros) -> Markup:
    """Predictions a day, the last sixty days."""
    counts = [float(count) for _, count in rows_by_day(points, now)[-60:]]
    return charts.sparkline(counts, title="Predictions a day", width=96)


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


def rate(per_day: float | None) -> str:
    """A number of predictions a day; fractions only where there are few.

    Example:
        >>> rate(31.04), rate(2.5), rate(12_345.6)
        ('31', '2.50', '12.3 k')
    """
    return si(per_day if per_day is None or per_day < 10 else round(per_day))


def _with_breaks(points: Sequence[QualityPoint]) -> list[QualityPoint]:
    """The points with an empty day where days are missing, so that no line is drawn across them."""
    found: list[QualityPoint] = []
    for point in points:
        if found and point.day_at > found[-1].day_at + DAY_US:
            found.append(QualityPoint(found[-1].day_at + DAY_US, 0, 0))
            found.append(QualityPoint(point.day_at - DAY_US, 0, 0))
        found.append(point)
    return found


def _until(points: list[QualityPoint], at: float) -> list[QualityPoint]:
    """The points and, where something happened after the last of them, an empty day for its mark."""
    if not points or at <= points[-1].day_at:
        return points
    return [*points, QualityPoint((int(at) // DAY_US + 1) * DAY_US, 0, 0)]


def _served_line(points: Sequence[QualityPoint]) -> charts.Series:
    days = tuple(float(point.day_at) for point in points)
    return charts.Series("as served", days, tuple(point.value for point in points), colour=1)


def _without_line(found: WithoutRetraining, *, weekly: bool) -> charts.Series:
    points = [QualityPoint(day.day_at, day.rows, day.rows, day.never) for day in found.days]
    points = by_week(points) if weekly else points
    days = tuple(float(point.day_at) for point in points)
    values = tuple(point.value for point in points)
    return charts.Series("without retraining", days, values, stroke="dashed", colour=0)


def _band(points: Sequence[QualityPoint]) -> charts.Band:
    return charts.Band(
        "95% interval",
        tuple(float(point.day_at) for point in points),
        tuple(point.interval[0] if point.interval else None for point in points),
        tuple(point.interval[1] if point.interval else None for point in points),
    )


def _marks(decisions: Iterable[Decision], alerts: Iterable[Alert]) -> list[charts.EventMark]:
    """What happened, one mark a day for decisions and one for alerts of a few days, as much as the chart holds.

    Where there is too much, who serves matters more than what was tried or seen.
    """
    told = [item for item in decisions if item.kind in _MARKED]
    marks = [_decision_mark(group) for group in _together(told, lambda item: item.decided_at, DAY_US)]
    raised = [_alert_mark(group) for group in _together(alerts, lambda item: item.opened_at, _ALERTS_US)]
    if len(marks) + len(raised) > _MARKS_MOST:
        loud = [item for item in told if item.kind in _LOUD]
        marks = [_decision_mark(group) for group in _together(loud, lambda item: item.decided_at, DAY_US)]
        raised = []
    return [*marks[-_MARKS_MOST:], *raised]


def _together(items: Iterable[T], at: Callable[[T], Micros], span_us: int) -> list[list[T]]:
    """Items in order of time, those within a span of the first of them together."""
    groups: list[list[T]] = []
    for item in sorted(items, key=at):
        if groups and at(item) - at(groups[-1][0]) < span_us:
            groups[-1].append(item)
        else:
            groups.append([item])
    return groups


def _decision_mark(group: list[Decision]) -> charts.EventMark:
    """The label leaves a retraining out where its outcome was decided the same day."""
    told = [item for item in group if item.kind != "retrain"] or group
    labels = dict.fromkeys(_MARKED[item.kind].format(_short(item)) for item in told)
    loudest = max(group, key=lambda item: item.kind in _LOUD)
    status_word = DECISION_STATUS[loudest.kind]
    tone: Tone = status(status_word).tone if status_word else "info"
    return charts.EventMark(float(group[0].decided_at), ", ".join(labels), tone)


def _alert_mark(group: list[Alert]) -> charts.EventMark:
    kinds = list(dict.fromkeys(item.kind for item in group))
    label = f"alert: {kinds[0]}" if len(kinds) == 1 else f"alerts: {kinds[0]} and {len(kinds) - 1} more"
    return charts.EventMark(float(group[0].opened_at), label, "warn")


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
