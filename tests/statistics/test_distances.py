"""Distances agree with scipy, keep their bounds, and ignore empty cells."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from holdfast.statistics.distances import (
    cumulative_gaps,
    jensen_shannon_distance,
    kolmogorov_smirnov_distance,
    normalized_mean_shift,
    population_stability_index,
    total_variation_distance,
)

CELLS = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=1, max_size=12)


@given(CELLS)
def test_distances_are_ordered_symmetric_and_within_0_and_1(cells: list[tuple[int, int]]) -> None:
    first, second = np.array(cells).T
    ks, variation = kolmogorov_smirnov_distance(first, second), total_variation_distance(first, second)
    jensen_shannon = jensen_shannon_distance(first, second)
    assert 0 <= ks <= variation + 1e-12 <= 1 + 2e-12
    assert 0 <= jensen_shannon <= 1
    assert total_variation_distance(second, first) == pytest.approx(float(variation))
    assert kolmogorov_smirnov_distance(first, first) == 0.0


@given(CELLS)
def test_padding_changes_no_distance(cells: list[tuple[int, int]]) -> None:
    first, second = np.array(cells).T
    padded = np.append(first, [0, 0]), np.append(second, [0, 0])
    for distance in (kolmogorov_smirnov_distance, total_variation_distance, jensen_shannon_distance):
        assert float(distance(*padded)) == pytest.approx(float(distance(first, second)))
    index = population_stability_index(*padded, cells=len(cells))
    assert float(index) == pytest.approx(float(population_stability_index(first, second)))


def test_jensen_shannon_is_scipys() -> None:
    first, second = np.array([10, 0, 5]), np.array([1, 7, 8])
    assert float(jensen_shannon_distance(first, second)) == pytest.approx(
        jensenshannon(first, second, base=2)
    )


def test_many_columns_are_compared_at_once() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 50, size=(4, 9)), rng.integers(0, 50, size=(4, 9))
    together = kolmogorov_smirnov_distance(first, second)
    assert together.tolist() == [
        float(kolmogorov_smirnov_distance(*pair)) for pair in zip(first, second, strict=True)
    ]


def test_an_empty_cell_gives_a_finite_index() -> None:
    assert 0 < float(population_stability_index(np.array([100, 0]), np.array([0, 100]))) < 20


def test_mean_shift_of_a_constant_reference() -> None:
    assert normalized_mean_shift(1.0, 0.0, 1.0) == 0.0
    assert normalized_mean_shift(1.0, 0.0, 0.5) == -np.inf


def test_different_cells_are_refused() -> None:
    with pytest.raises(ValueError, match="3 cells and the current counts 2"):
        cumulative_gaps(np.array([1, 2, 3]), np.array([1, 2]))
