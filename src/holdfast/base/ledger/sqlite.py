"""The ledger on SQLite: WAL, synchronous=FULL, one writer thread with group commit, readers beside it.

One thread owns the writing connection, runs each change of a group in a savepoint and commits once.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar, cast

from holdfast.base.errors import HoldfastError, HomeError, InvalidError, UnavailableError
from holdfast.base.ledger.errors import IntegrityError
from holdfast.base.ledger.migrations import Migration, migrate, refuse_newer
from holdfast.base.ledger.protocol import Dialect, Parameters, Reader, Row, Transaction
from holdfast.base.ledger.writer import Change, GroupWriter, Outcome

T = TypeVar("T")

SQLITE_TYPES = {
    "serial": "INTEGER PRIMARY KEY AUTOINCREMENT",
    "bytes": "BLOB",
    "integer": "INTEGER",
    "real": "REAL",
}
_BUSY_TIMEOUT_MS = 5_000
_ONLY_TERM = 1


class _Connection:
    """A `Transaction` (and `Reader`) over one sqlite3 connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.raw = connection

    @property
    def dialect(self) -> Dialect:
        return "sqlite"

    def query(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        return cast("list[Row]", self._run(sql, parameters).fetchall())

    def one(self, sql: str, parameters: Parameters = ()) -> Row | None:
        return cast("Row | None", self._run(sql, parameters).fetchone())

    def iterate(self, sql: str, parameters: Parameters = ()) -> Iterator[Row]:
        yield from cast("Iterator[Row]", self._run(sql, parameters))

    def execute(self, sql: str, parameters: Parameters = ()) -> int:
        return self._run(sql, parameters).rowcount

    def execute_many(self, sql: str, rows: Iterable[Parameters]) -> None:
        try:
            self.raw.executemany(sql, rows)
        except (sqlite3.IntegrityError, OverflowError) as error:
            raise _portable(error) from error

    def insert(self, sql: str, parameters: Parameters = ()) -> int:
        key = self._run(sql, parameters).lastrowid
        assert key is not None
        return key

    def _run(self, sql: str, parameters: Parameters) -> sqlite3.Cursor:
        try:
            return self.raw.execute(sql, parameters)
        except (sqlite3.IntegrityError, OverflowError) as error:
            raise _portable(error) from error


class SqliteLedger:
    """Opens (and creates) the ledger for writing; a home has at most one of these at a time.

    Args:
        path: the database file.
        migrations: every domain's schema steps, in order of dependency.

    Raises:
        HomeError: the file is not a ledger, cannot be written, or a newer release wrote it.

    Example:
        >>> import tempfile
        >>> ledger = SqliteLedger(Path(tempfile.mkdtemp()) / "ledger.db", [])
        >>> ledger.write(lambda tx: tx.execute("CREATE TABLE t (x INTEGER)"))
        -1
        >>> ledger.close()
    """

    def __init__(self, path: Path, migrations: Sequence[Migration]) -> None:
        self._readers = _ReaderPool(path)
        connection = _open_writer(path)
        try:
            _bring_up_to_date(connection, path, migrations)
        except BaseException:
            connection.close()
            raise

        def end() -> None:
            # The last connection to close folds the log into the file; one that only reads could not.
            self._readers.close()
            connection.close()

        self._writer = GroupWriter(lambda batch: _commit_together(connection, batch), end)

    def write(self, change: Callable[[Transaction], T]) -> T:
        return self._writer.write(change)

    def submit(self, change: Callable[[Transaction], T]) -> Future[T]:
        return self._writer.submit(change)

    def read(self) -> contextlib.AbstractContextManager[Reader]:
        return self._readers.snapshot()

    def leading(self) -> contextlib.AbstractContextManager[int | None]:
        return contextlib.nullcontext(_ONLY_TERM)  # the lock of the home sees to it that there is no other

    def close(self) -> None:
        self._writer.close()


class ReadOnlyLedger:
    """The ledger of a home whose server is not running, for commands that only read.

    Raises:
        HomeError: there is no ledger, or a newer release wrote it.
    """

    def __init__(self, path: Path, migrations: Sequence[Migration]) -> None:
        if not path.exists():
            raise HomeError(
                f"there is no ledger at {path}", hint="start one with `holdfast up FILE` or `holdfast demo`"
            )
        self._readers = _ReaderPool(path)
        with self.read() as reader:
            rows = reader.query("SELECT domain, number FROM schema_migration")
        refuse_newer({(row["domain"], row["number"]) for row in rows}, migrations)

    def write(self, change: Callable[[Transaction], T]) -> T:
        raise not_running()

    def submit(self, change: Callable[[Transaction], T]) -> Future[T]:
        raise not_running()

    def read(self) -> contextlib.AbstractContextManager[Reader]:
        return self._readers.snapshot()

    def leading(self) -> contextlib.AbstractContextManager[int | None]:
        return contextlib.nullcontext(None)

    def close(self) -> None:
        self._readers.close()


def not_running() -> UnavailableError:
    """What a ledger that was opened for reading says to a change."""
    return UnavailableError(
        "the server of this home is not running, so nothing can be written",
        hint="start it with `holdfast server`",
    )


class _ReaderPool:
    """Read-only connections, handed out one a snapshot and used again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Reader]:
        connection = self._take()
        try:
            connection.execute("BEGIN")
            yield _Connection(connection)
        finally:
            connection.rollback()
            with self._lock:
                self._idle.append(connection)

    def close(self) -> None:
        with self._lock:
            for connection in self._idle:
                connection.close()
            self._idle.clear()

    def _take(self) -> sqlite3.Connection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return _connect(f"file:{self._path}?mode=ro", uri=True)


def _connect(target: str, *, uri: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(target, uri=uri, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
    return connection


def _open_writer(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = _connect(str(path))
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
    except (OSError, sqlite3.Error) as error:
        raise HomeError(
            f"the ledger {path} cannot be opened ({error})",
            hint="check the folder, or name another with HOLDFAST_HOME",
        ) from error
    return connection


def _bring_up_to_date(connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration]) -> None:
    try:
        connection.execute("BEGIN IMMEDIATE")
        migrate(_Connection(connection), migrations, SQLITE_TYPES)
        connection.execute("COMMIT")
    except sqlite3.DatabaseError as error:
        raise HomeError(
            f"{path} cannot be used as a ledger ({error})", hint="name another home with HOLDFAST_HOME"
        ) from error


def _portable(error: Exception) -> HoldfastError:
    """An error that a caller may meet, as every ledger raises it."""
    if isinstance(error, sqlite3.IntegrityError):
        return IntegrityError(f"the ledger refused a row ({error})")
    return InvalidError(f"a value cannot be stored ({error})")


def _commit_together(connection: sqlite3.Connection, batch: list[Change]) -> list[Outcome]:
    """Runs each change in a savepoint and commits once. A change that is alone needs no savepoint."""
    transaction = _Connection(connection)
    try:
        connection.execute("BEGIN IMMEDIATE")
        if len(batch) == 1:
            outcomes = [_run(transaction, batch[0])]
        else:
            outcomes = [_attempt(transaction, change) for change in batch]
        connection.execute("COMMIT" if any(outcome.raised is None for outcome in outcomes) else "ROLLBACK")
    except sqlite3.Error as error:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise UnavailableError(f"the ledger could not be written ({error})", hint="check the disk") from error
    return outcomes


def _attempt(transaction: _Connection, change: Change) -> Outcome:
    transaction.execute("SAVEPOINT change")
    outcome = _run(transaction, change)
    if outcome.raised is not None:
        transaction.execute("ROLLBACK TO change")
    transaction.execute("RELEASE change")
    return outcome


def _run(transaction: _Connection, change: Change) -> Outcome:
    try:
        value: Any = change.run(transaction)
    except Exception as raised:  # the caller gets it; the other changes of the group stand
        return Outcome(change.result, raised=raised)
    return Outcome(change.result, value)
