"""Feature views at request time: a label is seen by the next prediction, whoever serves it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import polars as pl
import pytest

from holdfast.base import bundle
from holdfast.base.blobs import Blobs
from holdfast.base.clock import parse_time
from holdfast.base.encoding import to_msgpack
from holdfast.base.home import Home
from holdfast.data.records import Contract, FieldContract
from holdfast.features.online.opening import open_online
from holdfast.features.online.writing import forget_entity, write_view
from holdfast.features.records import FeatureView, FeatureViewSpec
from holdfast.registry.formats.linear_format import LinearModel
from holdfast.registry.records import ModelFile, Signature, SignatureColumn
from holdfast.rollout.records import Variant
from holdfast.serving.log import PredictionLog
from holdfast.serving.records import ServedVersion
from tests.features.online.conftest import URL
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


MORE_CODE = """

weather = hf.Table("weather", source="weather.csv", time="at", key="store")

@hf.features(ttl="2h", table=weather)
def rain(weather: pl.LazyFrame) -> pl.LazyFrame:
    return weather.select("time", "store", "rain")

@hf.request_features()
def wet(hr: int, rain: float | None, time) -> dict[str, float]:
    if hr == 23:
        raise ValueError("no wet at night")
    return {"wet": (rain or 0.0) * 100 + time.hour}
"""


def version_with_materialized_view(home: Home) -> tuple[ServedVersion, FeatureView]:
    """Answers hr + 10 × the count of the hour before + 100 × rain + hour, rain being materialized."""
    (home.root / "more").mkdir()
    base = version_with_view(home, 1)
    source = home.root / "more" / "bikes.py"
    source.write_text(CODE + MORE_CODE)
    blobs = Blobs(home.blobs)
    rain = FeatureViewSpec("rain", "weather", 2 * HOUR, 2 * HOUR, ("store",))
    wet = FeatureViewSpec("wet", "", 0, 0, kind="request", parameters=("hr", "rain", "time"))
    view = FeatureView("rain", 1, rain, ("rain",), "digest", 0, "me")
    data = to_msgpack(LinearModel((1.0, 10.0, 1.0), 0.0, False, (0.0, 0.0, 0.0)))
    signature = msgspec.structs.replace(
        base.signature, columns=(*base.signature.columns, SignatureColumn("wet", "float", "wet"))
    )
    changed = msgspec.structs.replace(
        base,
        signature=signature,
        files=(ModelFile("linear", "native", blobs.put(data), len(data)),),
        views=(*base.views, view, FeatureView("wet", 1, wet, ("wet",), "digest", 0, "me")),
        bundle=blobs.put(bundle.encode(bundle.pack(source))),
    )
    return changed, view


@pytest.mark.parametrize("kind", ["lmdb", pytest.param("redis", marks=pytest.mark.redis)])
def test_materialized_views_and_functions_of_the_request(
    home: Home, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "redis":
        redis = pytest.importorskip("redis")
        try:
            redis.Redis.from_url(URL).ping()
        except redis.exceptions.ConnectionError:
            pytest.skip(f"no Redis answers at {URL}")
        monkeypatch.setenv("HOLDFAST_ONLINE", URL)
    version, view = version_with_materialized_view(home)
    view = msgspec.structs.replace(
        view, digest=home.root.name
    )  # Redis is shared with whoever tests beside us
    version = msgspec.structs.replace(version, views=(version.views[0], view, version.views[2]))
    store = open_online(home, "default")
    midnight = parse_time("2012-01-01T00:00:00Z")
    rows = pl.DataFrame({"time": [midnight], "store": ["s1"], "rain": [0.5]}).with_columns(
        pl.col("time").cast(pl.Datetime("us"))
    )
    write_view(store, view, rows, midnight)
    deploy(home, 1, (Variant(1, "champion", 100),), (version,))
    with serving(home, "--clock", "simulated") as plane:
        assert ask(plane, 0) == 70 + 50
        assert ask(plane, 2) == 2 + 70 + 50 + 2
        write_view(store, view, rows.with_columns(rain=pl.lit(0.25)), midnight + HOUR)
        assert ask(plane, 1) == 1 + 70 + 25 + 1
        assert ask(plane, 3) == 3 + 70 + 0 + 3  # the rain of midnight is older than its TTL
        status, answer = plane.post(
            "/v1/predict/bikes",
            {"rows": [{"store": "s1", "day": "2012-01-01", "hr": 23}], "at": "2012-01-01T23:00:00Z"},
        )
        assert (status, answer["error"]["code"]) == (503, "request_feature")
        assert "wet raised ValueError: no wet at night" in answer["error"]["message"]
    forget_entity(store, view, ("s1",))
    store.close()
