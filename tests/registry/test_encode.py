"""Training frames and requests must become the same matrix, bit for bit."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.base.errors import InvalidError
from holdfast.registry.encode import encode_columns, encode_frame
from holdfast.registry.records import Signature, SignatureColumn

KINDS = {
    "float": (pl.Float64, st.floats(allow_nan=True, allow_infinity=True)),
    "integer": (pl.Int64, st.integers(-(2**62), 2**62)),
    "boolean": (pl.Boolean, st.booleans()),
    "string": (pl.String, st.sampled_from(["clear", "rain", "fog", "", "Rain", "ß"])),
}
CATEGORIES = ("clear", "rain", "ß")


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[SignatureColumn], list[list[object]], pl.DataFrame]:
    rows = draw(st.integers(0, 12))
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=5))
    columns, values, series = [], [], []
    for position, kind in enumerate(kinds):
        dtype, strategy = KINDS[kind]
        name = f"{kind}_{position}"
        column = draw(st.lists(st.none() | strategy, min_size=rows, max_size=rows))
        columns.append(SignatureColumn(name, kind, categories=CATEGORIES if kind == "string" else None))
        values.append(column)
        series.append(pl.Series(name, column, dtype=dtype))
    return columns, values, pl.DataFrame(series)


@settings(max_examples=150, deadline=None)
@given(tables())
def test_requests_and_frames_encode_alike(
    table: tuple[list[SignatureColumn], list[list[object]], pl.DataFrame],
) -> None:
    columns, values, frame = table
    from_request = encode_columns(values, columns)
    from_frame = encode_frame(frame, Signature(tuple(columns), "regression", "y"))
    assert from_request.dtype == from_frame.dtype == np.float64
    np.testing.assert_array_equal(from_request, from_frame)


def test_unseen_category_null_and_boolean() -> None:
    columns = [SignatureColumn("w", "string", categories=CATEGORIES), SignatureColumn("b", "boolean")]
    matrix = encode_columns([["rain", "snow", None], [True, None, False]], columns)
    np.testing.assert_array_equal(matrix, [[1, 1], [np.nan, np.nan], [np.nan, 0]])


def test_order_of_the_frame_does_not_matter_and_a_missing_column_is_named() -> None:
    signature = Signature((SignatureColumn("a", "float"), SignatureColumn("b", "integer")), "binary", "y")
    np.testing.assert_array_equal(encode_frame(pl.DataFrame({"b": [2], "a": [1.5]}), signature), [[1.5, 2]])
    with pytest.raises(InvalidError, match="lacks the model's column 'a'"):
        encode_frame(pl.DataFrame({"b": [2]}), signature)


def test_text_in_a_numeric_column_is_refused_on_both_paths() -> None:
    column = SignatureColumn("temp", "float")
    with pytest.raises(InvalidError, match="temp holds values that are not numbers"):
        encode_columns([["3"]], [column])
    with pytest.raises(InvalidError, match="temp holds values that are not numbers"):
        encode_frame(pl.DataFrame({"temp": ["3"]}), Signature((column,), "regression", "y"))
