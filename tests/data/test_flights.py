"""The New York flights of 2013 as dataset versions: a stray pandas index, categoricals, `NA` for null, UTC times."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdfast.base.blobs import Blobs
from holdfast.data.add import build_plain
from holdfast.data.build import read_parts
from holdfast.data.readers.open import open_source
from holdfast.data.records import DatasetDraft, TableSpec

DATA = Path(os.environ.get("HOLDFAST_DATA") or Path(__file__).parents[3] / "shared" / "data") / "nyc_flights"

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(
        not DATA.is_dir(), reason=f"{DATA} is absent; set HOLDFAST_DATA to the folder of real data"
    ),
]


def draft(name: str, blobs: Blobs, **spec: object) -> DatasetDraft:
    declared = TableSpec(name.partition(".")[0], None, **({"time": ""} | spec))  # type: ignore[arg-type]
    return build_plain(declared, open_source(DATA / name), blobs).draft


def test_flights(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    made = draft("flights.parquet", blobs, time="time_hour")
    fields = {field.name: field for field in made.fields}
    assert made.rows == 100_000
    assert "__index_level_0__" not in fields
    assert fields["origin"].categories == ("EWR", "JFK", "LGA")
    assert (fields["tailnum"].type, fields["dep_time"].type) == ("string", "float")
    assert fields["time_hour"].role == "time"
    assert made.fingerprint.startswith("2e9d54a9ac6ca48a")
    assert read_parts(made.parts, blobs).collect().height == 100_000


def test_weather_and_planes(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    weather = draft("weather.csv", blobs, key=("origin",), time="time_hour")
    gust = next(field for field in weather.fields if field.name == "wind_gust")
    assert (weather.rows, gust.type, round(gust.null_share, 3)) == (26_115, "float", 0.796)
    planes = draft("planes.csv", blobs, key=("tailnum",))
    assert planes.rows == 3_322
    assert [field.name for field in planes.fields if field.role == "key"] == ["tailnum"]
