"""Hourly bike demand in Washington DC: a whole production model in one file.

The data is `bike_sharing/hour.csv` of the UCI Bike Sharing data set, looked for in the folder HOLDFAST_DATA.
"""

import os
from pathlib import Path

import polars as pl
from sklearn.ensemble import HistGradientBoostingRegressor

import holdfast as hf

DATA = Path(os.environ.get("HOLDFAST_DATA") or Path(__file__).resolve().parent / "../../../shared/data")

rides = hf.Table(
    "rides",
    source=str(DATA / "bike_sharing" / "hour.csv"),
    time=pl.col("dteday").str.to_datetime("%m/%d/%Y", time_unit="us") + pl.duration(hours="hr"),
    label="cnt",
    label_delay="1h",
    drop=["instant", "casual", "registered"],  # a row number, and the two counts that add up to the label
)


@hf.features(ttl="14d", table=rides)
def demand_history(rides: pl.LazyFrame) -> pl.LazyFrame:
    """Demand one hour, one day and one week before.

    The count of an hour is known when the hour is over, and that instant is the row's `time`. Lags are looked up by
    time, not by position, because some hours are missing.
    """
    known = rides.select(pl.col("time") + pl.duration(hours=1), pl.col("cnt").alias("demand_hour_before"))
    day = known.select(pl.col("time") + pl.duration(hours=23), demand_day_before="demand_hour_before")
    week = known.select(pl.col("time") + pl.duration(hours=167), demand_week_before="demand_hour_before")
    return known.join(day, on="time", how="left").join(week, on="time", how="left")


@hf.model(
    "bike-demand",
    table=rides,
    features=[demand_history],
    task="regression",
    gates=[
        hf.at_most("mae", 60),
        hf.no_worse_than_production("mae"),
        hf.at_most("mae", 120, by="weathersit", min_rows=200),
    ],
    rollout=hf.shadow_then_switch(days=7),
    retrain=hf.retrain(every="30d", on=["drift", "performance"], cooldown="21d"),
    holdout="21d",
    seed=7,
)
def train(data: hf.TrainingSet, params: hf.Params) -> HistGradientBoostingRegressor:
    """Boosted trees on the weather, the calendar and the demand before."""
    settings = {"max_iter": 100, "early_stopping": False, **params}
    return HistGradientBoostingRegressor(random_state=7, **settings).fit(data.X, data.y)
