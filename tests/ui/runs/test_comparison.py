"""Runs side by side: differences first and by a word, the best of each metric, curves together, a scatter plot."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
import pytest

from holdfast.tracking.run_records import CompareRuns
from holdfast.ui.runs.scatter import scatter_of
from tests.ui import logged
from tests.ui.runs.conftest import Logged


def compared(ids: Sequence[str], more: str = "") -> str:
    return f"/runs/compare?runs={','.join(ids)}{more}"


def test_parameters_that_differ_come_first_and_say_so(home: Logged) -> None:
    page = home.page(compared(home.trials[:3]))
    assert page.index("learning_rate") < page.index("the same in all runs") < page.index("batch_size")
    assert '<span class="visually-hidden">differs: </span>' in page
    assert "lower is better" in page
    assert "better is not known" in page
    assert '<span class="best">best</span>' in page


def test_the_data_are_what_the_command_prints(home: Logged) -> None:
    ids = tuple(home.trials[:3])
    found = home.client.get(compared(ids).replace("compare?", "compare.json?"))
    expected = home.world.services.runs.compare(logged.KIM, CompareRuns(ids))
    assert msgspec.json.decode(found.content) == msgspec.json.decode(msgspec.json.encode(expected))


def test_runs_may_come_from_ticked_boxes(home: Logged) -> None:
    page = home.page(f"/runs/compare?runs={home.trials[0]}&runs={home.trials[1]}")
    assert "2 runs" in page


def test_curves_of_all_runs_share_a_chart_and_keep_their_look(home: Logged) -> None:
    page = home.page(compared(home.trials[:8], "&metric=loss&scale=log&x=time"))
    assert page.count('class="chart chart-line') == 1
    legend = re.findall(r'class="legend-line"><svg[^>]*><path d="M0 6H18" class="([^"]*)"', page)
    assert len(set(legend)) == 8, "eight runs are told apart by colour and stroke"
    assert "seconds since each run began" in page
    assert "logarithmic axis" in page


def test_runs_of_one_name_are_told_apart(home: Logged) -> None:
    runs = home.world.services.logged_runs
    twins = [runs.create(logged.KIM, "0", name="twin").run_id for _ in range(2)]
    page = home.page(compared(twins))
    for run_id in twins:
        assert f"twin ({run_id[:6]})" in page
    assert "None of these runs has a metric." in page


def test_a_parameter_against_a_metric_is_chosen_in_the_url(home: Logged) -> None:
    page = home.page(compared(home.trials[:12], "&param=optimizer&against=accuracy"))
    assert "accuracy by optimizer" in page
    assert "<option selected>optimizer</option>" in page
    assert "scatter" not in home.page(compared(home.trials[:3]))
    found = home.world.services.runs.compare(logged.KIM, CompareRuns(tuple(home.trials[:12])))
    chosen = scatter_of(found, ["run"] * 12, {})
    assert chosen is not None
    assert chosen.parameter == "learning_rate"
    assert "logarithmic" in chosen.chart


@pytest.mark.parametrize(
    ("query", "status"),
    [("", 400), ("runs=", 400), ("runs=0", 400), ("runs=zzz,yyy", 404), ("runs=" + ",".join("a" * 51), 400)],
)
def test_what_cannot_be_compared_is_a_clear_page(home: Logged, query: str, status: int) -> None:
    answer = home.client.get(f"/runs/compare?{query}")
    assert answer.status_code == status, answer.text
    assert "Not done" in answer.text or "Not here" in answer.text


def test_one_run_twice_is_one_run(home: Logged) -> None:
    answer = home.client.get(compared([home.trials[0], home.trials[0]]))
    assert answer.status_code == 400
    assert "tick two runs or more" in answer.text


def test_hostile_runs_compare_as_text(home: Logged) -> None:
    page = home.page(compared([home.hostile, home.trials[0]]))
    assert "&lt;script&gt;" in page
    assert "<script>alert" not in page
    assert "<img src=x" not in page
