"""SQL queries as sources: SQLite and PostgreSQL, read row by row through their drivers, in bounded memory.

The result of the query is spooled to Parquet pieces first: only the last row tells the types of a column whose first
rows are null, and a database should not be read twice.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from uuid import UUID

import polars as pl
from blake3 import blake3

from holdfast.base.errors import InvalidError
from holdfast.data.errors import SourceError
from holdfast.data.readers.files import code
from holdfast.data.readers.reading import Reading
from holdfast.data.records import Provenance

_PIECE_ROWS = 50_000
_SECRETS = ("password", "passwd", "pwd", "secret", "token", "sslkey", "sslpassword")
_WORDS = ("select", "with", "values", "table")

Row = Sequence[Any]


def read_sql(query: str, connection: str) -> Reading:
    """The rows of a query. What is kept of the connection is its URL without user's password or other secrets.

    Args:
        connection: `sqlite:///path/to.db` or `postgresql://user:password@host/database`.

    Raises:
        InvalidError: the connection is of another kind, or the query does not begin like one that reads.
        SourceError: the database cannot be reached, refuses the query, or a column mixes types.

    Example:
        >>> reading = read_sql("SELECT 1 AS one", "sqlite:///:memory:")
        >>> [frame.rows() for frame in reading.frames()]
        [[(1,)]]
    """
    if not query.strip().lower().startswith(_WORDS):
        raise InvalidError("the query reads nothing", hint="write a SELECT statement")
    run = _runner(connection)
    folder = tempfile.TemporaryDirectory(prefix="holdfast-sql-")
    pieces = _Pieces(Path(folder.name))
    names = run(query, pieces.take)
    pieces.settle(names)

    def frames() -> Iterator[pl.DataFrame]:
        # The reading owns the folder: it goes with the last reference to it.
        yield from pieces.frames(folder)

    return Reading(
        frames,
        lambda: Provenance("sql", without_secrets(connection), query.strip(), pieces.digest(), code=code()),
    )


def without_secrets(url: str) -> str:
    """A connection's URL as it may be kept.

    Example:
        >>> without_secrets("postgresql://ann:secret@db/shop?sslmode=require&password=x")
        'postgresql://ann@db/shop?sslmode=require'
    """
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    place = f"{user.partition(':')[0]}{at}{host}"
    kept = [(name, value) for name, value in parse_qsl(parts.query) if name.lower() not in _SECRETS]
    if not parts.netloc and url.startswith(f"{parts.scheme}:///"):
        return f"{parts.scheme}://{parts.path}"
    return urlunsplit((parts.scheme, place, parts.path, urlencode(kept), ""))


class _Pieces:
    """Rows in Parquet files, each of its own types, and the types of all of them together."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hasher = blake3()
        self._kinds: dict[int, tuple[str, Any]] = {}
        self._count = 0
        self._names: list[str] = []

    def take(self, rows: Sequence[Row]) -> None:
        """The next rows, as the driver gives them."""
        columns = [
            pl.Series(str(number), self._plain(number, values), strict=False)
            for number, values in enumerate(zip(*rows, strict=True))
        ]
        self._count += 1
        pl.DataFrame(columns).write_parquet(self._path(self._count), compression="lz4")

    def settle(self, names: list[str]) -> None:
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SourceError(f"the query has several columns named {twice[0]!r}", hint="name them with AS")
        self._names = names

    def frames(self, folder: object) -> Iterator[pl.DataFrame]:
        assert folder is not None
        types = {str(number): _TYPES[kind] for number, (kind, _) in self._kinds.items()}
        for number in range(1, self._count + 1):
            frame = pl.read_parquet(self._path(number), glob=False)
            frame = frame.cast({name: types.get(name, pl.String()) for name in frame.columns})
            yield frame.rename(dict(zip(frame.columns, self._names, strict=True)))

    def digest(self) -> str:
        """Of the rows as they were read."""
        return self._hasher.hexdigest()

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06}.parquet"

    def _plain(self, number: int, values: Sequence[Any]) -> list[Any]:
        """The values of a column in Python's plain types; refuses a column that mixes kinds."""
        found = []
        for value in values:
            if isinstance(value, Decimal):
                value = float(value)
            elif isinstance(value, datetime) and value.tzinfo is not None:
                value = value.astimezone(UTC).replace(tzinfo=None)
            elif isinstance(value, UUID):
                value = str(value)
            elif isinstance(value, int) and not -(2**63) <= value < 2**63:
                raise self._refused(number, f"{value}, no integer of 64 bits")
            elif isinstance(value, memoryview | bytes | bytearray):
                raise self._refused(number, "bytes")
            if value is not None:
                self._note(number, value)
            found.append(value)
        self._hasher.update(repr(found).encode("utf-8", "surrogatepass"))
        return found

    def _note(self, number: int, value: Any) -> None:
        kind = _KINDS.get(type(value).__name__)
        if kind is None:
            raise self._refused(number, type(value).__name__)
        before, example = self._kinds.get(number, (kind, value))
        if before != kind and {before, kind} == {"integer", "float"}:
            kind = "float"
        elif before != kind:
            raise SourceError(
                f"column {number + 1} of the query holds {before} such as {example!r} and {kind} such as {value!r}",
                hint="give it one type with CAST(… AS …)",
            )
        self._kinds[number] = (kind, example)

    def _refused(self, number: int, what: str) -> SourceError:
        return SourceError(
            f"column {number + 1} of the query holds {what}, which a dataset cannot hold",
            hint="leave it out of the SELECT, or CAST it to text",
        )


_KINDS = {
    "bool": "boolean",
    "int": "integer",
    "float": "float",
    "str": "text",
    "datetime": "time",
    "date": "date",
}
_TYPES: dict[str, pl.DataType] = {
    "boolean": pl.Boolean(),
    "integer": pl.Int64(),
    "float": pl.Float64(),
    "text": pl.String(),
    "time": pl.Datetime("us"),
    "date": pl.Date(),
}

Take = Callable[[Sequence[Row]], None]
Runner = Callable[[str, Take], list[str]]


def _runner(connection: str) -> Runner:
    scheme = connection.partition("://")[0]
    if scheme == "sqlite":
        path = connection.removeprefix("sqlite:///")
        return lambda query, take: _run_sqlite(path, query, take)
    if scheme in ("postgresql", "postgres"):
        return lambda query, take: _run_postgresql(connection, query, take)
    raise InvalidError(
        f"{scheme or connection!r} is no database that can be read here",
        hint="use sqlite:///path/to.db or postgresql://user@host/database, or hand over a frame from Python",
    )


def _run_sqlite(path: str, query: str, take: Take) -> list[str]:
    if path != ":memory:" and not Path(path).is_file():
        raise SourceError(f"the database {path} does not exist", hint="write sqlite:///path/to.db")
    try:
        with closing(
            sqlite3.connect(f"file:{path}?mode=ro" if path != ":memory:" else path, uri=True)
        ) as database:
            cursor = database.execute(query)
            return _drain(cursor, take)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise SourceError(f"{path} refuses the query ({error})", hint="correct the query") from error


def _run_postgresql(connection: str, query: str, take: Take) -> list[str]:
    try:
        import psycopg
    except ModuleNotFoundError as error:
        raise SourceError(
            "PostgreSQL cannot be read without its driver", hint="type `pip install 'holdfast[postgres]'`"
        ) from error
    shown = without_secrets(connection)
    try:
        with psycopg.connect(connection) as database:
            database.read_only = True
            # A named cursor stays in the server, which sends the rows piece by piece.
            with database.cursor(name="holdfast") as cursor:
                cursor.execute(query.encode())
                return _drain(cursor, take)
    except psycopg.OperationalError as error:
        raise SourceError(
            f"{shown} cannot be reached ({_first(error)})", hint="check the connection"
        ) from error
    except psycopg.Error as error:
        raise SourceError(f"{shown} refuses the query ({_first(error)})", hint="correct the query") from error


def _drain(cursor: Any, take: Take) -> list[str]:
    names: list[str] = []
    while rows := cursor.fetchmany(_PIECE_ROWS):
        names = names or [str(column[0]) for column in cursor.description]
        take(rows)
    if not names:
        raise SourceError("the query has no rows", hint="check its conditions")
    return names


def _first(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
