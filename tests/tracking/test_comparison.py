"""Which way a metric is better, and which runs are best."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.tracking import comparison, run_records
from holdfast.tracking.comparison import best_places, better, compare
from holdfast.tracking.run_records import RunDescription, RunSummary


def test_the_examples_hold() -> None:
    for module in (comparison, run_records):
        assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("mae", "lower"),
        ("r2", "higher"),
        ("training_accuracy_score", "higher"),
        ("val-loss", "lower"),
        ("test/AUC", "higher"),
        ("system/cpu_utilization_percentage", None),
        ("neg_mean_squared_error", "higher"),
        ("lr", None),
        ("step", None),
        ("closs", None),
    ],
)
def test_a_name_says_which_way_is_better_or_nothing(key: str, expected: str | None) -> None:
    assert better(key) == expected


values = st.lists(
    st.one_of(st.none(), st.sampled_from(["NaN", "Infinity", "-Infinity"]), st.floats(-5, 5).map(round)),
    max_size=8,
)


@given(values, st.sampled_from(["higher", "lower", None]))
def test_best_places_are_those_that_nothing_beats(row: list, direction: str | None) -> None:
    places = best_places(row, direction)
    numbers = [float(value) for value in row if value is not None and value != "NaN"]
    if direction is None or len(set(numbers)) < 2:
        assert places == ()
        return
    top = max(numbers) if direction == "higher" else min(numbers)
    assert places == tuple(
        place for place, value in enumerate(row) if value is not None and float(value) == top
    )


@given(st.lists(st.dictionaries(st.sampled_from("abcd"), st.sampled_from("xyz")), min_size=1, max_size=4))
def test_each_parameter_is_either_the_same_in_every_run_or_differs(parameters: list[dict[str, str]]) -> None:
    runs = [
        RunDescription(RunSummary(str(n), "", "", "0", "finished", "active", 0, 0, "", parameters=each))
        for n, each in enumerate(parameters)
    ]
    found = compare(runs)
    for key in {key for each in parameters for key in each}:
        row = tuple(each.get(key) for each in parameters)
        if len(set(row)) == 1:
            assert found.parameters_same[key] == row[0]
        else:
            assert [item.values for item in found.parameters_differing if item.key == key] == [row]
    assert len(found.parameters_same) + len(found.parameters_differing) == len(
        {key for each in parameters for key in each}
    )
