"""The ledger on PostgreSQL: for teams, and for several servers that share one memory.

Writes work as on SQLite. One thread of each server owns the writing connection and commits groups; a group begins by
taking one advisory lock, so that the groups of all servers follow one another. Read-committed statements behind
that lock see everything committed before and nothing changes under them: a change is serialisable without
being retried, and numbers that the database hands out grow in the order of commits, which the cursors of
event listeners and the chain of the audit trail rely on. Needs PostgreSQL 13 or newer.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import TypeVar

import psycopg
from blake3 import blake3

from holdfast.base.errors import HomeError, UnavailableError
from holdfast.base.ledger.errors import LeadLostError, UnknownOutcomeError
from holdfast.base.ledger.migrations import Migration, migrate, refuse_newer
from holdfast.base.ledger.postgres_connection import (
    LOST,
    POSTGRES_TYPES,
    RETRIED,
    Address,
    Connection,
    ConnectionLostError,
    Session,
)
from holdfast.base.ledger.protocol import Reader, Transaction
from holdfast.base.ledger.sqlite import not_running
from holdfast.base.ledger.writer import Change, GroupWriter, Outcome

T = TypeVar("T")

_ATTEMPTS_MOST = 3
_IN_DOUBT_S = 30.0
_POLL_S = 0.1
_READERS_IDLE_MOST = 8
_READERS_MOST = 32
_READER_WITHIN_S = 10.0

_LEADERSHIP = (
    "CREATE TABLE IF NOT EXISTS leadership"
    " (id INTEGER PRIMARY KEY, holder TEXT NOT NULL, term BIGINT NOT NULL)"
)
_TAKE_OFFICE = (
    "INSERT INTO leadership (id, holder, term) VALUES (1, ?, 1) ON CONFLICT (id) DO UPDATE SET"
    " term = leadership.term + CASE WHEN leadership.holder = excluded.holder THEN 0 ELSE 1 END,"
    " holder = excluded.holder RETURNING term"
)


class PostgresLedger:
    """Opens (and creates) the ledger in a schema of a database; several servers may have it open.

    Args:
        url: `postgresql://user@host:5432/database`, with `?schema=NAME` for another schema than `holdfast`.
        migrations: every domain's schema steps, in order of dependency.

    Raises:
        UnavailableError: the database does not answer.
        HomeError: a newer release wrote the ledger, or the user may not create its tables.
        InvalidError: the URL cannot be understood.
    """

    def __init__(self, url: str, migrations: Sequence[Migration]) -> None:
        self._address = Address(url)
        _create(self._address, migrations)
        self._readers = _ReaderPool(self._address)
        self._committer = _Committer(self._address)
        self._writer = GroupWriter(self._committer.commit, self._committer.drop)
        self._decided_in = threading.local()

    def write(self, change: Callable[[Transaction], T]) -> T:
        return self._writer.write(change, getattr(self._decided_in, "term", None))

    def submit(self, change: Callable[[Transaction], T]) -> Future[T]:
        return self._writer.submit(change, getattr(self._decided_in, "term", None))

    def read(self) -> contextlib.AbstractContextManager[Reader]:
        return self._readers.snapshot()

    @contextlib.contextmanager
    def leading(self) -> Iterator[int | None]:
        term = self._committer.term or self._writer.write(self._committer.take_lead)
        self._decided_in.term = term
        try:
            yield term
        finally:
            self._decided_in.term = None

    def close(self) -> None:
        self._writer.close()
        self._readers.close()


class ReadOnlyPostgresLedger:
    """The ledger for commands that only read, while no server of this home runs.

    Raises:
        HomeError: there is no ledger, or a newer release wrote it.
        UnavailableError: the database does not answer.
    """

    def __init__(self, url: str, migrations: Sequence[Migration]) -> None:
        address = Address(url)
        self._readers = _ReaderPool(address)
        with self.read() as reader:
            found = reader.one("SELECT to_regclass('schema_migration') AS name")
            if found is None or found["name"] is None:
                raise HomeError(
                    f"there is no ledger at {address}", hint="start one with `holdfast server --ledger URL`"
                )
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


class _Committer:
    """Makes groups of changes durable, over a connection that may break at any moment.

    `term` is the term in which this process leads, as long as the connection that holds the leader's lock
    lives; losing the connection is losing the lead.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._holder = f"{socket.gethostname()}/{os.getpid()}/{time.monotonic_ns()}"
        self._write_key, self._lead_key = _key(address, "write"), _key(address, "lead")
        self._connection: Connection | None = None
        self.term: int | None = None

    def commit(self, batch: list[Change]) -> list[Outcome]:
        """Runs the group and commits it, on a new connection where the old one has gone.

        A group whose connection broke before the commit was sent has left nothing and is run again; one whose
        commit got no answer is looked up by its transaction id. So nothing is done twice and nothing is lost.
        """
        for attempt in range(1, _ATTEMPTS_MOST + 1):
            try:
                outcomes = self._commit_once(batch)
            except (ConnectionLostError, *LOST, *RETRIED) as error:
                self.drop()
                if attempt == _ATTEMPTS_MOST:
                    raise self._address.away(error) from error
                continue
            except Exception:
                self.drop()  # it may stand in the middle of a transaction
                raise
            if outcomes is not None:
                return outcomes
        raise UnavailableError(f"the ledger {self._address} went away, nothing was changed", hint="try again")

    def take_lead(self, transaction: Transaction) -> int | None:
        """A change that takes the lead where it is free; the lock is the connection's and ends with it."""
        if self.term is None:
            got = transaction.one("SELECT pg_try_advisory_lock(?) AS got", (self._lead_key,))
            if got is not None and got["got"]:
                row = transaction.one(_TAKE_OFFICE, (self._holder,))
                self.term = row["term"] if row else None
        return self.term

    def drop(self) -> None:
        """Lets go of the connection, and with it of the lead."""
        self.term = None
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()

    def _commit_once(self, batch: list[Change]) -> list[Outcome] | None:
        """The outcomes of a group that is durable, or None where it certainly is not."""
        if self._connection is None or self._connection.closed:
            self._connection = self._address.connect(writing=True)
        connection = self._connection
        number = self._begin(connection)
        outcomes = self._run(Session(connection, self._address), batch)
        if all(outcome.raised is not None for outcome in outcomes):
            connection.execute("ROLLBACK")
            return outcomes
        try:
            committed = connection.execute("COMMIT").statusmessage
        except psycopg.Error as error:
            self.drop()
            return outcomes if self._was_committed(number, error) else None
        if (
            committed != "COMMIT"
        ):  # PostgreSQL answers ROLLBACK, and no error, when a statement had failed before
            raise psycopg.errors.InFailedSqlTransaction(
                "a change went on after one of its statements had failed"
            )
        return outcomes

    def _begin(self, connection: Connection) -> str:
        """Begins a group once no other server is in one; returns the id of the transaction, all in one journey."""
        cursor = connection.execute(
            f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock({self._write_key});"
            " SELECT pg_current_xact_id()::text AS number"
        )
        while cursor.nextset():
            pass
        row = cursor.fetchone()
        assert row is not None
        return str(row["number"])

    def _run(self, session: Session, batch: list[Change]) -> list[Outcome]:
        if len(batch) == 1:  # what an idle ledger sees: no savepoint, two journeys less
            return [self._attempt(session, batch[0])]
        outcomes = []
        before = ""
        for change in batch:
            session.raw.execute(f"{before}SAVEPOINT change")
            outcome = self._attempt(session, change)
            if outcome.raised is not None:
                session.raw.execute("ROLLBACK TO change")
            before = "RELEASE change; "
            outcomes.append(outcome)
        return outcomes

    def _attempt(self, session: Session, change: Change) -> Outcome:
        try:
            if change.term is not None and self.take_lead(session) != change.term:
                raise LeadLostError("another server leads the ledger by now, so this is for it to decide")
            return Outcome(change.result, change.run(session))
        except (ConnectionLostError, *LOST, *RETRIED):
            raise  # it concerns the whole group
        except Exception as raised:  # the caller gets it; the other changes of the group stand
            return Outcome(change.result, raised=raised)

    def _was_committed(self, number: str, error: psycopg.Error) -> bool:
        """What became of a transaction whose COMMIT got no answer.

        Raises:
            UnknownOutcomeError: the database did not come back in time.
        """
        deadline = time.monotonic() + _IN_DOUBT_S
        while True:
            with contextlib.suppress(UnavailableError, psycopg.Error), self._address.connect() as connection:
                row = connection.execute("SELECT pg_xact_status($1::xid8) AS status", (number,)).fetchone()
                if row is not None and row["status"] in ("committed", "aborted"):
                    return bool(row["status"] == "committed")
            if time.monotonic() > deadline:
                raise UnknownOutcomeError(
                    f"the ledger {self._address} went away while it saved, and whether it did is not known ({error})",
                    hint="look at what is there before you try again",
                )
            time.sleep(_POLL_S)


class _ReaderPool:
    """Connections that only read, handed out one a snapshot; a few stay open for the next.

    Raises (from `snapshot`):
        UnavailableError: the database does not answer, or too many read at once.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._idle: list[Connection] = []
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(_READERS_MOST)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Reader]:
        if not self._places.acquire(timeout=_READER_WITHIN_S):
            raise UnavailableError(f"{_READERS_MOST} others are reading the ledger", hint="try again")
        try:
            connection = self._begun()
            try:
                yield Session(connection, self._address)
            finally:
                self._give_back(connection)
        finally:
            self._places.release()

    def close(self) -> None:
        with self._lock:
            for connection in self._idle:
                connection.close()
            self._idle.clear()

    def _begun(self) -> Connection:
        """A connection in a snapshot. Those that a restart of the database broke are replaced."""
        while True:
            with self._lock:
                idle = self._idle.pop() if self._idle else None
            connection = idle or self._address.connect()
            try:
                connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            except LOST as error:
                connection.close()
                if idle is None:
                    raise self._address.away(error) from error
            else:
                return connection

    def _give_back(self, connection: Connection) -> None:
        with contextlib.suppress(psycopg.Error):
            connection.execute("ROLLBACK")
            with self._lock:
                if len(self._idle) < _READERS_IDLE_MOST:
                    self._idle.append(connection)
                    return
        connection.close()


def _create(address: Address, migrations: Sequence[Migration]) -> None:
    """Brings the schema up to date. One server at a time does it; those that start beside it wait."""
    with address.connect() as connection:
        session = Session(connection, address)
        try:
            with connection.transaction():
                session.execute("SELECT pg_advisory_xact_lock(?)", (_key(address, "migrate"),))
                if (
                    session.one("SELECT 1 AS yes FROM pg_namespace WHERE nspname = ?", (address.schema,))
                    is None
                ):
                    session.execute(f'CREATE SCHEMA "{address.schema}"')
                session.execute("SET LOCAL client_min_messages = warning")
                session.execute(_LEADERSHIP)
                migrate(session, [_comparing_bytes(step) for step in migrations], POSTGRES_TYPES)
        except psycopg.Error as error:
            raise HomeError(
                f"{address} cannot be used as a ledger ({str(error).strip().splitlines()[0]})",
                hint="its user must be allowed to create tables there",
            ) from error


def _comparing_bytes(step: Migration) -> Migration:
    """Texts sort and compare as on SQLite, whatever the language of the database."""
    statements = tuple(re.sub(r"\bTEXT\b", 'TEXT COLLATE "C"', statement) for statement in step.statements)
    return Migration(step.domain, step.number, statements)


def _key(address: Address, purpose: str) -> int:
    """The number of an advisory lock; locks are the database's, ledgers the schema's."""
    digest = blake3(f"holdfast {address.schema} {purpose}".encode()).digest(8)
    return int.from_bytes(digest, "big", signed=True)
