"""The request encoder gives the matrix that training's encoder gives."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from holdfast.registry.encode import encode_columns
from holdfast.registry.records import SignatureColumn
from holdfast.serving.plane.encoder import MatrixEncoder

COLUMNS = (
    SignatureColumn("temp", "float"),
    SignatureColumn("weather", "string", categories=("clear", "rain")),
    SignatureColumn("hr", "integer"),
    SignatureColumn("holiday", "boolean"),
)
ROWS = st.lists(
    st.tuples(
        st.none() | st.floats(allow_nan=False),
        st.sampled_from(["clear", "rain", "fog", None]),
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.booleans(),
    ),
    min_size=1,
    max_size=20,
)


@given(rows=ROWS)
def test_both_encoders_agree(rows: list[tuple[Any, ...]]) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)]
    found = MatrixEncoder(COLUMNS).encode(columns)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, encode_columns(columns, COLUMNS))
