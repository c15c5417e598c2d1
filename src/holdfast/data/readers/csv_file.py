"""Reading CSV in bounded memory: pieces of whole rows, each parsed at once with the same types.

Polars' own streaming reader holds several hundred megabytes of a file of that size (measured with 2.1), and takes the
types of a column either from the first rows or from a pass of its own over all of them. Here the types come from the
first piece; where a later piece contradicts them, they are taken from all rows and the reading begins again, so the
result is always what all rows together say.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import polars as pl

from holdfast.data.errors import SourceError
from holdfast.data.readers.reading import TypesChangedError, unreadable

NULL_TEXTS = ("", "NA")
PIECE_BYTES = 4 << 20

_QUOTE = b'"'


class CsvFile:
    """The rows of one CSV file, `.csv` or `.csv.gz`, with a header line; empty cells and `NA` are null."""

    def __init__(self, path: Path, schema: dict[str, pl.DataType] | None = None) -> None:
        self.path = path
        self.schema = schema or self._guess()

    def frames(self) -> Iterator[pl.DataFrame]:
        """The rows, piece by piece.

        Raises:
            SourceError: bad UTF-8, rows of different lengths, an unclosed quote; says in which line.
            TypesChangedError: a piece contradicts the types; `schema` is right now.
        """
        line = 2
        for piece in self._pieces():
            try:
                yield _parse(piece, self.schema)
            except pl.exceptions.PolarsError as error:
                self._refuse_bad_bytes(piece, line)
                if not str(error).startswith("could not parse"):
                    raise unreadable(f"{self.path}, near line {line},", error) from error
                before, self.schema = self.schema, self._infer_from_all()
                if self.schema == before:
                    raise unreadable(f"{self.path}, near line {line},", error) from error
                raise TypesChangedError from error
            line += piece.count(b"\n")

    def _guess(self) -> dict[str, pl.DataType]:
        pieces = self._pieces()
        first = next(pieces, None)
        if first is None:
            raise SourceError(
                f"{self.path} has no rows", hint="name a file with a header line and at least one row"
            )
        names = self._names()
        found = self._types(first, names, 2)
        if None in found.values() and next(pieces, None) is not None:
            return self._infer_from_all()
        return _settled(found)

    def _infer_from_all(self) -> dict[str, pl.DataType]:
        names, line = self._names(), 2
        found: dict[str, pl.DataType | None] = dict.fromkeys(names)
        for piece in self._pieces():
            for name, type_ in self._types(piece, names, line).items():
                found[name] = _wider(found[name], type_)
            line += piece.count(b"\n")
        return _settled(found)

    def _types(self, piece: bytes, names: list[str], line: int) -> dict[str, pl.DataType | None]:
        """The types in a piece; None for a column that is all null there."""
        try:
            frame = pl.read_csv(
                piece,
                has_header=False,
                new_columns=names,
                infer_schema_length=None,
                null_values=list(NULL_TEXTS),
            )
        except pl.exceptions.PolarsError as error:
            self._refuse_bad_bytes(piece, line)
            raise unreadable(f"{self.path}, near line {line},", error) from error
        if frame.width > len(names):
            raise SourceError(
                f"{self.path}, near line {line}, has {frame.width} fields where the header names {len(names)}",
                hint="check the separator (a comma) and the quotes",
            )
        types: dict[str, pl.DataType | None] = {}
        for name in names:
            column = frame.get_column(name) if name in frame.columns else None
            types[name] = None if column is None or column.null_count() == len(column) else column.dtype
            if types[name] == pl.Int128:
                raise self._overflow(frame, name)
        return types

    def _overflow(self, frame: pl.DataFrame, name: str) -> SourceError:
        column = frame.get_column(name)
        worst = column.filter(column.cast(pl.Int64, strict=False).is_null() & column.is_not_null())
        return SourceError(
            f"{self.path}: {name} has {worst[0] if len(worst) else 'a number'}, which is no integer of 64 bits",
            hint="quote it in every row to keep it as text, or write it as a float",
        )

    def _refuse_bad_bytes(self, piece: bytes, line: int) -> None:
        try:
            piece.decode()
        except UnicodeDecodeError as error:
            line += piece.count(b"\n", 0, error.start)
            raise SourceError(
                f"{self.path}, line {line}: byte 0x{piece[error.start]:02x} is not valid UTF-8",
                hint="convert the file, e.g. with `iconv -f latin1 -t utf-8`",
            ) from None

    def _names(self) -> list[str]:
        with self._open() as file:
            header = file.readline()
            while header.count(_QUOTE) % 2 and (more := file.readline()):
                header += more
        try:
            names = pl.read_csv(header, infer_schema=False).columns
            written = pl.read_csv(header, has_header=False, infer_schema=False).row(0)
        except pl.exceptions.PolarsError as error:
            self._refuse_bad_bytes(header, 1)
            raise unreadable(str(self.path), error) from error
        twice = sorted({str(name) for name in written if written.count(name) > 1})
        if twice:
            raise SourceError(
                f"{self.path} has several columns named {twice[0]!r}", hint="rename them in the header"
            )
        return names

    def _pieces(self) -> Iterator[bytes]:
        """The rows after the header as pieces of whole lines; a newline between quotes ends no line."""
        try:
            with self._open() as file:
                header = file.readline()
                while header.count(_QUOTE) % 2 and (more := file.readline()):
                    header += more
                rest = b""
                while read := file.read(PIECE_BYTES):
                    whole, rest = _cut(rest + read)
                    if whole:
                        yield whole
                if rest.strip():
                    yield rest
        except (OSError, EOFError) as error:
            raise unreadable(str(self.path), error) from error

    def _open(self) -> IO[bytes]:
        if self.path.suffix.lower() == ".gz":
            return gzip.open(self.path, "rb")  # type: ignore[return-value]
        return self.path.open("rb")


def _parse(piece: bytes, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    return pl.read_csv(piece, has_header=False, schema=schema, null_values=list(NULL_TEXTS))


def _cut(data: bytes) -> tuple[bytes, bytes]:
    """Whole lines, and the rest. A newline ends a line where an even number of quotes stands before it."""
    end = data.rfind(b"\n") + 1
    while end and data.count(_QUOTE, 0, end) % 2:
        end = data.rfind(b"\n", 0, end - 1) + 1
    return data[:end], data[end:]


def _wider(one: pl.DataType | None, two: pl.DataType | None) -> pl.DataType | None:
    if one is None or two is None or one == two:
        return one if two is None else two
    return pl.Float64() if {one, two} == {pl.Int64(), pl.Float64()} else pl.String()


def _settled(found: dict[str, pl.DataType | None]) -> dict[str, pl.DataType]:
    return {name: pl.String() if type_ is None else type_ for name, type_ in found.items()}
