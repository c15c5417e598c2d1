"""The ledger on SQLite: WAL, synchronous=FULL, one writer thread with group commit, readers beside it.

One thread owns the writing connection. It takes everything that is queued, runs each change in a savepoint
and commits once: under load many changes share one fsync, and an idle ledger commits at once, without a timer.
"""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar, cast

from holdfast.base.errors import HomeError, UnavailableError
from holdfast.base.ledger.migrations import Migration, migrate, refuse_newer
from holdfast.base.ledger.protocol import Parameters, Reader, Row, Transaction

T = TypeVar("T")

SQLITE_TYPES = {
    "serial": "INTEGER PRIMARY KEY AUTOINCREMENT",
    "bytes": "BLOB",
    "integer": "INTEGER",
}
_GROUP_MOST = 512
_BUSY_TIMEOUT_MS = 5_000


class _Connection:
    """A `Transaction` (and `Reader`) over one sqlite3 connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.raw = connection

    def query(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        return cast("list[Row]", self.raw.execute(sql, parameters).fetchall())

    def one(self, sql: str, parameters: Parameters = ()) -> Row | None:
        return cast("Row | None", self.raw.execute(sql, parameters).fetchone())

    def execute(self, sql: str, parameters: Parameters = ()) -> int:
        return self.raw.execute(sql, parameters).rowcount

    def execute_many(self, sql: str, rows: Iterable[Parameters]) -> None:
        self.raw.executemany(sql, rows)

    def insert(self, sql: str, parameters: Parameters = ()) -> int:
        key = self.raw.execute(sql, parameters).lastrowid
        assert key is not None
        return key


_Change = tuple[Callable[[Transaction], Any], "Future[Any]"]


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
        self._path = path
        self._readers = _ReaderPool(path)
        self._queue: queue.SimpleQueue[_Change | None] = queue.SimpleQueue()
        self._closed = False
        writer = _open_writer(path)
        try:
            writer.execute("BEGIN IMMEDIATE")
            migrate(_Connection(writer), migrations, SQLITE_TYPES)
            writer.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            raise HomeError(
                f"{path} cannot be used as a ledger ({error})", hint="name another home with HOLDFAST_HOME"
            ) from error
        self._thread = threading.Thread(target=self._run, args=(writer,), name="ledger-writer", daemon=True)
        self._thread.start()

    def write(self, change: Callable[[Transaction], T]) -> T:
        if self._closed:
            raise UnavailableError("the ledger is closed", hint="start the server again")
        assert threading.current_thread() is not self._thread, "a change must not write to the ledger again"
        result: Future[T] = Future()
        self._queue.put((change, result))
        return result.result()

    def read(self) -> contextlib.AbstractContextManager[Reader]:
        return self._readers.snapshot()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            self._thread.join()
            self._readers.close()

    def _run(self, writer: sqlite3.Connection) -> None:
        going_on = True
        while going_on:
            batch, going_on = self._take()
            if batch:
                _commit_together(writer, batch)
        writer.close()

    def _take(self) -> tuple[list[_Change], bool]:
        """Everything queued, at least one item; the flag says whether to go on."""
        batch: list[_Change] = []
        item = self._queue.get()
        while item is not None:
            batch.append(item)
            if len(batch) >= _GROUP_MOST:
                return batch, True
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False


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
        raise UnavailableError(
            "the server of this home is not running, so nothing can be written",
            hint="start it with `holdfast server`",
        )

    def read(self) -> contextlib.AbstractContextManager[Reader]:
        return self._readers.snapshot()

    def close(self) -> None:
        self._readers.close()


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


def _commit_together(writer: sqlite3.Connection, batch: list[_Change]) -> None:
    """Runs each change in a savepoint, commits once, and only then answers."""
    transaction = _Connection(writer)
    outcomes: list[tuple[Future[Any], Any, BaseException | None]] = []
    try:
        writer.execute("BEGIN IMMEDIATE")
        for change, result in batch:
            outcomes.append((result, *_attempt(transaction, change)))
        writer.execute("COMMIT")
    except sqlite3.Error as error:
        with contextlib.suppress(sqlite3.Error):
            writer.execute("ROLLBACK")
        failure = UnavailableError(f"the ledger could not be written ({error})", hint="check the disk")
        for _, result in batch:
            result.set_exception(failure)
        return
    for result, value, raised in outcomes:
        if raised is None:
            result.set_result(value)
        else:
            result.set_exception(raised)


def _attempt(
    transaction: _Connection, change: Callable[[Transaction], Any]
) -> tuple[Any, BaseException | None]:
    transaction.execute("SAVEPOINT change")
    try:
        value = change(transaction)
    except Exception as raised:  # the caller gets it; the other changes of the group stand
        transaction.execute("ROLLBACK TO change")
        transaction.execute("RELEASE change")
        return None, raised
    transaction.execute("RELEASE change")
    return value, None
