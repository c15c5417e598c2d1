"""The example of the flights, on the real data: trained, materialized, served by entity, and without skew."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

import holdfast as hf
from holdfast.base import bundle
from holdfast.base.home import Home
from holdfast.serving.log import DeploymentKey, PredictionLog
from tests.cli.test_commands import end
from tests.server.conftest import holdfast
from tests.serving.plane.world import serving, wait

EXAMPLE = Path(__file__).parents[2] / "examples" / "flights"
DATA = Path(os.environ.get("HOLDFAST_DATA") or Path(__file__).parents[2] / "../shared/data")
NOW = "2013-11-30T00:00:00Z"


@pytest.mark.slow
@pytest.mark.data
def test_served_features_are_those_that_training_would_have_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (DATA / "nyc_flights").is_dir():
        pytest.skip(f"no nyc_flights in {DATA}; set HOLDFAST_DATA")
    for name in ("flights.py", "prepare.py"):
        shutil.copy(EXAMPLE / name, tmp_path / name)
    monkeypatch.setenv("HOLDFAST_FLIGHTS", str(tmp_path / "data"))
    monkeypatch.setenv("HOLDFAST_DATA", str(DATA))
    subprocess.run([sys.executable, "prepare.py", "data"], cwd=tmp_path, check=True)
    home = Home(tmp_path / "home")

    def run(*arguments: str) -> str:
        done = holdfast(home, *arguments, timeout=200)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    from holdfast.cli.session import start_server

    start_server(home, ["--port", "0", "--clock", "simulated", "--from", NOW], detached=True)
    try:
        assert "flight-delays version 1 is gated" in run("train", "flights.py")
        assert "features/carrier_record@1" in run("features", "register", "flights.py")
        assert run("features", "materialize", "delays").count(f"to {NOW}") == 4
        run("deploy", "flight-delays")
        flights = pl.read_parquet(tmp_path / "data" / "flights.parquet")
        soon = flights.filter(pl.col("departs").is_between(_time(NOW), datetime(2013, 11, 30, 13)))  # noqa: DTZ001
        asked = soon.drop("late").head(40)
        rows = asked.with_columns(pl.col("departs").dt.strftime("%Y-%m-%dT%H:%M:%SZ")).to_dicts()
        with serving(home, "--clock", "simulated") as plane:
            wait(lambda: plane.get("/v1/deployments/flight-delays")[0] == 200)
            status, answer = plane.post("/v1/predict/flight-delays", {"id": "x", "at": NOW, "rows": rows})
            assert status == 200, answer
            assert all(0 < item["value"] < 1 for item in answer["predictions"])
    finally:
        end(home)
    served = PredictionLog(home).predictions(DeploymentKey("default", "production", "flight-delays"))
    module = bundle.load(tmp_path, "flights.py")
    views = [module.weather_now, module.plane_register, module.carrier_record, module.origin_record]
    offline = hf.training_frame(views, asked.with_columns(time=pl.lit(_time(NOW))))
    compared = [
        name for name in offline.columns if f"feature.{name}" in served.columns and name not in asked.columns
    ]
    assert len(compared) == 15
    for name in compared:
        one = served[f"feature.{name}"].cast(pl.Float64).fill_nan(None)
        other = offline[name].cast(pl.Float64)
        assert one.to_list() == other.to_list(), name
    assert offline["carrier_late_7d"].null_count() < 5


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=None)
