"""Will a flight from New York arrive more than 15 minutes late? Asked at its scheduled departure.

`prepare.py` writes the tables; the folder HOLDFAST_FLIGHTS says where they are (`data` beside this file by default).
"""

import os
from pathlib import Path

import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier

import holdfast as hf

DATA = Path(os.environ.get("HOLDFAST_FLIGHTS") or Path(__file__).resolve().parent / "data")

carrier = hf.Entity("carrier", description="who flies")
origin = hf.Entity("origin", description="the airport of departure")
plane = hf.Entity("plane", keys="tailnum")

flights = hf.Table(
    "flights",
    source=DATA / "flights.parquet",
    time="departs",
    key=["carrier", "flight", "origin"],
    label="late",
    label_delay="1d",
)
landings = hf.Table("landings", source=DATA / "landings.parquet", time="landed", key="carrier")
weather = hf.Table(
    "weather",
    source=DATA / "weather.parquet",
    time="observed",
    key="origin",
    available=pl.col("observed") + pl.duration(minutes=10),
)
planes = hf.Table("planes", source=DATA / "planes.parquet", time="since", key="tailnum")


@hf.features(ttl="3h", entity=origin, table=weather, tags=["weather"])
def weather_now(weather: pl.LazyFrame) -> pl.LazyFrame:
    """The last observation that was published before the flight."""
    return weather.select("time", "available_at", "origin", "temp", "humid", "wind_speed", "precip", "visib")


@hf.features(ttl="3650d", entity=plane, table=planes)
def plane_register(planes: pl.LazyFrame) -> pl.LazyFrame:
    """What the register says of the plane."""
    return planes.select("time", "tailnum", "built", "seats", "engines")


@hf.features(
    entity=carrier,
    table=landings,
    aggregate=[
        hf.aggregate.mean("late", over=["1h", "1d", "7d"], name="carrier_late"),
        hf.aggregate.count(over="1d", name="carrier_landings"),
    ],
)
def carrier_record(landings: pl.LazyFrame) -> pl.LazyFrame:
    """The carrier's share of late flights, among those that have landed."""
    return landings.select("time", "carrier", "late")


@hf.features(
    entity=origin,
    table=landings,
    aggregate=[hf.aggregate.mean("late", over=["1h", "1d", "7d"], name="origin_late")],
)
def origin_record(landings: pl.LazyFrame) -> pl.LazyFrame:
    """The airport's share of late flights, among those that have landed."""
    return landings.select("time", "origin", "late")


@hf.request_features()
def calendar(time) -> dict[str, int]:
    """When it leaves, in UTC."""
    return {"weekday": time.weekday(), "month": time.month}


delays = hf.FeatureService("delays", [weather_now, plane_register, carrier_record, origin_record])


@hf.model(
    "flight-delays",
    table=flights,
    features=[weather_now, plane_register, carrier_record, origin_record, calendar],
    task="binary",
    gates=[hf.at_least("roc_auc", 0.6), hf.no_worse_than_production("log_loss", margin=0.02)],
    holdout="30d",
    seed=7,
)
def train(data: hf.TrainingSet, params: hf.Params) -> HistGradientBoostingClassifier:
    """Boosted trees; the probability of class 1 is the answer."""
    settings = {"max_iter": 60, "early_stopping": False, **params}
    return HistGradientBoostingClassifier(random_state=7, **settings).fit(data.X, data.y)
