"""Long histories are drawn by weeks: the same labels, fewer points, intervals from how the days scatter."""

from __future__ import annotations

import pytest

from holdfast.base.clock import DAY_US
from holdfast.monitoring.records import QualityPoint
from holdfast.ui.quality import by_week, quality_chart


def days(count: int, value=lambda day: 10.0 + day % 7) -> list[QualityPoint]:
    return [QualityPoint(day * DAY_US, 24, 20, value(day), (0.0, 99.0), 1) for day in range(count)]


def test_a_week_is_the_mean_over_its_labels_with_the_scatter_of_its_days():
    week = by_week(days(7))[0]
    assert (week.day_at, week.rows, week.labelled, week.value) == (0, 168, 140, 13.0)
    assert week.interval == pytest.approx(
        (13 - 2.447 * 2.160 / 7**0.5, 13 + 2.447 * 2.160 / 7**0.5), abs=0.01
    )


def test_days_count_by_their_labels_and_few_days_give_no_interval():
    week = by_week(
        [QualityPoint(0, 9, 1, 1.0), QualityPoint(DAY_US, 9, 3, 5.0), QualityPoint(2 * DAY_US, 9, 0)]
    )[0]
    assert (week.value, week.labelled, week.rows, week.interval) == (4.0, 4, 27, None)


def test_a_week_without_labels_has_no_value():
    assert by_week([QualityPoint(0, 9, 0)])[0].value is None


def test_the_chart_says_which_it_shows():
    assert "by day of prediction" in quality_chart(days(60), "mae", 12.0)
    assert "by week of prediction" in quality_chart(days(400), "mae", 12.0)
