"""Bins and categories fit the column, and every row is counted exactly once."""

import numpy as np
import polars as pl
import pytest

from holdfast.profiles.bins import choose_edges
from holdfast.profiles.build import ProfileBuilder, build_profile
from holdfast.profiles.records import CategoricalColumn, NumericColumn, Profile


def numeric(profile: Profile, name: str) -> NumericColumn:
    column = profile.column(name)
    assert isinstance(column, NumericColumn)
    return column


def categorical(profile: Profile, name: str) -> CategoricalColumn:
    column = profile.column(name)
    assert isinstance(column, CategoricalColumn)
    return column


def test_a_continuous_column_gets_bins_of_equal_share_that_enclose_it() -> None:
    values = np.random.default_rng(0).lognormal(size=64_000)
    column = numeric(build_profile({"amount": values}), "amount")
    assert len(column.counts) == 64 + 2
    assert column.outside_count == 0
    assert min(column.counts[1:-1]) > 950 and max(column.counts[1:-1]) < 1050
    assert column.edges[0] == values.min() and values.max() < column.edges[-1]


def test_histogram_equals_numpy_over_several_pieces() -> None:
    rng = np.random.default_rng(1)
    baseline = build_profile({"x": rng.normal(size=5_000)})
    values = rng.normal(0.3, 1.5, size=20_000)
    column = numeric(build_profile({"x": values}, pinned=baseline), "x")
    bins = np.concatenate([[-np.inf], column.edges, [np.inf]])
    assert list(column.counts) == np.histogram(values, bins)[0].tolist()
    assert column.counts[0] > 0 and column.counts[-1] > 0


def test_few_different_values_get_one_bin_each() -> None:
    column = numeric(build_profile({"hr": np.repeat(np.arange(24.0), [*range(1, 25)])}), "hr")
    assert list(column.counts) == [0, *range(1, 25), 0]


def test_a_heavy_tie_gets_a_bin_of_its_own() -> None:
    rng = np.random.default_rng(2)
    values = np.where(rng.random(10_000) < 0.6, 0.0, rng.normal(size=10_000))
    column = numeric(build_profile({"x": values}), "x")
    assert int((values == 0).sum()) in column.counts
    assert column.zero_count == int((values == 0).sum())


@pytest.mark.parametrize("value", [0.0, -7.5, 1e300])
def test_a_constant_column_sees_any_other_value_as_outside(value: float) -> None:
    baseline = build_profile({"x": np.full(10, value)})
    window = build_profile(
        {"x": np.array([value, value - abs(value) - 1, value + abs(value) + 1])}, pinned=baseline
    )
    assert numeric(window, "x").counts == (1, 1, 1)


def test_a_column_without_values_has_one_bin_and_no_edges() -> None:
    baseline = build_profile({"x": np.array([np.nan, np.nan])})
    assert numeric(baseline, "x").edges == ()
    later = numeric(build_profile({"x": np.array([1.0, np.nan])}, pinned=baseline), "x")
    assert (later.counts, later.invalid_count, later.outside_count) == ((1,), 1, 0)


def test_nulls_and_invalid_values_are_told_apart() -> None:
    frame = pl.DataFrame({"x": [1.0, None, float("nan"), float("inf")], "text": ["4", "warm", None, "5"]})
    profile = build_profile(frame, numeric=["x", "text"], categorical=[])
    x, text = numeric(profile, "x"), numeric(profile, "text")
    assert (x.count, x.null_count, x.invalid_count) == (1, 1, 2)
    assert (text.count, text.null_count, text.invalid_count, text.maximum) == (2, 1, 1, 5.0)


def test_categories_are_capped_and_new_ones_named() -> None:
    baseline = build_profile({"shop": np.array(["a"] * 5 + ["b"] * 3 + ["c"])}, categories=2)
    shop = categorical(baseline, "shop")
    assert (shop.counts, shop.other_count, shop.other_sample) == ({"a": 5, "b": 3}, 1, ("c",))
    window = categorical(build_profile({"shop": np.array(["b", "new", "new"])}, pinned=baseline), "shop")
    assert (window.counts, window.other_count, window.other_sample) == ({"a": 0, "b": 1}, 2, ("new",))


def test_the_number_of_categories_is_estimated_beyond_those_pinned() -> None:
    names = np.array([f"user-{number}" for number in range(20_000)])
    assert categorical(build_profile({"id": names}), "id").distinct_estimate == pytest.approx(20_000, rel=0.3)


def test_kinds_are_chosen_by_type_and_times_are_left_out() -> None:
    frame = pl.DataFrame({"n": [1], "flag": [True], "s": ["x"], "at": [0], "empty": [None], "list": [[1]]})
    frame = frame.with_columns(pl.col("at").cast(pl.Datetime))
    profile = build_profile(frame)
    assert [column.name for column in profile.numeric] == ["n", "empty"]
    assert [column.name for column in profile.categorical] == ["flag", "s"]
    assert categorical(build_profile(frame, categorical=["n"]), "n").counts == {"1": 1}


def test_frame_and_arrays_give_the_same_profile() -> None:
    frame = pl.DataFrame({"x": [1.0, 2.5, 3.0], "s": ["a", "b", "a"], "flag": [True, False, True]})
    assert build_profile(frame) == build_profile({name: frame[name].to_numpy() for name in frame.columns})


def test_the_builder_counts_batches_like_the_whole() -> None:
    rng = np.random.default_rng(3)
    baseline = build_profile({"x": rng.normal(size=1000)})
    values = rng.normal(size=999)
    builder = ProfileBuilder(baseline)
    for part in np.array_split(values, 7):
        builder.add({"x": part})
    whole = numeric(build_profile({"x": values}, pinned=baseline), "x")
    grown = numeric(builder.profile(), "x")
    assert grown.counts == whole.counts and grown.minimum == whole.minimum
    assert grown.variance == pytest.approx(whole.variance)


def test_values_near_the_float_limit_leave_the_profile_finite() -> None:
    column = numeric(build_profile({"x": np.array([1.7e308, 1.7e308, -1.7e308])}), "x")
    assert np.isfinite([column.mean, column.variance, *column.edges]).all()


def test_edges_of_neighbouring_floats_keep_them_apart() -> None:
    one = np.array([1.0, np.nextafter(1.0, 2.0)])
    column = numeric(build_profile({"x": one}), "x")
    assert column.counts == (0, 1, 1, 0)
    assert choose_edges(np.array([]), bins=8) == ()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: build_profile({"x": np.ones(2)}, numeric=["y"]),
            "no column 'y' to profile; the columns are: x",
        ),
        (lambda: build_profile({"x": np.ones(2), "y": np.ones(3)}), "differ in length"),
        (lambda: build_profile({"x": np.ones((2, 2))}), r"shape \(2, 2\)"),
        (lambda: build_profile({"x": np.ones(2)}, bins=1), "at least 2"),
        (
            lambda: build_profile({"x": np.ones(2)}, numeric=["x"], categorical=["x"]),
            "both numeric and categorical",
        ),
        (lambda: build_profile(pl.DataFrame({"l": [[1]]}), numeric=["l"]), "not a number"),
        (lambda: build_profile(pl.DataFrame({"l": [[1]]}), categorical=["l"]), "no categories"),
        (lambda: build_profile({"x": np.ones(1)}, numeric=["x"], pinned=Profile()), "leave them out"),
    ],
)
def test_wrong_use_says_what_is_wrong(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
