"""Feature functions: what they may return, how they fail, and that they cannot see the future."""
# ruff: noqa: DTZ001 (times of rows are naive and in UTC)

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from holdfast.base.clock import DAY_US, HOUR_US
from holdfast.features.compute import check_time_travel, compute_view, feature_columns
from holdfast.features.errors import FeatureFunctionError, TimeTravelError
from holdfast.features.records import FeatureViewSpec

START = datetime(2011, 1, 1)
SPEC = FeatureViewSpec("demand", "rides", ttl_us=DAY_US, lookback_us=2 * DAY_US)
KEYED = FeatureViewSpec("demand", "rides", ttl_us=DAY_US, lookback_us=2 * DAY_US, entity=("city",))
Function = Callable[[pl.LazyFrame], pl.LazyFrame]


def table(hours: int = 400, cities: int = 1, delay_hours: int = 1) -> pl.LazyFrame:
    rng = np.random.default_rng(3)
    rows = [(START + timedelta(hours=hour), f"c{city}") for hour in range(hours) for city in range(cities)]
    frame = pl.DataFrame(rows, schema=["time", "city"], orient="row").with_columns(
        cnt=pl.Series(rng.integers(0, 900, len(rows)).astype(float))
    )
    known = pl.col("time") + pl.duration(hours=delay_hours)
    return frame.lazy().with_columns(known.alias("_available_at"), pl.lit("").alias("_row_id"))


def shifted(hours: int, *names: str) -> Function:
    return lambda rows: rows.select(pl.col("time") + pl.duration(hours=hours), *names, before=pl.col("cnt"))


def check(
    function: Function, rows: pl.LazyFrame, spec: FeatureViewSpec = SPEC, delay: int | None = None
) -> None:
    check_time_travel(function, rows, spec, instants=12, rng=np.random.default_rng(1), label_delay_us=delay)


def test_a_view_is_time_entity_and_features_sorted_by_time() -> None:
    def view(rides: pl.LazyFrame) -> pl.LazyFrame:
        assert rides.collect_schema().names() == ["time", "city", "cnt"]
        return rides.select(
            "city",
            (pl.col("cnt") > 5).alias("many"),
            pl.col("cnt").cast(pl.Float32).alias("x"),
            pl.col("city").cast(pl.Categorical).alias("name"),
            pl.col("time").dt.replace_time_zone("UTC").dt.cast_time_unit("ns"),
        ).reverse()

    frame = compute_view(view, table(3, cities=2), KEYED)
    assert frame.schema == {
        "time": pl.Datetime("us"),
        "city": pl.String,
        "many": pl.Boolean,
        "x": pl.Float64,
        "name": pl.String,
    }
    assert frame["time"].is_sorted()
    assert frame["city"].to_list() == ["c1", "c0"] * 3
    assert feature_columns(frame, KEYED) == ("many", "x", "name")


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda rows: rows.select("cnt"), "returned no column 'time'"),
        (lambda rows: rows.select("time", "cnt"), "returned no column 'city'"),
        (lambda rows: rows.select("time", "city"), "returned no feature columns"),
        (lambda rows: rows.select("city", "cnt", time=pl.col("cnt")), "'time' is of type Float64"),
        (lambda rows: rows.select("city", "cnt", pl.col("time").shift(1)), "'time' is null in some rows"),
        (
            lambda rows: rows.select("city", "time", x=pl.concat_list("cnt")),
            "the feature 'x' is of type List",
        ),
        (lambda rows: 5, "returned int, not a polars frame"),
    ],
)
def test_what_is_no_view_is_refused(function: Function, says: str) -> None:
    with pytest.raises(FeatureFunctionError, match="demand") as caught:
        compute_view(function, table(3), KEYED)
    assert says in str(caught.value)


def test_a_function_that_raises_is_named_with_its_line() -> None:
    def at_once(rows: pl.LazyFrame) -> pl.LazyFrame:
        raise KeyError("cnt_before")

    def when_collected(rows: pl.LazyFrame) -> pl.LazyFrame:
        return rows.select("time", "count")

    first = at_once.__code__.co_firstlineno
    with pytest.raises(
        FeatureFunctionError, match=rf"demand raised KeyError.*test_compute.py, line {first + 1}\)"
    ):
        compute_view(at_once, table(3), SPEC)
    with pytest.raises(FeatureFunctionError, match=r'demand raised ColumnNotFoundError: .*"count"') as caught:
        compute_view(when_collected, table(3), SPEC)
    assert "\n" not in str(caught.value)


def test_an_honest_function_passes() -> None:
    check(shifted(1), table())
    check(shifted(2), table())
    check(shifted(1, "city"), table(cities=3), KEYED)


def test_a_function_that_sees_the_future_is_caught() -> None:
    with pytest.raises(TimeTravelError) as caught:
        check(shifted(0), table())
    message = str(caught.value)
    assert message.startswith("demand: 'before' at 2011-01-")
    assert "but what serving would have had then gives" in message
    assert "pl.col('time') + the label's delay" in message


def test_a_global_mean_is_time_travel() -> None:
    def mean(rows: pl.LazyFrame) -> pl.LazyFrame:
        return rows.select(pl.col("time") + pl.duration(hours=1), mean=pl.col("cnt").mean())

    with pytest.raises(TimeTravelError, match="before they were known"):
        check(mean, table())


def test_a_short_lookback_is_told_apart() -> None:
    def week(rows: pl.LazyFrame) -> pl.LazyFrame:
        known = rows.select(pl.col("time") + pl.duration(hours=1), before="cnt")
        earlier = known.select(pl.col("time") + pl.duration(hours=167), week="before")
        return known.join(earlier, on="time", how="left")

    with pytest.raises(TimeTravelError, match=r"lookback of 2d.*lookback="):
        check(week, table())


def test_reading_other_entities_is_told_apart() -> None:
    def leaky(rows: pl.LazyFrame) -> pl.LazyFrame:
        return rows.select(
            pl.col("time") + pl.duration(hours=1), "city", before=pl.col("cnt").max().over("time")
        )

    with pytest.raises(TimeTravelError, match=r"of city = 'c\d'.*rows of other entities"):
        check(leaky, table(cities=3), KEYED)


def test_a_label_later_than_declared_does_not_accuse_the_function() -> None:
    late = table(delay_hours=5)
    with pytest.raises(TimeTravelError):
        check(shifted(1), late)
    check(shifted(1), late, delay=HOUR_US)
    with pytest.raises(TimeTravelError):
        check(shifted(0), late, delay=HOUR_US)
