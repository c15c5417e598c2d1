"""The canonical fingerprint of rows: ours, because a library's row hashes change between its releases.

Format 2, byte by byte in docs/fingerprint.md. The rows are cut into blocks of 65,536. Each column of a block has a
digest of its own, and each block's digests are chained to the block before:

    link 0     = blake3("holdfast rows 2\\n", u32 columns, for each: u32 length of the name, the name, u8 type)
    link i + 1 = blake3(link i, u32 rows of block i, the digest of each column of block i, in order)

The last link is the fingerprint. Because blocks are cut by the position of a row alone, it does not matter in which
parts, row groups, chunks, encodings or widths the rows lie; an append goes on from the last whole block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
_PHYSICAL: dict[FieldType, pl.DataType] = {
    "integer": pl.Int64(),
    "float": pl.Float64(),
    "boolean": pl.Boolean(),
    "string": pl.String(),
    "datetime": pl.Datetime("us"),
}
_FILLED: dict[FieldType, bool | int | float | str] = {
    "integer": 0,
    "float": 0.0,
    "boolean": False,
    "string": "",
    "datetime": 0,
}
TAGS: dict[FieldType, int] = {"integer": 1, "float": 2, "boolean": 3, "string": 4, "datetime": 5}

Columns = Sequence[tuple[str, FieldType]]


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

    def __init__(self, columns: Columns, sealed: str | None = None) -> None:
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
        for pieces in column_bytes(block, self._columns):
            column = blake3()
            for piece in pieces:
                column.update(piece)
            digest.update(column.digest())
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


def _first_link(columns: Columns) -> bytes:
    header = _HEADER + len(columns).to_bytes(4, "little")
    for name, type_ in columns:
        encoded = name.encode()
        header += len(encoded).to_bytes(4, "little") + encoded + bytes([TAGS[type_]])
    return blake3(header).digest()


def column_bytes(rows: pl.DataFrame, columns: Columns) -> Iterator[list[bytes | memoryview]]:
    """Validity and values of each column as the format writes them, nulls as 0, false or the empty string.

    Everything that polars has to do is asked for at once: a query for each column would cost a millisecond each.
    """
    # A name such as `*` or `^x$` would mean several columns to polars, so they go by their numbers here.
    rows = rows.rename(dict(zip(rows.columns, map(str, range(rows.width)), strict=True)))
    types = {str(number): type_ for number, (_, type_) in enumerate(columns)}
    texts = [name for name, type_ in types.items() if type_ == "string"]
    with_nulls = {column.name for column in rows if column.null_count()}
    values = rows.select(_value(name, type_, name in with_nulls) for name, type_ in types.items())
    joined = values.select(pl.col(texts).str.join("")) if texts else pl.DataFrame()
    lengths = values.select(pl.col(texts).str.len_bytes()) if texts else pl.DataFrame()
    valid = rows.select(pl.col(name).is_not_null() for name in with_nulls)
    whole = np.packbits(np.ones(rows.height, dtype=np.bool_), bitorder="little").tobytes()
    for name, type_ in types.items():
        pieces: list[bytes | memoryview] = [_packed(valid[name]) if name in with_nulls else whole]
        if type_ == "string":
            ends = np.cumsum(lengths[name].to_numpy(), dtype=np.uint64)
            pieces += [_buffer(ends, "<u8"), joined[name][0].encode() if rows.height else b""]
        elif type_ == "boolean":
            pieces.append(_packed(values[name]))
        elif type_ == "float":
            numbers = values[name].to_numpy() + 0.0
            numbers[np.isnan(numbers)] = np.nan
            pieces.append(_buffer(numbers, "<f8"))
        else:
            pieces.append(_buffer(values[name].to_numpy(), "<i8"))
        yield pieces


def _value(name: str, type_: FieldType, has_nulls: bool) -> pl.Expr:
    column = pl.col(name).cast(_PHYSICAL[type_])
    if type_ == "datetime":
        column = column.to_physical()
    return column.fill_null(_FILLED[type_]) if has_nulls else column


def _packed(column: pl.Series) -> bytes:
    return np.packbits(column.to_numpy(), bitorder="little").tobytes()


def _buffer(values: npt.NDArray[Any], layout: str) -> memoryview:
    return np.ascontiguousarray(values.astype(layout, copy=False)).data.cast("B")
