"""Which columns become inputs, and what is said of those that do not; and what the user's function is handed."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from holdfast.base.errors import HoldfastError
from holdfast.data.contract import infer_fields
from holdfast.data.records import TableSpec
from holdfast.training.columns import choose_inputs
from holdfast.training.records import ModelSpec
from holdfast.training.training_set import Params

TABLE = TableSpec(
    "rides", None, "expression", True, time_roots=("day", "hour"), key=("station",), label="count"
)
SPEC = ModelSpec("demand", TABLE, "regression")


def frame(**more: Any) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "day": ["1/1/2011", "1/2/2011"],
            "hour": [0, 1],
            "station": [7, 8],
            "warm": [True, None],
            "when": pl.Series([0, None], dtype=pl.Datetime("us")),
            "sky": ["rain", "clear"],
            "empty": pl.Series([None, None], dtype=pl.String),
            "count": [1.0, 2.0],
            **more,
        }
    )


def test_key_label_and_textual_time_roots_are_no_inputs() -> None:
    rows = frame()
    inputs = choose_inputs(rows, infer_fields(rows, TABLE), SPEC, {})
    assert [(c.name, c.type, c.categories) for c in inputs.signature.columns] == [
        ("hour", "integer", None),
        ("warm", "boolean", None),
        ("sky", "string", ("clear", "rain")),
    ]
    assert inputs.warnings == (
        "when was left out: a column of type Datetime(time_unit='us', time_zone=None) is no input",
        "empty was left out: a string column with 0 different values",
    )


def test_many_categories_are_left_out_and_a_hundred_are_not() -> None:
    rows = pl.DataFrame({"a": [f"{n}" for n in range(101)], "b": [f"{n % 100}" for n in range(101)]})
    inputs = choose_inputs(rows, infer_fields(rows, TABLE), SPEC, {})
    assert [column.name for column in inputs.signature.columns] == ["b"]
    assert inputs.warnings == ("a was left out: a string column with 101 different values",)


def test_names_must_be_unique_and_something_must_remain() -> None:
    rows = frame()
    with pytest.raises(HoldfastError, match="demand has several inputs named hour"):
        choose_inputs(rows, infer_fields(rows, TABLE), SPEC, {"recent": ("hour",)})
    bare = rows.select("day", "station", "count")
    with pytest.raises(HoldfastError, match="has no column that demand could learn from"):
        choose_inputs(bare, infer_fields(bare, TABLE), SPEC, {})


def test_params_are_a_mapping_with_attributes() -> None:
    params = Params({"depth": 3, "rate": 0.1})
    assert (params.depth, params["rate"], {**params}) == (3, 0.1, {"depth": 3, "rate": 0.1})
    with pytest.raises(
        AttributeError, match="there is no parameter 'deep'; declared with params=: depth, rate"
    ):
        _ = params.deep
