"""Cuts the flights of 2013 into what was known when: `python prepare.py FOLDER` writes four Parquet files there.

Reads `nyc_flights` under the folder HOLDFAST_DATA: flights with their delays, hourly weather, planes.
"""

import os
import sys
from pathlib import Path

import polars as pl

DATA = Path(os.environ.get("HOLDFAST_DATA") or Path(__file__).resolve().parent / "../../../shared/data")
LATE_MINUTES = 15
TAXI_MINUTES = 30  # from the gate to the air and back; the data has the minutes in the air only


def main(folder: Path) -> None:
    """Writes flights, landings, weather and planes."""
    folder.mkdir(parents=True, exist_ok=True)
    source = DATA / "nyc_flights"
    departs = pl.col("time_hour").dt.replace_time_zone(None) + pl.duration(minutes="minute")
    minutes = pl.col("dep_delay") + pl.col("air_time") + TAXI_MINUTES
    flights = pl.read_parquet(source / "flights.parquet").with_columns(
        pl.col("carrier", "tailnum", "origin", "dest").cast(pl.String),
        departs=departs,
        landed=departs + pl.duration(minutes=minutes),
        late=(pl.col("arr_delay") > LATE_MINUTES).cast(pl.Int64),
    )
    flights = flights.unique(["carrier", "flight", "origin", "departs"], keep="first").sort("departs")
    known_before = [
        "departs",
        "carrier",
        "flight",
        "origin",
        "dest",
        "tailnum",
        "distance",
        "hour",
        "sched_arr_time",
    ]
    flights.select(*known_before, "late").write_parquet(folder / "flights.parquet")
    landings = flights.filter(pl.col("landed").is_not_null() & pl.col("late").is_not_null())
    landings.select("landed", "carrier", "origin", "late").write_parquet(folder / "landings.parquet")
    weather = pl.read_csv(source / "weather.csv", null_values="NA", infer_schema_length=None)
    observed = pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ")
    weather.select(
        "origin", "temp", "humid", "wind_speed", "precip", "visib", observed=observed
    ).write_parquet(folder / "weather.parquet")
    planes = pl.read_csv(source / "planes.csv", null_values="NA", infer_schema_length=None)
    since = pl.datetime(2012, 1, 1)  # the register says nothing of when it was written
    planes.select("tailnum", "seats", "engines", built="year", since=since).write_parquet(
        folder / "planes.parquet"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "data"))
