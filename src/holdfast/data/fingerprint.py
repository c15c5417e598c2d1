"""The canonical fingerprint of rows: ours, because a library's row hashes change between its releases.

Fingerprint of a part (format 1), a blake3 over these bytes; all numbers are little-endian, strings UTF-8:

    "holdfast rows 1\\n"
    u64 number of rows, u32 number of columns
    for each column, in order:
        u32 length of the name, the name
        u8  type: 1 integer, 2 float, 3 boolean, 4 string, 5 datetime
        validity: ceil(rows / 8) bytes, bit i of byte j (least significant first) is 1 where row 8j + i is not null
        values, where a null counts as 0, false or the empty string:
            integer   i64 each
            float     f64 each; -0.0 as 0.0, every NaN as 0x7ff8000000000000
            boolean   ceil(rows / 8) bytes, packed like the validity
            string    u64 × rows: where each string ends among the bytes that follow; then the strings' bytes
            datetime  i64 each, microseconds since the Unix epoch, UTC

The order of rows and columns counts; row groups, compression, chunking, integer and float widths, and the
release of any library do not.

Fingerprint of a version: a blake3 over "holdfast version 1\\n" and the 32 bytes of each part's fingerprint in
order. So an append hashes only what it appends, and the same rows give the same version where they came in the
same parts: reading one source twice does, and so does growing one base by one feed twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from blake3 import blake3

from holdfast.data.contract import field_type
from holdfast.data.records import FieldType

_PART = b"holdfast rows 1\n"
_VERSION = b"holdfast version 1\n"
_TAGS: dict[FieldType, int] = {"integer": 1, "float": 2, "boolean": 3, "string": 4, "datetime": 5}


def fingerprint_frame(frame: pl.DataFrame) -> str:
    """The fingerprint of a part's rows, 64 hexadecimal digits; the module's docstring defines it.

    Raises:
        TableError: a column has a type that a table cannot hold.

    Example:
        >>> fingerprint_frame(pl.DataFrame({"x": [1, None]}))[:16]
        'df8cb13bb70c2252'
    """
    digest = blake3()
    digest.update(_PART)
    digest.update(frame.height.to_bytes(8, "little") + frame.width.to_bytes(4, "little"))
    for column in frame:
        _add_column(digest, column)
    return digest.hexdigest()


def fingerprint_version(parts: Sequence[str]) -> str:
    """The fingerprint of a version made of parts with these fingerprints."""
    return blake3(_VERSION + b"".join(bytes.fromhex(part) for part in parts)).hexdigest()


def _add_column(digest: blake3, column: pl.Series) -> None:
    type_ = field_type(column.name, column.dtype)
    name = column.name.encode()
    digest.update(len(name).to_bytes(4, "little") + name + bytes([_TAGS[type_]]))
    digest.update(_packed(column.is_not_null()))
    for block in _values(column, type_):
        digest.update(block)


def _values(column: pl.Series, type_: FieldType) -> list[bytes | memoryview]:
    if type_ == "boolean":
        return [_packed(column.fill_null(False))]
    if type_ == "string":
        filled = column.fill_null("")
        ends = np.cumsum(filled.str.len_bytes().to_numpy(), dtype=np.uint64)
        return [_buffer(ends, "<u8"), filled.str.join("").item().encode() if len(filled) else b""]
    if type_ == "datetime":
        return [_buffer(column.cast(pl.Datetime("us")).to_physical().fill_null(0).to_numpy(), "<i8")]
    if type_ == "integer":
        return [_buffer(column.cast(pl.Int64).fill_null(0).to_numpy(), "<i8")]
    numbers = column.cast(pl.Float64).fill_null(0.0).to_numpy() + 0.0
    numbers[np.isnan(numbers)] = np.nan
    return [_buffer(numbers, "<f8")]


def _packed(column: pl.Series) -> bytes:
    return np.packbits(column.to_numpy(), bitorder="little").tobytes()


def _buffer(values: npt.NDArray[Any], layout: str) -> memoryview:
    return np.ascontiguousarray(values.astype(layout, copy=False)).data.cast("B")
