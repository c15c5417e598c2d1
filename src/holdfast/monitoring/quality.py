"""Quality over time: the metric of each day's served, labelled rows, with its interval."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import groupby

from holdfast.base.clock import Micros
from holdfast.monitoring.losses import summarize
from holdfast.monitoring.records import QualityPoint, Window
from holdfast.statistics.intervals import mean_interval


def quality_points(windows: Iterable[Window]) -> list[QualityPoint]:
    """One point a day, in order of time; `value` is None for a day without labels.

    All versions that served on the day count, as callers met them; `version` is the one that served most rows.
    Where versions are judged by different metrics, a day is shown in the metric of its newest labelled version.
    """
    answered = sorted((window for window in windows if window.rows), key=lambda window: window.day_at)
    return [_point(day_at, list(parts)) for day_at, parts in groupby(answered, lambda window: window.day_at)]


def pooled_point(from_at: Micros, windows: Iterable[Window]) -> QualityPoint:
    """One point for all the windows together, which begin at `from_at`; without rows it has no value."""
    answered = sorted((window for window in windows if window.rows), key=lambda window: window.day_at)
    return _point(from_at, answered) if answered else QualityPoint(from_at, 0, 0)


def _point(day_at: Micros, parts: list[Window]) -> QualityPoint:
    most = max(parts, key=lambda window: (window.rows, window.version))
    rows = sum(window.rows for window in parts)
    labelled = [window for window in parts if window.losses.count]
    if not labelled:
        return QualityPoint(day_at, rows, 0, version=most.version)
    metric = max(labelled, key=lambda window: window.version).metric
    current = summarize([window.losses for window in labelled if window.metric == metric])
    interval = None
    if current.effective_count >= 2:
        bounds = mean_interval(current.mean, current.standard_deviation, current.effective_count)
        ends = _of_metric(metric, bounds.lower), _of_metric(metric, bounds.upper)
        interval = (min(ends), max(ends))
    return QualityPoint(day_at, rows, current.count, _of_metric(metric, current.mean), interval, most.version)


def _of_metric(metric: str, mean_loss: float) -> float:
    """The metric from its mean row loss; a loss is never negative, and neither are bounds of one."""
    loss = max(0.0, mean_loss)
    if metric == "rmse":
        return math.sqrt(loss)
    return 1 - min(loss, 1.0) if metric == "accuracy" else loss
