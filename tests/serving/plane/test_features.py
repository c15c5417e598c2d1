"""Feature views at request time: a label is seen by the next prediction, whoever serves it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import polars as pl
import pytest

from holdfast.base import bundle
from holdfast.base.blobs import Blobs
from holdfast.base.encoding import to_msgpack
from holdfast.base.home import Home
from holdfast.data.records import Contract, FieldContract
from holdfast.features.records import FeatureView, FeatureViewSpec
from holdfast.registry.formats.linear_format import LinearModel
from holdfast.registry.records import ModelFile, Signature, SignatureColumn
from holdfast.rollout.records import Variant
from holdfast.serving.log import PredictionLog
from holdfast.serving.records import ServedVersion
from tests.serving.plane.world import KEY, Plane, deploy, serving, wait

CODE = """
import holdfast as hf
import polars as pl

rides = hf.Table("rides", time=pl.col("day").str.to_datetime("%Y-%m-%d") + pl.duration(hours="hr"),
                 label="cnt", key="store")

@hf.features(ttl="2d", table=rides)
def last_count(rides: pl.LazyFrame) -> pl.LazyFrame:
    return rides.select(pl.col("time") + pl.duration(hours=1), "store", pl.col("cnt").alias("cnt_before"))
"""
HOUR = 3_600_000_000
CONTRACT = Contract(
    "rides",
    1,
    (
        FieldContract("store", "string", role="key"),
        FieldContract("day", "string", role="time"),
        FieldContract("hr", "integer"),
        FieldContract("cnt", "float", role="label"),
    ),
)


def version_with_view(home: Home, number: int) -> ServedVersion:
    """Answers 1000 × version + hr + 10 × the count of the hour before."""
    blobs = Blobs(home.blobs)
    source = home.root / "bikes.py"
    source.write_text(CODE)
    packed = blobs.put(bundle.encode(bundle.pack(source)))
    data = to_msgpack(LinearModel((1.0, 10.0), 1000.0 * number, False, (0.0, 0.0)))
    spec = FeatureViewSpec("last_count", "rides", 48 * HOUR, 48 * HOUR, ("store",))
    history = home.root / "history.parquet"
    moment = pl.datetime(2011, 12, 31, 23, time_unit="us")
    pl.DataFrame(
        {"store": ["s1"], "day": ["2011-12-31"], "hr": [23], "cnt": [7.0], "_row_id": [""]}
    ).with_columns(
        moment.alias("time"), (moment + pl.duration(hours=1)).alias("_available_at")
    ).write_parquet(history)
    return ServedVersion(
        number,
        Signature(
            (SignatureColumn("hr", "integer"), SignatureColumn("cnt_before", "float", "last_count")),
            "regression",
            "cnt",
        ),
        (ModelFile("linear", "native", blobs.put(data), len(data)),),
        CONTRACT,
        "cnt",
        "day",
        ("store",),
        (FeatureView("last_count", 1, spec, ("cnt_before",), "digest", 0, "me"),),
        packed,
        "bikes.py",
        blobs.put_file(history),
    )


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    made.prepare()
    return made


def ask(plane: Plane, hour: int, store: str = "s1") -> float:
    row = {"store": store, "day": "2012-01-01", "hr": hour}
    answer = plane.predict([row], id=f"{store}-{hour}", at=f"2012-01-01T{hour:02}:00:00Z")
    return float(answer["predictions"][0]["value"])


def test_a_label_reaches_the_next_prediction_and_outlives_the_process(home: Home) -> None:
    first = version_with_view(home, 1)
    deploy(
        home, 1, (Variant(1, "champion", 100), Variant(2, "shadow", 0)), (first, version_with_view(home, 2))
    )
    with serving(home, "--clock", "simulated") as plane:
        assert ask(plane, 0) == 1000 + 70  # from the history that the version brought
        assert ask(plane, 0, "s2") == 1000
        label = {"id": "p_s1-0.0", "value": 5, "at": "2012-01-01T01:00:00Z"}
        assert plane.post("/v1/labels/bikes", {"labels": [label]}) == (200, {"accepted": 1})
        assert ask(plane, 1) == 1001 + 50
        assert ask(plane, 1, "s2") == 1001
        by_time = {
            "time": "2012-01-01T01:00:00Z",
            "entity": {"store": "s2"},
            "value": 9,
            "at": "2012-01-01T02:00:00Z",
        }
        assert plane.post("/v1/labels/bikes", {"labels": [by_time]}) == (200, {"accepted": 1})
        assert ask(plane, 2, "s2") == 1002 + 90
        plane.settle()
    log = PredictionLog(home)
    rows = log.predictions(KEY).filter(request_id="s1-1").sort("shadow")
    assert rows.select("version", "output", "feature.cnt_before").rows() == [
        (1, 1051.0, 5.0),
        (2, 2051.0, 5.0),
    ]
    assert log.labels(KEY).select("prediction_id", "value").rows() == [("p_s1-0.0", 5.0), ("p_s2-1.0", 9.0)]
    with serving(home, "--clock", "simulated") as plane:
        assert ask(plane, 3, "s2") == 1003 + 90


def test_a_time_that_cannot_be_computed_is_the_callers_mistake(home: Home) -> None:
    deploy(home, 1, (Variant(1, "champion", 100),), (version_with_view(home, 1),))
    with serving(home) as plane:
        status, answer = plane.post("/v1/predict/bikes", {"rows": [{"store": "s1", "day": "soon", "hr": 1}]})
        assert status == 400, answer
        assert plane.predict([{"store": "s1", "day": "2012-01-01", "hr": 1}])["version"] == "1"


def test_a_version_whose_code_is_broken_does_not_replace_the_one_that_runs(home: Home) -> None:
    good = version_with_view(home, 1)
    deploy(home, 1, (Variant(1, "champion", 100),), (good,))
    with serving(home) as plane:
        (home.root / "broken.py").write_text("raise ValueError('no')")
        packed = Blobs(home.blobs).put(bundle.encode(bundle.pack(home.root / "broken.py")))
        bad = msgspec.structs.replace(good, version=2, bundle=packed, entry="broken.py")
        deploy(home, 2, (Variant(2, "champion", 100),), (bad,))
        wait(lambda: plane.get("/v1/deployments/bikes")[1]["problem"])
        served = plane.get("/v1/deployments/bikes")[1]
        assert (served["revision"], "ValueError: no" in served["problem"]) == (1, True)
        deploy(home, 3, (Variant(1, "champion", 100),), (good,))
        wait(lambda: plane.get("/v1/deployments/bikes")[1]["revision"] == 3)
        assert plane.get("/v1/deployments/bikes")[1]["problem"] is None
