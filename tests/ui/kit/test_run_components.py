"""Logarithmic axes, more lines than colours, the scatter plot, and tables whose rows are chosen."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.ui.kit import Column, Row, Selecting, Sorting, charts, render_table
from holdfast.ui.kit.charts.scales import log_axis


@given(st.lists(st.floats(1e-12, 1e12), min_size=1, max_size=30))
def test_a_logarithmic_axis_holds_all_values_and_has_few_rising_ticks(values: list[float]) -> None:
    scale, ticks = log_axis(values)
    assert all(-1e-9 <= scale.fraction(value) <= 1 + 1e-9 for value in values)
    places = [scale.fraction(tick.value) for tick in ticks]
    assert places == sorted(places)
    assert 2 <= len(ticks) <= 8
    assert len({tick.label for tick in ticks}) == len(ticks)


def test_what_a_logarithm_has_no_place_for_breaks_the_line() -> None:
    series = charts.Series("loss", (0.0, 1.0, 2.0, 3.0, 4.0), (1.0, 0.1, 0.0, -1.0, 0.01))
    drawn = charts.line_chart([series], title="t", x_is_time=False, log=True)
    ET.fromstring(drawn)
    assert "logarithmic axis" in drawn
    assert "does not start at 0" not in drawn
    nothing = charts.line_chart([charts.Series("x", (0.0,), (-1.0,))], title="t", x_is_time=False, log=True)
    assert "Nothing above zero" in nothing


def test_eighteen_lines_have_eighteen_looks() -> None:
    assert len({charts.look(place) for place in range(18)}) == 18
    lines = [charts.Series(f"r{place}", (0.0, 1.0), (float(place), 1.0)) for place in range(18)]
    drawn = charts.line_chart(lines, title="t", x_is_time=False)
    looks = re.findall(r'<path d="M0 6H18" class="(line [^"]*)"', drawn)
    assert len(set(looks)) == 18


def test_dots_are_links_with_words_and_what_is_not_known_is_counted() -> None:
    dots = [
        charts.Dot("a <b>", 0.001, 1.0, "/runs/a"),
        charts.Dot("c", 0.1, 2.0),
        charts.Dot("d", None, 2.0),
        charts.Dot("e", 0.1, math.nan),
        charts.Dot("f", -1.0, 1.0),
    ]
    drawn = charts.scatter_plot(dots, title="t", x_label="rate", y_label="loss", log_x=True)
    ET.fromstring(drawn)
    assert drawn.count("<circle") == 2
    assert "3 without both values" in drawn
    assert 'aria-label="a &lt;b&gt;: rate 0.00100, loss 1.00"' in drawn
    words = charts.scatter_plot(
        [charts.Dot("a", 1.0, 5.0)], title="t", x_label="o", y_label="l", categories=("adam", "sgd")
    )
    assert ">sgd<" in words
    assert "a: o sgd, l 5.00" in words
    assert "chart-empty" in charts.scatter_plot([], title="t", x_label="x", y_label="y")


@pytest.mark.parametrize("values", [(5.0,), (5.0, 5.0)])
def test_one_place_is_a_plot_too(values: tuple[float, ...]) -> None:
    dots = [charts.Dot(str(place), value, 1.0) for place, value in enumerate(values)]
    for log_x in (False, True):
        ET.fromstring(charts.scatter_plot(dots, title="t", x_label="x", y_label="y", log_x=log_x))


def test_rows_can_be_chosen_and_headings_sort_by_the_stores_own_words() -> None:
    drawn = render_table(
        (Column("run", "Run"), Column("loss", "loss", align="right")),
        [Row({"run": '"><b>', "loss": 1.0}, "/runs/1", "id-1")],
        sorting={"loss": Sorting("/runs?order_by=metrics.loss+ASC", "descending")},
        selecting=Selecting("compare", "runs", "Choose"),
        pinned=True,
    )
    assert 'form="compare" name="runs" value="id-1"' in drawn
    assert 'aria-label="Choose &#34;&gt;"' in drawn
    assert "<b>" not in drawn
    assert 'aria-sort="descending"' in drawn
    assert 'class="pinned"' in drawn
