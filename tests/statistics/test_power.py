"""The minimum detectable effect is what it says: such an effect is found with the stated power."""

import numpy as np
import pytest

from holdfast.statistics.power import MEASURES, minimum_detectable_effect
from holdfast.statistics.significance import (
    binned_ks_p_value,
    homogeneity_p_value,
    share_p_value,
)

REPETITIONS = 300
# Three standard errors of a share of 0.8 among 300 repetitions.
SCATTER = 3 * np.sqrt(0.8 * 0.2 / REPETITIONS)


def test_a_distance_of_this_size_is_found() -> None:
    rng = np.random.default_rng(0)
    effect = minimum_detectable_effect(20_000, 1_000, alpha=0.01)
    shares = np.full(50, 1 / 50)
    moved = shares.copy()
    moved[:25] += effect / 25
    moved[25:] -= effect / 25
    reference = rng.multinomial(20_000, shares, size=REPETITIONS)
    current = rng.multinomial(1_000, moved, size=REPETITIONS)
    assert (binned_ks_p_value(reference, current) <= 0.01).mean() >= 0.8 - SCATTER


def test_a_change_of_categories_of_this_size_is_found() -> None:
    rng = np.random.default_rng(1)
    effect = minimum_detectable_effect(20_000, 1_000, alpha=0.01, measure="total_variation", cells=4)
    moved = np.array([0.25 + effect / 2, 0.25 + effect / 2, 0.25 - effect / 2, 0.25 - effect / 2])
    reference = rng.multinomial(20_000, [0.25] * 4, size=REPETITIONS)
    current = rng.multinomial(1_000, moved, size=REPETITIONS)
    found = [homogeneity_p_value(*pair) <= 0.01 for pair in zip(reference, current, strict=True)]
    assert 0.8 - SCATTER <= np.mean(found) <= 0.8 + SCATTER


@pytest.mark.parametrize("share", [0.0, 0.02, 0.4])
def test_a_change_of_a_share_of_this_size_is_found(share: float) -> None:
    rng = np.random.default_rng(2)
    effect = minimum_detectable_effect(50_000, 1_000, alpha=0.01, measure="share_difference", share=share)
    before = rng.binomial(50_000, share, size=REPETITIONS)
    now = rng.binomial(1_000, share + effect, size=REPETITIONS)
    found = [
        share_p_value(int(one), 50_000, int(other), 1_000) <= 0.01
        for one, other in zip(before, now, strict=True)
    ]
    assert np.mean(found) >= 0.8 - SCATTER


@pytest.mark.parametrize("measure", MEASURES)
def test_more_rows_show_less_and_no_rows_show_nothing(measure) -> None:
    effects = [
        minimum_detectable_effect(10_000, count, measure=measure, cells=10) for count in (50, 500, 5000)
    ]
    assert effects == sorted(effects, reverse=True) and effects[2] < effects[0]
    assert minimum_detectable_effect(10_000, 0, measure=measure) >= 1.0


def test_wrong_levels_and_measures_are_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        minimum_detectable_effect(10, 10, alpha=0.0)
    with pytest.raises(ValueError, match="unknown measure 'wasserstein'; valid: kolmogorov_smirnov"):
        minimum_detectable_effect(10, 10, measure="wasserstein")  # type: ignore[arg-type]
