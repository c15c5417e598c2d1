"""The serving door: what passes, what is flagged, and the words of a refusal."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest

from holdfast.base.errors import InvalidError
from holdfast.data.decoder import RowDecoder, compile_decoder
from holdfast.data.records import Contract, FieldContract

CONTRACT = Contract(
    "rides",
    1,
    (
        FieldContract("temp", "float", minimum=0.0, maximum=1.0),
        FieldContract("hour of day", "integer", minimum=0.0, maximum=23.0),
        FieldContract("class", "string", categories=("clear", "rain"), required=False),
        FieldContract("holiday", "boolean", required=False),
        FieldContract("at", "datetime", "time", required=False),
        FieldContract("cnt", "float", "label", minimum=1.0, maximum=900.0),
    ),
)
ROW: dict[str, Any] = {"temp": 0.5, "hour of day": 7, "class": "rain", "holiday": True, "at": "2012-01-01"}


@pytest.fixture(scope="module")
def decoder() -> RowDecoder:
    return compile_decoder(CONTRACT)


def test_rows_become_columns_in_the_contracts_order(decoder: RowDecoder) -> None:
    other = {"hour of day": 8, "temp": 1, "at": "2012-01-01T02:00:00+02:00"}
    columns, flags = decoder.decode_rows(msgspec.Raw(json.dumps([ROW, other]).encode()))
    assert columns == [
        [0.5, 1.0],
        [7, 8],
        ["rain", None],
        [True, None],
        ["2012-01-01T00:00:00Z", "2012-01-01T00:00:00Z"],
    ]
    assert isinstance(columns[0][1], float)
    assert flags == []


def test_leaving_ranges_and_categories_is_flagged_once_and_accepted(decoder: RowDecoder) -> None:
    rows = [ROW | {"temp": 1.5, "class": "snow"}, ROW | {"temp": -1, "class": None}]
    columns, flags = decoder.decode_rows(json.dumps(rows).encode())
    assert columns[0] == [1.5, -1.0]
    assert flags == ["temp:range", "class:category"]
    assert decoder.decode_columns({name: [row[name] for row in rows] for name in ROW}) == (columns, flags)


@pytest.mark.parametrize(
    ("row", "code", "field", "message"),
    [
        (
            ROW | {"temp": "warm"},
            "invalid_field",
            "temp",
            "temp: 'warm' is not a number; rides@1 expects float in 0..1",
        ),
        (
            ROW | {"temp": None},
            "invalid_field",
            "temp",
            "temp: null is not allowed; rides@1 expects float in 0..1",
        ),
        (
            ROW | {"temp": True},
            "invalid_field",
            "temp",
            "temp: true is not a number; rides@1 expects float in 0..1",
        ),
        (
            ROW | {"hour of day": 7.5},
            "invalid_field",
            "hour of day",
            "hour of day: 7.5 is not an integer; rides@1 expects integer in 0..23",
        ),
        (
            ROW | {"hour of day": 2**64},
            "invalid_field",
            "hour of day",
            "hour of day: 18446744073709551616 is beyond 64 bits; rides@1 expects integer in 0..23",
        ),
        (
            ROW | {"class": 3},
            "invalid_field",
            "class",
            "class: 3 is not a string; rides@1 expects string, one of 'clear', 'rain', or null",
        ),
        (
            ROW | {"at": "1/1/2012"},
            "invalid_field",
            "at",
            "at: '1/1/2012' is not an ISO 8601 time; rides@1 expects datetime or null",
        ),
        ({"hour of day": 7}, "missing_field", "temp", "temp is missing; rides@1 expects float in 0..1"),
        (
            {"hour of day": 7, "Tmp": 0.3},
            "missing_field",
            "temp",
            "temp is missing ('Tmp' was sent); rides@1 expects float in 0..1",
        ),
        (
            ROW | {"wind": 3},
            "unknown_field",
            "wind",
            "wind: rides@1 has no such field; its fields are: temp, hour of day, class, holiday, at",
        ),
        (
            ROW | {"cnt": 3},
            "unknown_field",
            "cnt",
            "cnt is the label, which the model predicts; leave it out of the request",
        ),
    ],
)
def test_a_refusal_says_what_and_what_was_expected(
    decoder: RowDecoder, row: dict[str, Any], code: str, field: str, message: str
) -> None:
    with pytest.raises(InvalidError) as caught:
        decoder.decode_rows(json.dumps([ROW, row]).encode())
    body = caught.value.envelope().error
    assert (body.code, body.field, body.message) == (code, f"rows[1].{field}", message)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"[]", "invalid_rows"),
        (b"{}", "invalid_rows"),
        (b"[3]", "invalid_rows"),
        (b'[{"temp": ', "invalid_json"),
        (b'[{"temp": NaN, "hour of day": 1}]', "invalid_json"),
        (b'[{"temp": 1e999, "hour of day": 1}]', "invalid_json"),
        (b'[{"temp": "\xff", "hour of day": 1}]', "invalid_json"),
    ],
)
def test_what_is_not_a_list_of_rows_is_refused(decoder: RowDecoder, raw: bytes, code: str) -> None:
    with pytest.raises(InvalidError) as caught:
        decoder.decode_rows(raw)
    assert caught.value.error_code == code
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("columns", "code", "field"),
    [
        ({}, "invalid_rows", None),
        ({"temp": [], "hour of day": []}, "invalid_rows", None),
        ({"temp": [1.0], "hour of day": [1, 2]}, "invalid_rows", None),
        ({"temp": [1.0, math.nan], "hour of day": [1, 2]}, "invalid_field", "rows[1].temp"),
        ({"temp": [1.0, math.inf], "hour of day": [1, 2]}, "invalid_field", "rows[1].temp"),
        ({"temp": [1.0]}, "missing_field", "rows[0].hour of day"),
        ({"temp": [1.0], "hour of day": [True]}, "invalid_field", "rows[0].hour of day"),
        ({"temp": [1.0], "hour of day": [1], "wind": [1]}, "unknown_field", "rows.wind"),
    ],
)
def test_columns_are_refused_for_the_same_reasons(
    decoder: RowDecoder, columns: dict[str, list[Any]], code: str, field: str | None
) -> None:
    with pytest.raises(InvalidError) as caught:
        decoder.decode_columns(columns)
    assert (caught.value.error_code, caught.value.field) == (code, field)


def test_hard_ranges_and_categories_refuse() -> None:
    decoder = compile_decoder(
        Contract(
            "t",
            2,
            (
                FieldContract("x", "float", minimum=0.0, hard=True),
                FieldContract("s", "string", categories=("a",), hard=True),
            ),
        )
    )
    assert decoder.decode_rows(b'[{"x": 0, "s": "a"}]').flags == []
    with pytest.raises(InvalidError, match="x: -1 is out of range; t@2 expects float of at least 0"):
        decoder.decode_rows(b'[{"x": -1, "s": "a"}]')
    with pytest.raises(
        InvalidError, match="s: 'b' is not one of the categories; t@2 expects string, one of 'a'"
    ):
        decoder.decode_rows(b'[{"x": 1, "s": "b"}]')
