"""What a ledger offers, whichever database holds it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

Row = Mapping[str, Any]
Parameters = Sequence[Any]
T = TypeVar("T")


class Reader(Protocol):
    """Reads one consistent snapshot."""

    def query(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """All rows of a SELECT."""
        ...

    def one(self, sql: str, parameters: Parameters = ()) -> Row | None:
        """The first row of a SELECT, or None."""
        ...


class Transaction(Reader, Protocol):
    """Reads and writes; everything in it becomes durable together or not at all."""

    def execute(self, sql: str, parameters: Parameters = ()) -> int:
        """Runs a statement and returns how many rows it changed."""
        ...

    def execute_many(self, sql: str, rows: Iterable[Parameters]) -> None:
        """Runs one statement for many rows."""
        ...

    def insert(self, sql: str, parameters: Parameters = ()) -> int:
        """Runs an INSERT into a table with a `{serial}` key and returns the new key."""
        ...


class Ledger(Protocol):
    """The one memory of a home."""

    def write(self, change: Callable[[Transaction], T]) -> T:
        """Runs `change` in a transaction and returns its result once it is durable.

        Changes of several threads share one commit; each is atomic on its own: one that raises is undone and
        raises here, the others stand. `change` must not call `write` and must not do anything but talk to the
        transaction, because the writer waits for it.
        """
        ...

    def read(self) -> AbstractContextManager[Reader]:
        """A snapshot to read from; cheap, and never blocked by the writer."""
        ...

    def close(self) -> None:
        """Finishes what is queued and closes the database."""
        ...
