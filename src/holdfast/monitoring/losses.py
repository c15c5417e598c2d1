"""Losses of days as one window: mean, scatter, and how many independent rows they are worth."""

from __future__ import annotations

import math
from collections.abc import Sequence

from holdfast.base.clock import DAY_US
from holdfast.monitoring.records import LossSums
from holdfast.registry.baseline import LossBaseline
from holdfast.statistics.performance import FEWEST_BLOCKS, LossSummary


def summarize(days: Sequence[LossSums]) -> LossSummary:
    """Summary of the losses of several days, in order of time.

    The same estimates as `statistics.performance.summarize_losses` makes from rows: n (1 - r) / (1 + r) effective
    rows with r the lag-1 autocorrelation (Bartlett 1946; pairs across midnight are left out), and with at least 8
    days not more than the scatter of the daily means allows (Cochran 1977).
    """
    days = [day for day in days if day.count]
    count = sum(day.count for day in days)
    if not count:
        return LossSummary(count=0, mean=0.0, standard_deviation=0.0, effective_count=0.0)
    mean = sum(day.sum for day in days) / count
    squares = max(0.0, sum(day.sum_of_squares for day in days) - count * mean**2)
    variance = squares / (count - 1) if count > 1 else 0.0
    effective = min(_by_autocorrelation(days, count, mean, squares), _by_days(days, count, mean, variance))
    return LossSummary(
        count=count,
        mean=mean,
        standard_deviation=math.sqrt(variance),
        effective_count=max(1.0, effective),
    )


def reference_summary(losses: LossBaseline) -> LossSummary:
    """The held-out losses of a baseline in the same terms."""
    return LossSummary(
        count=losses.rows,
        mean=losses.mean,
        standard_deviation=losses.standard_deviation,
        effective_count=min(losses.effective_rows, float(losses.rows)),
    )


def reference_window_means(losses: LossBaseline, window_us: int) -> list[float]:
    """Mean losses of every run of held-out days as long as the window that is monitored."""
    days = losses.days
    means = []
    for first in days:
        until = first.day_at + window_us
        if days[-1].day_at + DAY_US < until:
            break
        inside = [day for day in days if first.day_at <= day.day_at < until]
        means.append(sum(day.sum for day in inside) / sum(day.count for day in inside))
    return means


def _by_autocorrelation(days: Sequence[LossSums], count: int, mean: float, squares: float) -> float:
    if count < 3 or squares <= 0.0:
        return float(count)
    correlation = sum(_lagged(day, mean) for day in days) / squares
    return count * (1 - correlation) / (1 + correlation) if correlation > 0.0 else float(count)


def _lagged(day: LossSums, mean: float) -> float:
    """Sum of (loss - mean) times (the loss before - mean) within a day."""
    neighbours = 2 * day.sum - day.first - day.last
    return day.sum_of_products - mean * neighbours + (day.count - 1) * mean**2


def _by_days(days: Sequence[LossSums], count: int, mean: float, variance: float) -> float:
    if len(days) < FEWEST_BLOCKS:
        return float(count)
    surplus = sum((day.sum - mean * day.count) ** 2 for day in days)
    variance_of_mean = surplus * len(days) / (len(days) - 1) / count**2
    return variance / variance_of_mean if variance_of_mean > 0.0 else float(count)
