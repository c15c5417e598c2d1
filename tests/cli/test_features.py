"""`holdfast features` as a user meets it: a real server, real files, the online store read back."""

from __future__ import annotations

import json

import msgspec
import pytest

from holdfast.base.client import Client
from holdfast.base.clock import MINUTE_US, SystemClock, format_time, parse_time
from holdfast.base.context import local_context
from holdfast.base.errors import HoldfastError
from holdfast.base.home import Home
from holdfast.features.online.opening import open_online
from holdfast.features.online_features import OnlineFeatures
from holdfast.features.records import FeatureView, PushRequest
from tests.cli.test_commands import end, refused
from tests.server.conftest import holdfast

FILE = '''
import holdfast as hf
import polars as pl

origin = hf.Entity("origin")
weather = hf.Table("weather", source="weather.csv", time="at", key="origin", available="published")
landings = hf.Table("landings", source="landings.csv", time="landed", key="carrier")


@hf.features(ttl="2h", entity=origin, table=weather, owner="ann", tags=["weather"])
def weather_now(weather: pl.LazyFrame) -> pl.LazyFrame:
    """The last published observation."""
    return weather.select("time", "available_at", "origin", "wind")


@hf.features(table=landings, aggregate=[hf.aggregate.mean("late", over=["1h", "1d"]), hf.aggregate.count(over="1d")])
def carrier_record(landings: pl.LazyFrame) -> pl.LazyFrame:
    return landings.select("time", "carrier", late=pl.col("delay") > 15)


delays = hf.FeatureService("delays", [weather_now, carrier_record.select("late_mean_1h")], owner="bob")
'''

WEATHER = """origin,at,published,wind
JFK,2013-01-01T06:00:00Z,2013-01-01T06:10:00Z,5
JFK,2013-01-01T07:00:00Z,2013-01-01T07:10:00Z,7
EWR,2013-01-01T07:00:00Z,2013-01-01T09:00:00Z,9
"""
LANDINGS = """carrier,landed,delay
UA,2013-01-01T06:30:00Z,20
UA,2013-01-01T07:00:00Z,0
AA,2013-01-01T05:00:00Z,90
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("features") / "home")
    yield home
    end(home)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("code")
    (folder / "delays.py").write_text(FILE)
    (folder / "weather.csv").write_text(WEATHER)
    (folder / "landings.csv").write_text(LANDINGS)
    return folder / "delays.py"


def said(home: Home, *arguments: str) -> str:
    done = holdfast(home, "features", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def online(home: Home, name: str, entity: str, at: str) -> tuple | None:
    """What a serving worker would read: the store is opened anew, as by another process."""
    view = msgspec.convert(json.loads(said(home, "show", name, "--json"))["view"], FeatureView)
    store = open_online(home, "default", "")
    try:
        return store.lookup(view, [(entity,)], parse_time(at))[0]
    finally:
        store.close()


def test_register_list_show_and_versions(home, file):
    assert said(home, "register", str(file)).splitlines() == [
        "features/weather_now@1: wind",
        "features/carrier_record@1: late_mean_1h, late_mean_1d, count_1d",
        "feature-services/delays@1: features/weather_now@1, features/carrier_record@1",
    ]
    assert said(home, "register", str(file)).count("@1: ") == 3  # nothing has changed
    listed = said(home, "list")
    for word in ("weather_now", "carrier_record", "delays", "ann", "origin", "2h", "landings"):
        assert word in listed
    assert "The last published observation." in said(home, "show", "weather_now")
    assert json.loads(said(home, "show", "delays", "--json"))["service"]["spec"]["owner"] == "bob"
    refused(holdfast(home, "features", "show", "nothing"), "there is no feature view 'nothing'")
    file.write_text(FILE.replace("> 15", "> 10"))
    again = said(home, "register", str(file)).splitlines()
    assert [line.partition(":")[0] for line in again] == [
        "features/weather_now@1",
        "features/carrier_record@2",
        "feature-services/delays@2",
    ]
    file.write_text(FILE)
    assert "features/carrier_record@1" in said(home, "register", str(file))


def test_materialize_goes_on_where_it_ended(home, file):
    said(home, "register", str(file))
    first = said(home, "materialize", "weather_now", "--to", "2013-01-01T08:00:00Z")
    assert first == (
        "features/weather_now@1: 2 rows of 1 entities from the beginning to 2013-01-01T08:00:00Z\n"
    )
    assert online(home, "weather_now", "JFK", "2013-01-01T08:00:00Z") == (7,)
    assert online(home, "weather_now", "EWR", "2013-01-01T08:00:00Z") is None
    second = said(home, "materialize", "weather_now", "--to", "2013-01-01T09:00:00Z")
    assert "1 rows of 1 entities" in second
    assert online(home, "weather_now", "EWR", "2013-01-01T09:00:00Z") == (9,)
    assert online(home, "weather_now", "EWR", "2013-01-01T09:00:01Z") is None  # older than its TTL
    assert "materialized weather_now@1 to 2013-01-01T09:00:00Z" in said(home, "show", "weather_now")
    done = json.loads(said(home, "materialize", "delays", "--to", "2013-01-01T09:30:00Z", "--json"))
    assert [item["view"] for item in done] == ["features/weather_now@1", "features/carrier_record@2"]
    refused(
        holdfast(home, "features", "materialize", "delays", "--from", "2013-01-02", "--to", "2013-01-01"),
        "--from is not before --to",
    )


def test_push_and_forget(home, file):
    said(home, "register", str(file))
    client = Client(home.server().url, local_context("default"))

    def push(*rows: dict, name: str = "carrier_record", version: str = "1"):
        return client.call(OnlineFeatures.push, PushRequest(name, rows, version))

    now = SystemClock().now()
    landed = {"time": format_time(now - 10 * MINUTE_US), "carrier": "UA", "late": True}
    assert push(landed, landed | {"carrier": "B6"}).entities == 2
    assert push(landed).rows == 1  # again, as after a time-out
    shown = json.loads(said(home, "show", "carrier_record", "--version", "1", "--json"))["view"]
    view = msgspec.convert(shown, FeatureView)
    store = open_online(home, "default", "")
    assert push(landed | {"time": format_time(now - 90 * MINUTE_US), "late": False}).rows == 1  # late
    read = store.lookup(view, [("UA",), ("B6",)], now + MINUTE_US)
    assert read == [(1.0, 0.5, 2), (1.0, 1.0, 1)]
    said(home, "forget", "carrier=UA")
    assert store.lookup(view, [("UA",), ("B6",)], now + MINUTE_US) == [None, read[1]]
    store.close()
    assert "no view had anything" in said(home, "forget", "carrier=UA")
    refused(holdfast(home, "features", "forget", "carrier"), "is not a key and its value")
    for row, says in (
        ({"time": "2013-01-01", "carrier": "UA"}, "row 1 lacks 'late'"),
        (landed | {"speed": 1}, "row 1 has 'speed', which carrier_record does not know"),
        (landed | {"time": "soon"}, "row 1: time 'soon' is not an ISO 8601 time"),
        (landed | {"late": [1]}, "the values of 'late' are of the kinds list"),
    ):
        with pytest.raises(HoldfastError, match=says) as error:
            push(row)
        assert error.value.remote_status == 400


def test_what_cannot_be_registered_says_why(home, tmp_path):
    path = tmp_path / "views.py"
    for text, says in (
        ("x = 1", "declares no feature view over a table"),
        (FILE, "weather.csv, which is not a file"),
        (FILE.replace('source="weather.csv"', "source=None"), "has no source"),
    ):
        path.write_text(text)
        refused(holdfast(home, "features", "register", str(path)), says)
