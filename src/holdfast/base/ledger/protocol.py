"""What a ledger offers, whichever database holds it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol, TypeVar

Row = Mapping[str, Any]
Parameters = Sequence[Any]
Dialect = Literal["sqlite", "postgresql"]
T = TypeVar("T")


class Reader(Protocol):
    """Reads one consistent snapshot."""

    @property
    def dialect(self) -> Dialect:
        """Which database answers, for the few statements that cannot be the same on both."""
        ...

    def query(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """All rows of a SELECT."""
        ...

    def one(self, sql: str, parameters: Parameters = ()) -> Row | None:
        """The first row of a SELECT, or None."""
        ...

    def iterate(self, sql: str, parameters: Parameters = ()) -> Iterator[Row]:
        """The rows of a SELECT with bounded memory, however many there are."""
        ...


class Transaction(Reader, Protocol):
    """Reads and writes; everything in it becomes durable together or not at all.

    A statement that fails ends the change: PostgreSQL takes no further one.

    Raises (all methods):
        IntegrityError: a row breaks a rule of its table.
        InvalidError: a value cannot be stored (a NUL in a text, an integer beyond 64 bits).
    """

    def execute(self, sql: str, parameters: Parameters = ()) -> int:
        """Runs a statement and returns how many rows it changed."""
        ...

    def execute_many(self, sql: str, rows: Iterable[Parameters]) -> None:
        """Runs one statement for many rows."""
        ...

    def insert(self, sql: str, parameters: Parameters = ()) -> int:
        """Runs an INSERT into a table with a `number {serial}` key and returns the new key."""
        ...


class Ledger(Protocol):
    """The one memory of a home."""

    def write(self, change: Callable[[Transaction], T]) -> T:
        """Runs `change` in a transaction and returns its result once it is durable.

        Changes are run one after another, those of all servers that share the ledger: what one reads, no other
        alters before it is done. Changes of several threads share one commit; each is atomic on its own: one
        that raises is undone and raises here, the others stand. `change` must not call `write` and must not do
        anything but talk to the transaction: the writer waits for it, and it may be run again when the database
        went away in the middle.

        Raises:
            UnavailableError: the database is away; nothing was changed, and trying again can help.
            UnknownOutcomeError: it went away while it committed and did not come back to say what became of it.
            LeadLostError: within `leading`, when another server leads by now.
        """
        ...

    def submit(self, change: Callable[[Transaction], T]) -> Future[T]:
        """As `write`, without waiting: the future is done once the change is durable, or raises what it raised.

        For an event loop, which must not wait and need not occupy a thread with waiting.
        """
        ...

    def read(self) -> AbstractContextManager[Reader]:
        """A snapshot to read from; cheap, and never blocked by the writer."""
        ...

    def leading(self) -> AbstractContextManager[int | None]:
        """Takes the lead where it is free, and gives the term of it, or None where another server leads.

        One of all servers that share a ledger leads. What this thread writes inside the block is refused once
        the lead is lost, so a leader that was cut off and replaced does no harm. The term changes only when the
        lead has been somebody else's in between.
        """
        ...

    def close(self) -> None:
        """Finishes what is queued and closes the database."""
        ...
