"""Declarations build specs, and wrong ones fail where they are written, with the remedy."""

from __future__ import annotations

import sys

import polars as pl
import pytest

import holdfast as hf
from holdfast.base import bundle
from holdfast.base.clock import DAY_US, HOUR_US
from holdfast.base.errors import DeclarationError
from holdfast.features.records import ServiceMember


def table(**changes):
    arguments = {"source": "rides.csv", "time": "at", "label": "cnt", "label_delay": "1h"}
    return hf.Table("rides", **{**arguments, **changes})


def test_a_whole_model_becomes_one_spec():
    rides = table(key="station", drop=["casual"])

    @hf.features(ttl="14d", lookback="15d")
    def history(rides):
        """Demand before."""

    @hf.model(
        "bike-demand",
        table=rides,
        features=[history],
        task="regression",
        gates=[hf.at_most("mae", 60), hf.no_worse_than_production("mae", margin=0.02)],
        rollout=hf.canary(steps=[5, 25, 100], hold="30m"),
        retrain=hf.retrain(every="30d", on=["drift"], cooldown="3d"),
        monitor=hf.monitor(window="3d", every="6h"),
        holdout="21d",
        params={"depth": 3},
    )
    def train(data, params): ...

    spec = train.__holdfast_model__
    assert (spec.model.name, spec.model.task, spec.model.holdout_us) == (
        "bike-demand",
        "regression",
        21 * DAY_US,
    )
    assert spec.model.table.label_delay_us == HOUR_US
    assert spec.model.features[0].name == "history"
    assert (spec.model.features[0].entity, spec.model.features[0].lookback_us) == (("station",), 15 * DAY_US)
    assert [str(gate) for gate in spec.model.gates] == [
        "mae ≤ 60",
        "mae no worse than production (margin 2.0%)",
    ]
    assert spec.rollout.steps == (5, 25, 100)
    assert (spec.retrain.every_us, spec.retrain.on) == (30 * DAY_US, ("drift",))
    assert spec.monitor.every_us == 6 * HOUR_US


def test_a_time_may_be_an_expression_and_names_its_roots():
    rides = table(time=pl.col("day").str.to_datetime("%Y-%m-%d") + pl.duration(hours="hr"))
    assert rides.spec.time_is_expression
    assert rides.spec.time_roots == ("day", "hr")


def test_changing_the_code_of_a_feature_changes_its_digest():
    @hf.features(ttl="1d")
    def view(rides):
        return 1

    first = view.__holdfast_features__.code_digest

    @hf.features(ttl="1d")
    def view(rides):
        return 2

    assert view.__holdfast_features__.code_digest != first


def lonely(): ...


@pytest.mark.parametrize(
    ("declare", "says"),
    [
        (
            lambda: table(label_delay="soon"),
            "label_delay: 'soon' is not a duration; write a number and a unit",
        ),
        (lambda: table(time=3), "time: 3 is neither a column name nor a polars expression"),
        (lambda: table(time=""), "an empty name is not a column"),
        (lambda: table(drop=["cnt"]), "'cnt' is the label and dropped at once; take it out of drop"),
        (lambda: table(label="at"), "the label 'at' cannot be the key or the time"),
        (lambda: table(key=[3]), "key: .* is not a column name"),
        (lambda: hf.Table("a/b", time="at"), "'a/b' is not a name for a table"),
        (lambda: hf.features(ttl="-1d", table=table())(lonely), "ttl: '-1d' is not a duration"),
        (lambda: hf.features(ttl="1d")(lonely), "lonely: a feature function takes exactly one parameter"),
        (lambda: hf.at_most("mae", "low"), "'low' is not a finite number"),
        (lambda: hf.at_most("mae", float("nan")), "is not a finite number"),
        (lambda: hf.at_most("mae", 1, min_rows=0), "min_rows: 0 is not a whole number of at least 1"),
        (lambda: hf.no_worse_than_production("mae", margin=2), "margin: 2 is not a share between 0 and 1"),
        (lambda: hf.canary(steps=[25, 5, 100]), "write growing percentages that end with 100"),
        (lambda: hf.canary(steps=[5, 25]), "write growing percentages that end with 100"),
        (lambda: hf.canary(hold="later"), "hold: 'later' is not a duration"),
        (lambda: hf.shadow_then_switch(days=0), "days: 0 is not more than 0"),
        (lambda: hf.retrain(), "neither every nor on is given"),
        (lambda: hf.retrain(on=["boredom"]), "on: 'boredom' is not known; valid are drift, performance"),
        (lambda: hf.monitor(alpha=2), "alpha: 2 is not between 0 and 1"),
        (
            lambda: hf.model("m", table=table(), task="ranking"),
            "task: 'ranking' is not known; valid are binary",
        ),
        (lambda: hf.model("m", table=table(label=None), task="binary"), "a model needs a table with a label"),
        (lambda: hf.model("m", table=table(), task="binary", gates=["mae"]), "write hf.at_most"),
        (
            lambda: hf.model("m", table=table(), task="binary", gates=[hf.at_most("mae", 1)]),
            "mae",
        ),
        (
            lambda: hf.model("m", table=table(), task="regression", gates=[hf.at_most("speed", 1)]),
            "speed",
        ),
        (lambda: hf.model("m", table=table(), task="regression", features=[print]), "put @hf.features"),
    ],
)
def test_a_wrong_declaration_says_what_and_how_to_mend_it(declare, says):
    with pytest.raises(DeclarationError, match=says):
        declare()


def test_features_over_another_table_are_refused():
    @hf.features(ttl="1d")
    def view(weather): ...

    with pytest.raises(DeclarationError, match="declared over the table 'weather', the model over 'rides'"):
        hf.model("m", table=table(), task="regression", features=[view])


def test_an_unknown_public_name_lists_the_known_ones():
    with pytest.raises(AttributeError, match=r"no attribute 'Tabel'; it has .*Table"):
        hf.Tabel  # noqa: B018


def test_aggregations_are_declared_over_windows_and_named_by_them():
    shop = hf.Entity("shop", keys=["country", "shop"])
    visits = table(key="ignored")

    @hf.features(
        entity=shop,
        table=visits,
        owner="ann",
        tags=["money"],
        aggregate=[
            hf.aggregate.sum("paid", over=["1h", "7d"]),
            hf.aggregate.count(over="90m", name="visits"),
        ],
    )
    def spent(visits):
        """What was spent."""

    spec = spent.__holdfast_features__
    assert [one.name for one in spec.aggregations] == ["paid_sum_1h", "paid_sum_7d", "visits_90m"]
    assert (spec.entity, spec.entity_name, spec.owner, spec.tags) == (
        ("country", "shop"),
        "shop",
        "ann",
        ("money",),
    )
    assert (spec.ttl_us, spec.lookback_us, spec.inputs) == (7 * DAY_US, 7 * DAY_US, ("paid",))
    service = hf.FeatureService("checkout", [spent.select("visits_90m")], owner="bob")
    assert service.spec.members == (ServiceMember("spent", ("visits_90m",)),)


@pytest.mark.parametrize(
    ("declare", "says"),
    [
        (lambda: hf.aggregate.sum("paid", over=[]), "no window is given"),
        (lambda: hf.aggregate.sum("paid", over="0s"), "a window cannot be empty"),
        (lambda: hf.aggregate.mean(None, over="1h"), "None is not a column name"),
        (
            lambda: hf.features(aggregate=[hf.aggregate.sum("a", over="1h")] * 2),
            "'?a_sum_1h'? is declared twice",
        ),
        (lambda: hf.features(aggregate=["sum"]), "does not belong here"),
        (lambda: hf.features(table=table()), "say how long a value may be used"),
        (lambda: hf.FeatureService("s", []), "it has no features"),
        (lambda: hf.FeatureService("s", [len]), "is not a feature view"),
        (lambda: hf.request_features()(lambda *values: {}), "takes its fields by name"),
        (lambda: hf.Entity("no name"), "is not a name"),
    ],
)
def test_a_wrong_feature_says_what_and_how_to_mend_it(declare, says):
    with pytest.raises(DeclarationError, match=says):
        declare()


PROJECT = {
    "helpers.py": "RATE = 2\ndef scale(x): return x * RATE\n",
    "unused.py": "x = 1\n",
    "model.py": """
import holdfast as hf
import helpers
import unused
from helpers import scale
LIMIT = 5
OTHER = 6
def own(x): return x + LIMIT
@hf.features(ttl="1d")
def view(t): return t.select(own(1) + scale(2))
""",
}


@pytest.mark.parametrize(
    ("file", "old", "new", "changes"),
    [
        ("model.py", "own(1)", "own(2)", True),
        ("model.py", "x + LIMIT", "x - LIMIT", True),
        ("model.py", "LIMIT = 5", "LIMIT = 7", True),
        ("helpers.py", "RATE = 2", "RATE = 3", True),
        ("model.py", "OTHER = 6", "OTHER = 7", False),
        ("unused.py", "x = 1", "x = 2", False),
    ],
)
def test_the_code_of_a_feature_is_all_that_it_uses_and_no_more(tmp_path, file, old, new, changes):
    digests = []
    for changed in (False, True):
        folder = tmp_path / str(changed)
        folder.mkdir()
        for name, text in PROJECT.items():
            (folder / name).write_text(text.replace(old, new) if changed and name == file else text)
        for name in ("helpers", "unused"):
            sys.modules.pop(name, None)
        module = bundle.load(folder, "model.py")
        digests.append(module.view.__holdfast_features__.code_digest)
        for name in ("helpers", "unused"):
            sys.modules.pop(name, None)
    assert (digests[0] != digests[1]) == changes
