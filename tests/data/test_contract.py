"""Contracts inferred from frames, checked on frames, and agreeing with the serving door."""
# ruff: noqa: DTZ001 (times of rows are naive and in UTC)

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.base.errors import InvalidError
from holdfast.data.checking import check_frame
from holdfast.data.contract import conform_frame, infer_fields
from holdfast.data.decoder import compile_decoder
from holdfast.data.errors import TableError
from holdfast.data.records import Contract, FieldContract, TableSpec

SPEC = TableSpec(
    "rides",
    None,
    "<expression>",
    time_is_expression=True,
    time_roots=("day", "hr"),
    key=("city",),
    label="cnt",
)
FRAME = pl.DataFrame(
    {
        "day": ["1/1/2011", "1/2/2011"],
        "hr": [0, 23],
        "city": ["a", "b"],
        "temp": [0.25, None],
        "holiday": [True, False],
        "cnt": [3, 8],
        "seen": [datetime(2011, 1, 1), datetime(2011, 1, 2)],
        "time": [datetime(2011, 1, 1), datetime(2011, 1, 2, 23)],
        "_row_id": ["", ""],
    }
)


def test_fields_are_inferred_with_roles_ranges_and_nulls() -> None:
    assert infer_fields(FRAME, SPEC) == (
        FieldContract("day", "string", "time", categories=("1/1/2011", "1/2/2011")),
        FieldContract("hr", "integer", minimum=0.0, maximum=23.0),
        FieldContract("city", "string", "key", categories=("a", "b")),
        FieldContract("temp", "float", required=False, minimum=0.25, maximum=0.25, null_share=0.5),
        FieldContract("holiday", "boolean"),
        FieldContract("cnt", "float", "label", minimum=3.0, maximum=8.0),
        FieldContract("seen", "datetime"),
    )


def test_many_different_texts_are_no_categories() -> None:
    for distinct, expected in ((100, 100), (101, None)):
        frame = pl.DataFrame({"name": [f"n{number:03}" for number in range(distinct)]})
        (field,) = infer_fields(frame, TableSpec("t", None, "at"))
        assert (field.categories and len(field.categories)) == expected


def test_a_nested_column_must_be_dropped() -> None:
    with pytest.raises(TableError, match=r"column 'tags' is of type List.*drop="):
        infer_fields(pl.DataFrame({"tags": [[1]]}), SPEC)


def test_a_good_frame_has_no_violations() -> None:
    contract = Contract("rides", 1, infer_fields(FRAME, SPEC))
    assert check_frame(FRAME.drop("time", "_row_id"), contract) == []


def test_violations_say_how_often_and_what() -> None:
    contract = Contract("rides", 1, infer_fields(FRAME, SPEC))
    frame = pl.DataFrame(
        {
            "hr": [1, 24, 25],
            "city": ["a", "c", None],
            "temp": ["warm", "cold", None],
            "holiday": [True, True, True],
            "seen": ["2011-01-01", "yesterday", "2011-01-01T00:00:00Z"],
            "wind": [1, 2, 3],
        }
    )
    found = {(violation.field, violation.kind): violation for violation in check_frame(frame, contract)}
    assert {key: (value.count, value.severity) for key, value in found.items()} == {
        ("wind", "unknown_field"): (3, "error"),
        ("day", "missing_field"): (3, "error"),
        ("hr", "range"): (2, "warning"),
        ("city", "invalid_field"): (1, "error"),
        ("city", "category"): (1, "warning"),
        ("temp", "invalid_field"): (2, "error"),
        ("seen", "invalid_field"): (1, "error"),
    }
    assert found["hr", "range"].examples == ("24", "25")
    assert found["temp", "invalid_field"].message == (
        "temp: 'warm' is not a number; rides@1 expects float in 0.25..0.25 or null"
    )


def test_hard_fields_make_errors_of_ranges() -> None:
    contract = Contract("t", 1, (FieldContract("x", "float", minimum=0.0, maximum=1.0, hard=True),))
    (violation,) = check_frame(pl.DataFrame({"x": [2.0]}), contract)
    assert (violation.kind, violation.severity) == ("range", "error")


def test_conforming_changes_types_but_no_value() -> None:
    fields = (
        FieldContract("x", "float"),
        FieldContract("at", "datetime"),
        FieldContract("y", "integer", required=False),
    )
    frame = pl.DataFrame({"at": ["2011-01-01T02:00:00+01:00"], "x": [1], "_row_id": ["p"]})
    conformed = conform_frame(frame, fields)
    assert conformed.columns == ["x", "at", "y", "_row_id"]
    assert conformed.row(0) == (1.0, datetime(2011, 1, 1, 1), None, "p")
    with pytest.raises(TableError, match=r"y: 1\.7 is not an integer"):
        conform_frame(frame.with_columns(y=pl.lit(1.7)), fields)
    with pytest.raises(TableError, match="'x' is missing"):
        conform_frame(frame.drop("x"), fields)


_TYPES = ("float", "integer", "string", "boolean", "datetime")
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "float": st.floats(allow_nan=False, allow_infinity=False, width=32),
    "integer": st.integers(-(2**63), 2**63 - 1),
    "string": st.sampled_from(
        ["a", "b", "zebra", "", "é", "2011-02-28", "2011-02-30", "2011-02-28T07:00", "2011-02-28\n", "b\n"]
    ),
    "boolean": st.booleans(),
    "datetime": st.datetimes(datetime(1980, 1, 1), datetime(2100, 1, 1)).map(lambda at: at.isoformat() + "Z"),
}
_POLARS = {
    "float": pl.Float64,
    "integer": pl.Int64,
    "string": pl.String,
    "boolean": pl.Boolean,
    "datetime": pl.String,
}


@st.composite
def contracts_and_columns(draw: st.DrawFn) -> tuple[Contract, dict[str, tuple[str, list[Any]]]]:
    fields, columns = [], {}
    rows = draw(st.integers(1, 4))
    for index in range(draw(st.integers(1, 4))):
        name, type_ = f"c{index}", draw(st.sampled_from(_TYPES))
        bounds = (
            sorted(draw(st.tuples(*[st.floats(-10, 10)] * 2)))
            if type_ in ("float", "integer")
            else (None, None)
        )
        categories = ("a", "b") if type_ == "string" and draw(st.booleans()) else None
        format_ = pattern = None
        if type_ == "string" and draw(st.booleans()):
            format_, pattern = draw(
                st.sampled_from([("date", None), ("datetime", None), (None, r"\w+(?<!a)")])
            )
        role = draw(st.sampled_from(["feature", "time"])) if type_ == "string" else "feature"
        required, hard = draw(st.booleans()), draw(st.integers(0, 4)) == 0
        fields.append(
            FieldContract(
                name,
                type_,
                role,
                required=required,
                minimum=bounds[0],
                maximum=bounds[1],
                categories=categories,
                hard=hard,
                format=format_,
                pattern=pattern,
            )
        )
        sent = type_ if draw(st.integers(0, 5)) else draw(st.sampled_from(_TYPES))
        value = _VALUES[sent] if draw(st.integers(0, 5)) else st.none() | _VALUES[sent]
        if draw(st.integers(0, 9)):
            columns[name] = (sent, draw(st.lists(value, min_size=rows, max_size=rows)))
    if not columns or draw(st.integers(0, 9)) == 0:
        columns["extra"] = ("float", [1.0] * rows)
    return Contract("t", 1, tuple(fields)), columns


@settings(max_examples=300, deadline=None)
@given(contracts_and_columns())
def test_frame_check_and_request_check_agree(case: tuple[Contract, dict[str, tuple[str, list[Any]]]]) -> None:
    contract, columns = case
    frame = pl.DataFrame(
        [pl.Series(name, values, _POLARS[type_]) for name, (type_, values) in columns.items()]
    )
    violations = check_frame(frame, contract)
    decoder = compile_decoder(contract)
    rows = json.dumps([dict(row) for row in frame.iter_rows(named=True)]).encode()
    outcomes = []
    for attempt in (
        lambda: decoder.decode_rows(rows),
        lambda: decoder.decode_columns({name: values for name, (_, values) in columns.items()}),
    ):
        try:
            outcomes.append(attempt())
        except InvalidError as error:
            outcomes.append(error)
    refused = [isinstance(outcome, InvalidError) for outcome in outcomes]
    assert refused == [any(violation.severity == "error" for violation in violations)] * 2
    if not refused[0]:
        flagged = [f"{violation.field}:{violation.kind}" for violation in violations]
        assert outcomes[0].flags == outcomes[1].flags == flagged
        assert outcomes[0].columns == outcomes[1].columns
        assert [len(column) for column in outcomes[0].columns] == [frame.height] * len(contract.fields)
