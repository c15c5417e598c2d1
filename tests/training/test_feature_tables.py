"""Training with features of other tables, of windows and of the request."""

from __future__ import annotations

from pathlib import Path

import msgspec
import polars as pl
import pytest

from holdfast.features.errors import FeatureFunctionError, TimeTravelError
from holdfast.training.pipeline import run_pipeline
from holdfast.training.records import TrainingOutcome
from tests.training.worlds import MODEL, make_task, write_sales

FEATURES = """
shop = hf.Entity("shop")
forecasts = hf.Table("forecasts", source="forecasts.csv", time="valid_at", key="shop", available="issued_at")
visits = hf.Table("visits", source="visits.csv", time="at", key="shop")


@hf.features(ttl="3h", entity=shop, table=forecasts)
def forecast(forecasts):
    return forecasts.select("time", "available_at", "shop", "rain")


@hf.features(entity=shop, table=visits, aggregate=[hf.aggregate.sum("bought", over=["2h", "1d"]),
                                                   hf.aggregate.count(over="2h")])
def visited(visits):
    return visits.select("time", "shop", bought=pl.col("items") > 0)


@hf.request_features()
def product(temperature, rain, time):
    return {"wet": None if rain is None else rain * temperature, "hour": time.hour}
"""


def model() -> str:
    source = MODEL.replace('drop=["sold_twice"])', 'drop=["sold_twice"], key="shop")' + FEATURES)
    source = source.replace("return sales.select(", 'return sales.select("shop", ')
    source = source.replace("features=[last_sold]", "features=[forecast, last_sold, visited, product]")
    write = "    data.frame.write_parquet(__file__ + f'.{len(data)}')\n    return make_pipeline"
    return source.replace("    return make_pipeline", write)


def write_tables(folder: Path) -> pl.DataFrame:
    number = pl.int_range(pl.len())
    shop = pl.when(number % 2 == 0).then(pl.lit("n")).otherwise(pl.lit("s"))
    sales = write_sales(folder).with_columns(shop.alias("shop"))
    sales.write_csv(folder / "sales.csv")
    base = sales.select(pl.col("at").str.to_datetime("%Y-%m-%dT%H:%M:%SZ"), "shop", number=number)
    # Each forecast is issued half an hour before it holds, every third one two hours after.
    late, early = pl.col("at") + pl.duration(hours=2), pl.col("at") - pl.duration(minutes=30)
    issued = pl.when(pl.col("number") % 3 == 0).then(late).otherwise(early)
    base.select("shop", valid_at="at", issued_at=issued, rain=pl.col("number") / 10).write_csv(
        folder / "forecasts.csv", datetime_format="%Y-%m-%dT%H:%M:%SZ"
    )
    base.select("shop", at=pl.col("at") - pl.duration(minutes=10), items=pl.col("number") % 4).write_csv(
        folder / "visits.csv", datetime_format="%Y-%m-%dT%H:%M:%SZ"
    )
    return sales


def run(folder: Path, source: str) -> tuple[TrainingOutcome, pl.DataFrame]:
    task = make_task(folder, source)
    tables = tuple(
        msgspec.structs.replace(table, source=str(folder / str(table.source)))
        for table in task.spec.feature_tables
    )
    spec = msgspec.structs.replace(task.spec, feature_tables=tables)
    outcome = run_pipeline(msgspec.structs.replace(task, spec=spec))
    return outcome, pl.read_parquet(folder / "code" / "model.py.600")


def test_features_are_as_they_could_have_been_known(tmp_path: Path) -> None:
    write_tables(tmp_path)
    outcome, seen = run(tmp_path, model())
    number = 300  # an hour of shop n; its own forecast (300 % 3 == 0) is issued two hours late
    row = seen.row(number, named=True)
    assert row["rain"] == 298 / 10  # the last one that had been issued
    assert row["wet"] == pytest.approx(row["temperature"] * 29.8)
    assert row["hour"] == row["time"].hour
    # Visits of shop n are at numbers 300, 298, ... ten minutes before the hour; items is number % 4.
    assert (row["bought_sum_2h"], row["count_2h"]) == (0.0, 1)
    assert (row["bought_sum_1d"], seen.row(302, named=True)["bought_sum_2h"]) == (6.0, 1.0)
    assert outcome.feature_columns == {
        "forecast": ("rain",),
        "last_sold": ("sold_before",),
        "visited": ("bought_sum_2h", "bought_sum_1d", "count_2h"),
        "product": ("wet", "hour"),
    }
    assert [(draft.table, draft.rows) for draft in outcome.feature_datasets] == [
        ("forecasts", 600),
        ("visits", 600),
    ]
    assert {column.name for column in outcome.signature.columns} >= {"rain", "count_2h", "wet", "hour"}


def test_a_view_that_forgets_availability_is_refused(tmp_path: Path) -> None:
    write_tables(tmp_path)
    careless = model().replace('"time", "available_at", "shop", "rain"', '"time", "shop", "rain"')
    with pytest.raises(
        TimeTravelError, match=r"forecast: 'rain' of shop = .* but what serving would have had"
    ):
        run(tmp_path, careless)


def test_a_function_of_the_request_that_fails_is_one_sentence(tmp_path: Path) -> None:
    write_tables(tmp_path)
    broken = model().replace("None if rain is None else rain * temperature", "1 / 0")
    with pytest.raises(FeatureFunctionError, match="product raised ZeroDivisionError: division by zero"):
        run(tmp_path, broken)
    unknown = model().replace(
        "def product(temperature, rain, time)", "def product(temperature, rain, time, snow)"
    )
    with pytest.raises(
        FeatureFunctionError, match="product takes 'snow', which neither the request nor a feature"
    ):
        run(tmp_path, unknown)
