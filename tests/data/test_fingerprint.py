"""The fingerprint of rows: the documented bytes, and nothing else."""
# ruff: noqa: DTZ001 (times of rows are naive and in UTC)

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.data import fingerprint
from holdfast.data.fingerprint import Fingerprint, columns_of, fingerprint_frame
from holdfast.data.fingerprint_first import fingerprint_part, fingerprint_parts

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
LONG = pl.select(
    pl.int_range(200_000).alias("n"),
    pl.when(pl.int_range(200_000) % 7 != 0).then(pl.int_range(200_000) / 8).alias("x"),
    (pl.int_range(200_000) % 1000).cast(pl.String).alias("s"),
)
VECTORS = {
    "documented": (FRAME, "cb1f013e83464ddde016278e281e85794116a9a475465ddcdb8a6054e0bb7eb5"),
    "no columns": (pl.DataFrame(), "a2abac289a1bd5cdc5b248efb96d08514880794a6ae51d0ba6664b081c222849"),
    "no rows": (FRAME.clear(), "bef0d8b42cc1619852160955576593af93b06cfda61deb77554ac477245b2062"),
    "four blocks": (LONG, "f2e3a8bc2f1dcaf599e3e6aec5d839f2c6754e0c01e20ab6084a921c2bd970a1"),
}
FIRST_FRAME = "9fcd09fb6689d8abd6e6b5cf575f3497f838963ee6fc30bb98b0148241a3aad7"
FIRST_VERSION = "9c9066bf7fc395f5762ae7ef6f6188eaf58170fd9aa2e8eb73b5767ceae84782"


@pytest.mark.parametrize("name", VECTORS)
def test_vectors_stay_as_they_are(name: str) -> None:
    """These digests are stored in ledgers; a change of the format needs a new number in its first line."""
    frame, expected = VECTORS[name]
    assert fingerprint_frame(frame) == expected


def test_the_documentation_names_the_vectors() -> None:
    text = (Path(__file__).parents[2] / "docs" / "fingerprint.md").read_text()
    for _, expected in VECTORS.values():
        assert expected in text


def test_what_early_releases_recorded_can_still_be_checked() -> None:
    assert fingerprint_part(FRAME) == FIRST_FRAME
    assert fingerprint_parts([FIRST_FRAME, fingerprint_part(pl.DataFrame())]) == FIRST_VERSION


def test_physical_layout_does_not_matter(tmp_path: Path) -> None:
    expected = fingerprint_frame(FRAME)
    for rows, compression in ((1, "zstd"), (2, "uncompressed"), (1000, "snappy"), (3, "gzip"), (2, "lz4")):
        FRAME.write_parquet(tmp_path / "t.parquet", row_group_size=rows, compression=compression)
        assert fingerprint_frame(pl.read_parquet(tmp_path / "t.parquet")) == expected
    FRAME.with_columns(pl.col("weather").cast(pl.Categorical)).write_parquet(tmp_path / "dictionary.parquet")
    dictionary = pl.read_parquet(tmp_path / "dictionary.parquet").with_columns(
        pl.col("weather").cast(pl.String)
    )
    assert fingerprint_frame(dictionary) == expected
    chunked = pl.concat([FRAME.slice(0, 1), FRAME.slice(1, 2)], rechunk=False)
    assert fingerprint_frame(chunked) == expected
    for narrow in (pl.Int8, pl.UInt16):
        assert fingerprint_frame(FRAME.with_columns(pl.col("hr").cast(narrow))) == expected
    assert fingerprint_frame(FRAME.with_columns(pl.col("time").cast(pl.Datetime("ms")))) == expected


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


def test_a_fingerprint_goes_on_from_its_whole_blocks() -> None:
    for cut in (1, 65_536, 100_000, 131_072, 199_999):
        first = Fingerprint(columns_of(LONG))
        first.add(LONG.head(cut))
        assert first.value() == fingerprint_frame(LONG.head(cut))
        again = Fingerprint(columns_of(LONG), first.sealed)
        again.add(LONG.slice(cut - cut % fingerprint.BLOCK_ROWS))
        assert again.value() == fingerprint_frame(LONG)


def reference(columns: dict[str, tuple[int, list[Any]]], block_rows: int) -> str:
    """The documented bytes, written down one value at a time."""
    rows = len(next(iter(columns.values()))[1]) if columns else 0
    header = b"holdfast rows 2\n" + struct.pack("<I", len(columns))
    for name, (tag, _) in columns.items():
        header += struct.pack("<I", len(name.encode())) + name.encode() + bytes([tag])
    link = blake3(header).digest()
    for start in range(0, rows, block_rows):
        block = {name: (tag, values[start : start + block_rows]) for name, (tag, values) in columns.items()}
        height = min(block_rows, rows - start)
        link = blake3(link + struct.pack("<I", height) + b"".join(column_digests(block, height))).digest()
    return link.hex()


def column_digests(columns: dict[str, tuple[int, list[Any]]], rows: int) -> Iterator[bytes]:
    for tag, values in columns.values():
        data = bits([value is not None for value in values])
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
        yield blake3(data).digest()


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
@given(tables(), st.sampled_from([1, 3, 8, 65_536]), st.data())
def test_the_vectorised_bytes_are_the_documented_ones_however_the_rows_lie(
    columns: dict[str, tuple[int, list[Any]]], block_rows: int, data: st.DataObject
) -> None:
    frame = pl.DataFrame([pl.Series(name, values, _KINDS[tag][0]) for name, (tag, values) in columns.items()])
    cuts = sorted(data.draw(st.lists(st.integers(0, frame.height), max_size=4)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprint, "BLOCK_ROWS", block_rows)
        growing = Fingerprint(columns_of(frame))
        for start, end in pairwise([0, *cuts, frame.height]):
            growing.add(frame.slice(start, end - start))
        assert growing.value() == fingerprint_frame(frame) == reference(columns, block_rows)
