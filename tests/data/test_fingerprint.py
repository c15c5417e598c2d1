"""The fingerprint of rows: the documented bytes, and nothing else."""
# ruff: noqa: DTZ001 (times of rows are naive and in UTC)

from __future__ import annotations

import math
import struct
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.data.fingerprint import fingerprint_frame, fingerprint_version

EPOCH = datetime(1970, 1, 1)
FRAME = pl.DataFrame(
    {
        "hr": [0, None, 23],
        "temp": [0.25, -0.0, None],
        "holiday": [True, None, False],
        "weather": ["clear", None, "né"],
        "time": [datetime(2011, 1, 1), None, datetime(2012, 12, 31, 23)],
    }
)
VECTOR_FRAME = "9fcd09fb6689d8abd6e6b5cf575f3497f838963ee6fc30bb98b0148241a3aad7"
VECTOR_EMPTY = "1eaded212ca7359c818c431e3dcd6f870bd5c758d208a0b0062fc476e6c468d9"
VECTOR_VERSION = "9c9066bf7fc395f5762ae7ef6f6188eaf58170fd9aa2e8eb73b5767ceae84782"


def test_vectors_stay_as_they_are() -> None:
    """These digests are stored in ledgers; a change of the format needs a new number in its first line."""
    assert fingerprint_frame(FRAME) == VECTOR_FRAME
    assert fingerprint_frame(pl.DataFrame()) == VECTOR_EMPTY
    assert (
        fingerprint_version([fingerprint_frame(FRAME), fingerprint_frame(pl.DataFrame())]) == VECTOR_VERSION
    )


def test_physical_layout_does_not_matter(tmp_path: Path) -> None:
    expected = fingerprint_frame(FRAME)
    for rows in (1, 2, 1000):
        FRAME.write_parquet(tmp_path / "t.parquet", row_group_size=rows, compression="zstd")
        assert fingerprint_frame(pl.read_parquet(tmp_path / "t.parquet")) == expected
    chunked = pl.concat([FRAME.slice(0, 1), FRAME.slice(1, 2)], rechunk=False)
    assert fingerprint_frame(chunked) == expected
    assert fingerprint_frame(FRAME.with_columns(pl.col("hr").cast(pl.Int8))) == expected


@pytest.mark.parametrize(
    "changed",
    [
        FRAME.reverse(),
        FRAME.select(reversed(FRAME.columns)),
        FRAME.rename({"hr": "hour"}),
        FRAME.with_columns(pl.col("hr").cast(pl.Float64)),
        FRAME.with_columns(pl.col("hr").fill_null(0)),
        FRAME.with_columns(pl.col("weather").fill_null("")),
        FRAME.with_columns(pl.col("holiday").fill_null(False)),
        FRAME.head(2),
    ],
)
def test_any_change_of_content_shows(changed: pl.DataFrame) -> None:
    assert fingerprint_frame(changed) != fingerprint_frame(FRAME)


def test_the_same_text_cut_differently_differs() -> None:
    cut = [fingerprint_frame(pl.DataFrame({"s": texts})) for texts in (["ab", "c"], ["a", "bc"], ["abc", ""])]
    assert len(set(cut)) == 3


def test_floats_that_are_equal_count_as_equal() -> None:
    minus, plus = (fingerprint_frame(pl.DataFrame({"x": [zero, math.nan]})) for zero in (-0.0, 0.0))
    assert minus == plus
    other_nan = struct.unpack("<d", struct.pack("<Q", 0xFFF8000000000001))[0]
    assert fingerprint_frame(pl.DataFrame({"x": [0.0, other_nan]})) == plus


def test_a_version_is_its_parts_in_order() -> None:
    one, two = fingerprint_frame(FRAME), fingerprint_frame(FRAME.head(1))
    assert len({fingerprint_version(parts) for parts in ([one], [two], [one, two], [two, one])}) == 4


def reference(columns: dict[str, tuple[int, list[Any]]]) -> str:
    """The documented bytes, written down one value at a time."""
    rows = len(next(iter(columns.values()))[1]) if columns else 0
    data = b"holdfast rows 1\n" + struct.pack("<QI", rows, len(columns))
    for name, (tag, values) in columns.items():
        data += struct.pack("<I", len(name.encode())) + name.encode() + bytes([tag])
        data += bits([value is not None for value in values])
        if tag == 1:
            data += b"".join(struct.pack("<q", value or 0) for value in values)
        elif tag == 2:
            data += b"".join(struct.pack("<d", (value or 0.0) + 0.0) for value in values)
        elif tag == 3:
            data += bits([bool(value) for value in values])
        elif tag == 4:
            texts = [(value or "").encode() for value in values]
            ends = [sum(len(text) for text in texts[: index + 1]) for index in range(rows)]
            data += b"".join(struct.pack("<Q", end) for end in ends) + b"".join(texts)
        else:
            data += b"".join(struct.pack("<q", micros(value) if value else 0) for value in values)
    return blake3(data).hexdigest()


def bits(flags: list[bool]) -> bytes:
    packed = bytearray(math.ceil(len(flags) / 8))
    for index, flag in enumerate(flags):
        packed[index // 8] |= flag << (index % 8)
    return bytes(packed)


def micros(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


_KINDS: dict[int, tuple[Any, st.SearchStrategy[Any]]] = {
    1: (pl.Int64, st.integers(-(2**63), 2**63 - 1)),
    2: (pl.Float64, st.floats(allow_nan=False)),
    3: (pl.Boolean, st.booleans()),
    4: (pl.String, st.text(max_size=5)),
    5: (pl.Datetime("us"), st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1))),
}


@st.composite
def tables(draw: st.DrawFn) -> dict[str, tuple[int, list[Any]]]:
    rows = draw(st.integers(0, 20))
    columns = {}
    for name in draw(st.lists(st.text(min_size=1, max_size=3), max_size=4, unique=True)):
        tag = draw(st.sampled_from(sorted(_KINDS)))
        columns[name] = (tag, draw(st.lists(st.none() | _KINDS[tag][1], min_size=rows, max_size=rows)))
    return columns


@settings(max_examples=150, deadline=None)
@given(tables())
def test_the_vectorised_bytes_are_the_documented_ones(columns: dict[str, tuple[int, list[Any]]]) -> None:
    frame = pl.DataFrame([pl.Series(name, values, _KINDS[tag][0]) for name, (tag, values) in columns.items()])
    assert fingerprint_frame(frame) == reference(columns)
