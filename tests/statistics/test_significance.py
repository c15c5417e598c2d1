"""P-values agree with scipy where scipy has the same test, and keep their level where it has not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from holdfast.statistics.significance import (
    adjust_p_values,
    binned_ks_p_value,
    distribution_p_value,
    homogeneity_p_value,
    kolmogorov_survival,
    rank_sum_p_value,
    share_p_value,
)


def test_kolmogorov_survival_is_scipys() -> None:
    values = np.linspace(0.0, 3.0, 301)
    assert kolmogorov_survival(values) == pytest.approx(stats.kstwobign.sf(values), abs=1e-12)


def test_binned_ks_of_distinct_values_is_the_asymptotic_ks_test() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=400), rng.normal(0.2, size=300)
    edges = np.sort(np.concatenate([first, second]))
    counts = [np.diff(np.searchsorted(np.sort(part), [*edges, np.inf])) for part in (first, second)]
    expected = stats.kstwobign.sf(
        np.sqrt(400 * 300 / 700) * stats.ks_2samp(first, second, method="asymp").statistic
    )
    assert float(binned_ks_p_value(*counts)) == pytest.approx(expected, rel=1e-9)


def test_rank_sum_is_mann_whitney_with_ties() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.poisson(3, size=200), rng.poisson(3.5, size=150)
    counts = [np.bincount(part, minlength=15) for part in (first, second)]
    expected = stats.mannwhitneyu(first, second, method="asymptotic").pvalue
    assert float(rank_sum_p_value(*counts)) == pytest.approx(expected, rel=1e-9)


def test_homogeneity_of_large_cells_is_pearsons_test() -> None:
    table = np.array([[50, 30, 20], [60, 50, 40]])
    expected = stats.chi2_contingency(table, correction=False).pvalue
    assert homogeneity_p_value(*table) == pytest.approx(expected, rel=1e-9)


def test_shares_of_large_counts_are_compared_by_the_normal_test() -> None:
    expected = stats.chi2_contingency([[100, 900], [130, 870]], correction=False).pvalue
    assert share_p_value(100, 1000, 130, 1000) == pytest.approx(expected, rel=1e-9)


def test_rare_shares_are_compared_conditionally() -> None:
    expected = 2 * stats.binom.sf(3, 5, 1000 / 201_000)
    assert share_p_value(1, 200_000, 4, 1000) == pytest.approx(expected, rel=1e-9)
    assert share_p_value(199_999, 200_000, 996, 1000) == pytest.approx(expected, rel=1e-9)


def test_a_new_category_is_found_beside_frequent_ones() -> None:
    reference, current = np.array([120_000, 80_000, 0]), np.array([582, 388, 30])
    assert homogeneity_p_value(reference, current) < 1e-12
    assert homogeneity_p_value(reference, np.array([600, 400, 0])) > 0.9


@pytest.mark.parametrize("size", [100, 2000])
def test_levels_are_kept_on_lumpy_data(size: int) -> None:
    rng = np.random.default_rng(size)
    shares = 1 / np.arange(1, 41) ** 1.3
    shares /= shares.sum()
    reference = rng.multinomial(5000, shares, size=600)
    current = rng.multinomial(size, shares, size=600)
    categories = [homogeneity_p_value(*pair) for pair in zip(reference, current, strict=True)]
    for p_values in (np.array(categories), distribution_p_value(reference, current)):
        # 0.05 plus three standard errors of 600 repetitions.
        assert (p_values <= 0.05).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 600)


def test_padding_changes_nothing() -> None:
    first, second = np.array([5, 9, 30]), np.array([9, 9, 9])
    padded = [np.append(each, [0, 0]) for each in (first, second)]
    assert float(distribution_p_value(*padded)) == float(distribution_p_value(first, second))


def test_nothing_to_compare_is_no_evidence() -> None:
    nothing, some = np.array([0, 0]), np.array([3, 4])
    assert float(distribution_p_value(nothing, some)) == 1.0
    assert homogeneity_p_value(nothing, some) == 1.0
    assert share_p_value(0, 10, 0, 10) == share_p_value(0, 0, 1, 10) == 1.0
    with pytest.raises(ValueError, match="hits exceed rows"):
        share_p_value(3, 2, 0, 1)


@given(st.lists(st.floats(0, 1), max_size=20))
def test_adjustment_is_benjamini_hochberg(p_values: list[float]) -> None:
    expected = stats.false_discovery_control(p_values) if p_values else []
    assert adjust_p_values(p_values).tolist() == pytest.approx(list(expected))


def test_adjustment_refuses_what_is_no_probability() -> None:
    with pytest.raises(ValueError, match=r"outside 0\.\.1"):
        adjust_p_values([0.5, 1.5])
