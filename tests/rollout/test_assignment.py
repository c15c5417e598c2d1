"""Assignment: shares, stickiness under growth, independence of salts, shadows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rollout.assignment import assign
from holdfast.rollout.errors import NoVariantError
from holdfast.rollout.records import Variant

UNITS = [f"request-{number}" for number in range(20_000)]


def split(candidate_share: int) -> tuple[Variant, ...]:
    return (
        Variant(1, "champion", 100 - candidate_share),
        Variant(2, "candidate", candidate_share),
        Variant(3, "shadow", 0),
    )


@pytest.mark.parametrize("share", [0, 1, 5, 25, 50, 100])
def test_a_variant_gets_its_share(share: int) -> None:
    answers = [assign("salt", unit, split(share)) for unit in UNITS]
    got = sum(variant.version == 2 for variant, _ in answers) / len(UNITS)
    assert got == pytest.approx(share / 100, abs=4 * (0.25 / len(UNITS)) ** 0.5)
    for variant, propensity in answers:
        assert variant.role != "shadow"
        assert propensity == variant.share / 100


@given(st.text(max_size=30), st.text(max_size=30), st.lists(st.integers(0, 100), min_size=2, max_size=8))
def test_growing_never_gives_a_unit_back(salt: str, unit: str, shares: list[int]) -> None:
    versions = [assign(salt, unit, split(share))[0].version for share in sorted(shares)]
    assert versions == sorted(versions)


def test_the_same_unit_keeps_its_variant() -> None:
    assert {assign("salt", "customer-7", split(40))[0].version for _ in range(20)} in ({1}, {2})


def test_salts_are_independent() -> None:
    both = sum(
        assign("one", unit, split(50))[0].version == 2 and assign("two", unit, split(50))[0].version == 2
        for unit in UNITS
    )
    assert both / len(UNITS) == pytest.approx(0.25, abs=0.02)


def test_salt_and_unit_do_not_run_together() -> None:
    pairs = [("a" * length, "a" * (12 - length)) for length in range(12)]
    buckets = {assign(salt, unit, split(50))[0].version for salt, unit in pairs}
    assert buckets == {1, 2}


def test_several_candidates_get_their_shares() -> None:
    variants = (
        Variant(1, "champion", 50),
        Variant(2, "candidate", 30),
        Variant(4, "candidate", 20),
    )
    counts = dict.fromkeys((1, 2, 4), 0)
    for unit in UNITS:
        variant, propensity = assign("salt", unit, variants)
        counts[variant.version] += 1
        assert propensity == variant.share / 100
    assert {version: round(count / len(UNITS), 1) for version, count in counts.items()} == {
        1: 0.5,
        2: 0.3,
        4: 0.2,
    }


def test_without_an_answering_variant_it_says_so() -> None:
    with pytest.raises(NoVariantError, match="promote a version"):
        assign("salt", "unit", (Variant(3, "shadow", 0),))
