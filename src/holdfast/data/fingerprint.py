"""The canonical fingerprint of rows: ours, because a library's row hashes change between its releases.

Format 2, byte by byte in docs/fingerprint.md. The rows are cut into blocks of 65,536. Each column of a block has a
digest of its own, and each block's digests are chained to the block before:

    link 0     = blake3("holdfast rows 2\\n", u32 columns, for each: u32 length of the name, the name, u8 type)
    link i + 1 = blake3(link i, u32 rows of block i, the digest of each column of block i, in order)

The last link is the fingerprint. Because blocks are cut by the position of a row alone, it does not matter in which
parts, row groups, chunks, encodings or widths the rows lie; an append goes on from the last whole block.
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

FORMAT = 2
BLOCK_ROWS = 65_536

_HEADER = b"holdfast rows 2\n"
TAGS: dict[FieldType, int] = {"integer": 1, "float": 2, "boolean": 3, "string": 4, "datetime": 5}


class Fingerprint:
    """A fingerprint that grows frame by frame, in bounded memory.

    Args:
        columns: names and types, in order; every frame must have exactly these.
        sealed: where to go on from: the link of the whole blocks that came before, whose rows are not repeated.

    Example:
        >>> rows = pl.DataFrame({"x": [1, 2, 3]})
        >>> growing = Fingerprint(columns_of(rows))
        >>> growing.add(rows.head(1))
        >>> growing.add(rows.tail(2))
        >>> growing.value() == fingerprint_frame(rows)
        True
    """

    def __init__(self, columns: Sequence[tuple[str, FieldType]], sealed: str | None = None) -> None:
        self._columns = tuple(columns)
        self._link = bytes.fromhex(sealed) if sealed is not None else _first_link(self._columns)
        self._rest: list[pl.DataFrame] = []

    @property
    def sealed(self) -> str:
        """The link after the last whole block, from which an append goes on."""
        return self._link.hex()

    def add(self, frame: pl.DataFrame) -> None:
        """Takes the next rows.

        Raises:
            ValueError: the frame has other columns or types; a mistake in the program.
        """
        if columns_of(frame) != self._columns:
            raise ValueError(f"columns {frame.schema} are not those of the fingerprint: {self._columns}")
        waiting = sum(piece.height for piece in self._rest)
        start = 0
        while waiting + frame.height - start >= BLOCK_ROWS:
            end = start + BLOCK_ROWS - waiting
            block = pl.concat([*self._rest, frame.slice(start, end - start)], rechunk=False)
            self._link = self._next_link(block)
            self._rest, waiting, start = [], 0, end
        if start < frame.height:
            self._rest.append(frame.slice(start))

    def value(self) -> str:
        """The fingerprint of the rows so far, 64 hexadecimal digits; more may follow."""
        if not self._rest:
            return self._link.hex()
        return self._next_link(pl.concat(self._rest, rechunk=False)).hex()

    def _next_link(self, block: pl.DataFrame) -> bytes:
        digest = blake3(self._link + block.height.to_bytes(4, "little"))
        for (_, type_), column in zip(self._columns, block, strict=True):
            digest.update(_column_digest(column, type_))
        return digest.digest()


def fingerprint_frame(frame: pl.DataFrame) -> str:
    """The fingerprint of a frame's rows, 64 hexadecimal digits.

    Raises:
        TableError: a column has a type that a table cannot hold.

    Example:
        >>> fingerprint_frame(pl.DataFrame({"x": [1, None]}))[:16]
        'ec8560988eb904ba'
    """
    growing = Fingerprint(columns_of(frame))
    growing.add(frame)
    return growing.value()


def columns_of(frame: pl.DataFrame) -> tuple[tuple[str, FieldType], ...]:
    """The names and logical types of a frame's columns.

    Raises:
        TableError: a column has a type that a table cannot hold.
    """
    return tuple((name, field_type(name, type_)) for name, type_ in frame.schema.items())


def _first_link(columns: Sequence[tuple[str, FieldType]]) -> bytes:
    header = _HEADER + len(columns).to_bytes(4, "little")
    for name, type_ in columns:
        encoded = name.encode()
        header += len(encoded).to_bytes(4, "little") + encoded + bytes([TAGS[type_]])
    return blake3(header).digest()


def _column_digest(column: pl.Series, type_: FieldType) -> bytes:
    digest = blake3(validity(column))
    for block in value_bytes(column, type_):
        digest.update(block)
    return digest.digest()


def value_bytes(column: pl.Series, type_: FieldType) -> list[bytes | memoryview]:
    """The values of a column as the format writes them, nulls as 0, false or the empty string."""
    if type_ == "boolean":
        return [packed(_filled(column, False))]
    if type_ == "string":
        texts = _filled(column.cast(pl.String), "")
        ends = np.cumsum(texts.str.len_bytes().to_numpy(), dtype=np.uint64)
        return [_buffer(ends, "<u8"), texts.str.join("").item().encode() if len(texts) else b""]
    if type_ == "datetime":
        return [_buffer(_filled(column.cast(pl.Datetime("us")).to_physical(), 0).to_numpy(), "<i8")]
    if type_ == "integer":
        return [_buffer(_filled(column.cast(pl.Int64), 0).to_numpy(), "<i8")]
    numbers = _filled(column.cast(pl.Float64), 0.0).to_numpy() + 0.0
    numbers[np.isnan(numbers)] = np.nan
    return [_buffer(numbers, "<f8")]


def validity(column: pl.Series) -> bytes:
    """One bit a row, 1 where it is not null."""
    if column.null_count():
        return packed(column.is_not_null())
    return np.packbits(np.ones(len(column), dtype=np.bool_), bitorder="little").tobytes()


def _filled(column: pl.Series, value: bool | float | str) -> pl.Series:
    # Filling a column without nulls would plan and run a query for nothing, a millisecond each time.
    return column.fill_null(value) if column.null_count() else column


def packed(column: pl.Series) -> bytes:
    """Booleans as bits, the least significant first."""
    return np.packbits(column.to_numpy(), bitorder="little").tobytes()


def _buffer(values: npt.NDArray[Any], layout: str) -> memoryview:
    return np.ascontiguousarray(values.astype(layout, copy=False)).data.cast("B")
