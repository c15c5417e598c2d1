"""A ledger as files that belong to no database, and back: what a backup holds of it.

    tables/<table>.rows    zstd of frames `u32 length, msgpack`; the first is the list of columns, each further one
                           a list of rows
    ledger.json            the schema steps that were applied, rows and last number of every table

Everything is read in one snapshot. Because the files are the same for every database, a backup taken on SQLite is
restored on PostgreSQL and the other way round.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

import msgspec

from holdfast.base.encoding import from_json, from_msgpack, to_json, to_msgpack
from holdfast.base.errors import HomeError
from holdfast.base.ledger.migrations import Migration, refuse_newer
from holdfast.base.ledger.protocol import Ledger, Reader, Transaction

CONTENTS = "ledger.json"
_ROWS_A_FRAME = 500
_LENGTH = struct.Struct("<I")
_OWN_TABLES = ("schema_migration", "leadership")
_TABLES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
    "postgresql": "SELECT table_name AS name FROM information_schema.tables"
    " WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' ORDER BY table_name",
}
_LAST_NUMBERS = {
    "sqlite": "SELECT name, seq AS number FROM sqlite_sequence WHERE seq > 0",
    "postgresql": "SELECT tables.relname AS name, sequences.last_value AS number FROM pg_sequences AS sequences"
    " JOIN pg_depend ON pg_depend.objid"
    " = (quote_ident(sequences.schemaname) || '.' || quote_ident(sequences.sequencename))::regclass"
    " AND pg_depend.deptype IN ('a', 'i') JOIN pg_class AS tables ON tables.oid = pg_depend.refobjid"
    " WHERE sequences.schemaname = current_schema() AND sequences.last_value IS NOT NULL",
}


class LedgerContents(msgspec.Struct, frozen=True):
    """What was exported. `last_numbers` are those that the database handed out, so that none is used twice."""

    steps: tuple[tuple[str, int], ...]
    rows: dict[str, int]
    last_numbers: dict[str, int]


def export_ledger(reader: Reader, folder: Path) -> LedgerContents:
    """Writes every table of a snapshot into a folder, with bounded memory."""
    steps = reader.query("SELECT domain, number FROM schema_migration ORDER BY domain, number")
    contents = LedgerContents(
        tuple((row["domain"], row["number"]) for row in steps),
        {table: _write_table(reader, table, _file(folder, table)) for table in tables_of(reader)},
        {row["name"]: row["number"] for row in reader.query(_LAST_NUMBERS[reader.dialect])},
    )
    (folder / CONTENTS).write_text(to_json(contents))
    return contents


def import_ledger(
    opened: Callable[[Sequence[Migration]], Ledger], folder: Path, migrations: Sequence[Migration]
) -> LedgerContents:
    """Fills an empty ledger with what `export_ledger` wrote, all of it or nothing.

    The tables are first made as they were when the export was taken; later steps then find them filled, as in a
    ledger that has grown.

    Raises:
        HomeError: the ledger is not empty, or the export is of a newer release.
    """
    contents = from_json((folder / CONTENTS).read_bytes(), LedgerContents)
    refuse_newer(set(contents.steps), migrations)
    applied = set(contents.steps)
    ledger = opened([step for step in migrations if (step.domain, step.number) in applied])
    try:
        ledger.write(lambda transaction: _fill(transaction, folder, contents))
    finally:
        ledger.close()
    opened(migrations).close()
    return contents


def tables_of(reader: Reader) -> list[str]:
    """The tables of the domains, by name."""
    names = [row["name"] for row in reader.query(_TABLES[reader.dialect])]
    return [name for name in names if name not in _OWN_TABLES]


def _fill(transaction: Transaction, folder: Path, contents: LedgerContents) -> None:
    for table in tables_of(transaction):
        if transaction.one(f"SELECT 1 AS found FROM {table} LIMIT 1") is not None:
            raise HomeError(
                f"the ledger to restore into is not empty (table {table})",
                hint="name an empty home, and an empty database or another ?schema=NAME",
            )
    for table, count in contents.rows.items():
        if _read_table(transaction, table, _file(folder, table)) != count:
            raise HomeError(f"the backup of table {table} is not whole", hint="use another backup")
    for table, number in contents.last_numbers.items():
        _set_last_number(transaction, table, number)


def _set_last_number(transaction: Transaction, table: str, number: int) -> None:
    if transaction.dialect == "postgresql":
        transaction.query("SELECT setval(pg_get_serial_sequence(?, 'number'), ?)", (table, number))
        return
    transaction.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
    transaction.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, number))


def _file(folder: Path, table: str) -> Path:
    return folder / "tables" / f"{table}.rows"


def _write_table(reader: Reader, table: str, path: Path) -> int:
    import zstandard

    path.parent.mkdir(parents=True, exist_ok=True)
    rows = reader.iterate(f"SELECT * FROM {table}")
    count = 0
    with path.open("wb") as file, zstandard.ZstdCompressor().stream_writer(file) as output:
        while some := list(islice(rows, _ROWS_A_FRAME)):
            if not count:
                _write_frame(output, list(some[0].keys()))
            _write_frame(output, [list(dict(row).values()) for row in some])
            count += len(some)
    return count


def _read_table(transaction: Transaction, table: str, path: Path) -> int:
    import zstandard

    count = 0
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as source:
        frames = _read_frames(source)
        columns = next(frames, [])
        statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' for _ in columns)})"
        for rows in frames:
            transaction.execute_many(statement, rows)
            count += len(rows)
    return count


def _write_frame(output: Any, value: Any) -> None:
    data = to_msgpack(value)
    output.write(_LENGTH.pack(len(data)))
    output.write(data)


def _read_frames(source: IO[bytes]) -> Iterator[list[Any]]:
    while header := _exactly(source, _LENGTH.size):
        yield from_msgpack(_exactly(source, *_LENGTH.unpack(header)), list)


def _exactly(source: IO[bytes], size: int) -> bytes:
    """So many bytes, or fewer at the end: a stream hands out what it has."""
    parts = []
    while size > 0 and (part := source.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
