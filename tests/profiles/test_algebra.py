"""The algebra of profiles: parts make the whole, order does not matter, and subtraction undoes merging."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.profiles.algebra import merge, merge_all, subtract
from holdfast.profiles.build import build_profile, empty_profile
from holdfast.profiles.records import NumericColumn, Profile

NUMBERS = st.one_of(
    st.none(),
    st.sampled_from([0.0, 1.0, float("nan"), float("inf")]),
    st.floats(-1e6, 1e6, allow_subnormal=False),
)
NAMES = st.one_of(st.none(), st.sampled_from(["a", "b", "c", "new", "other"]))
ROWS = st.lists(st.tuples(NUMBERS, NAMES), max_size=30)

BASELINE = build_profile(
    {"x": np.random.default_rng(0).normal(0, 1e5, size=500), "s": np.array(["a", "b"] * 249 + ["c"] * 2)},
    bins=16,
)


def profile_of(rows: list[tuple[float | None, str | None]]) -> Profile:
    schema = {"x": pl.Float64, "s": pl.String}
    return build_profile(pl.DataFrame(rows, schema=schema, orient="row"), pinned=BASELINE)


def exact_part(profile: Profile) -> list[tuple[object, ...]]:
    """Everything that is counted, without the moments, which agree to rounding only."""
    numeric = [
        (
            each.counts,
            each.null_count,
            each.invalid_count,
            each.zero_count,
            each.count,
            each.minimum,
            each.maximum,
        )
        for each in profile.numeric
    ]
    categorical = [
        (each.counts, each.other_count, each.null_count, each.other_sample) for each in profile.categorical
    ]
    return [(profile.row_count,), *numeric, *categorical]


def moments(profile: Profile) -> list[float]:
    return [value for each in profile.numeric for value in (each.mean, each.standard_deviation)]


@settings(max_examples=60, deadline=None)
@given(first=ROWS, second=ROWS)
def test_merge_of_parts_is_the_profile_of_the_whole(first, second) -> None:
    merged, whole = merge(profile_of(first), profile_of(second)), profile_of(first + second)
    assert exact_part(merged) == exact_part(whole)
    assert moments(merged) == pytest.approx(moments(whole), rel=1e-9, abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(first=ROWS, second=ROWS, third=ROWS)
def test_merging_is_commutative_and_associative_with_a_neutral_element(first, second, third) -> None:
    a, b, c = profile_of(first), profile_of(second), profile_of(third)
    assert merge(a, b) == merge(b, a)
    assert exact_part(merge(merge(a, b), c)) == exact_part(merge(a, merge(b, c)))
    assert merge(a, empty_profile(BASELINE)) == a
    assert exact_part(merge_all([a, b, c])) == exact_part(merge(a, merge(b, c)))


@settings(max_examples=60, deadline=None)
@given(first=ROWS, second=ROWS)
def test_subtraction_undoes_merging(first, second) -> None:
    a, b = profile_of(first), profile_of(second)
    rest = subtract(merge(a, b), b)
    assert rest.row_count == a.row_count
    for left, original in zip(rest.numeric, a.numeric, strict=True):
        assert (left.counts, left.null_count, left.invalid_count, left.zero_count, left.count) == (
            original.counts,
            original.null_count,
            original.invalid_count,
            original.zero_count,
            original.count,
        )
        assert left.mean == pytest.approx(original.mean, rel=1e-6, abs=1e-3)
        if original.minimum is not None:
            assert left.minimum <= original.minimum and left.maximum >= original.maximum
    for left, original in zip(rest.categorical, a.categorical, strict=True):
        assert (left.counts, left.other_count, left.null_count) == (
            original.counts,
            original.other_count,
            original.null_count,
        )


def test_moments_survive_a_mean_far_from_zero() -> None:
    values = 1.7e15 + np.random.default_rng(1).normal(size=4000)
    baseline = build_profile({"at": values})
    parts = [build_profile({"at": part}, pinned=baseline) for part in np.array_split(values, 40)]
    column = merge_all(parts).column("at")
    assert isinstance(column, NumericColumn)
    assert column.standard_deviation == pytest.approx(values.std(), rel=0.02)


def test_times_of_a_merge_span_both() -> None:
    merged = merge(Profile(from_at=5, to_at=9), Profile(from_at=2, to_at=None))
    assert (merged.from_at, merged.to_at) == (2, 9)


def test_profiles_of_other_cells_or_rows_are_refused() -> None:
    other = build_profile({"x": np.arange(9.0), "s": np.array(["a", "b", "c"] * 3)})
    with pytest.raises(ValueError, match="different bins"):
        merge(BASELINE, other)
    with pytest.raises(ValueError, match="different columns"):
        merge(BASELINE, Profile())
    with pytest.raises(ValueError, match="not a part"):
        subtract(empty_profile(BASELINE), BASELINE)
    with pytest.raises(ValueError, match="at least one"):
        merge_all([])
