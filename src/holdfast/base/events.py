"""Events: ledger rows with ids in them, delivered at least once to listeners that bear repetition.

This is how lower rooms talk upward: `monitoring` announces, `loop` listens. Each listener has a cursor of its
own in the ledger, moved after the listener returned; a crash between the two delivers the event again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from holdfast.base.clock import Micros
from holdfast.base.context import Context
from holdfast.base.encoding import from_json, to_json
from holdfast.base.ledger.migrations import Migration
from holdfast.base.ledger.protocol import Ledger, Transaction

logger = logging.getLogger(__name__)

MIGRATIONS = (
    Migration(
        "events",
        1,
        (
            "CREATE TABLE event (number {serial}, project TEXT NOT NULL, kind TEXT NOT NULL,"
            " payload TEXT NOT NULL, created_at {integer} NOT NULL)",
            "CREATE TABLE event_cursor (listener TEXT PRIMARY KEY, number {integer} NOT NULL)",
        ),
    ),
)

_BATCH = 200


class Event(msgspec.Struct, frozen=True):
    """Something that happened: a kind such as `serving.revised` and ids, never whole objects."""

    number: int
    project: str
    kind: str
    payload: dict[str, Any]
    created_at: Micros


def emit(
    transaction: Transaction, context: Context, kind: str, payload: Mapping[str, Any], at: Micros
) -> None:
    """Records an event in the transaction of the change it tells of."""
    transaction.insert(
        "INSERT INTO event (project, kind, payload, created_at) VALUES (?, ?, ?, ?)",
        (context.project, kind, to_json(dict(payload)), at),
    )


class EventDispatcher:
    """Delivers events to listeners, in order, at least once.

    A listener that raises is tried again at the next `dispatch`; the others go on.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._listeners: dict[str, tuple[frozenset[str], Callable[[Event], None]]] = {}
        self._lock = threading.Lock()

    def listen(self, name: str, kinds: set[str], listener: Callable[[Event], None]) -> None:
        """Registers an idempotent listener under a name that stays the same across restarts."""
        self._listeners[name] = (frozenset(kinds), listener)

    def dispatch(self) -> int:
        """Delivers what is pending and returns how many deliveries were made."""
        with self._lock:
            return sum(self._deliver(name, *entry) for name, entry in self._listeners.items())

    def _deliver(self, name: str, kinds: frozenset[str], listener: Callable[[Event], None]) -> int:
        delivered = 0
        while events := self._pending(name):
            for event in events:
                if event.kind in kinds:
                    try:
                        listener(event)
                    except Exception:
                        logger.exception(
                            "listener %s failed on event %d; it will be tried again", name, event.number
                        )
                        self._advance(name, event.number - 1)
                        return delivered
                    delivered += 1
            self._advance(name, events[-1].number)
        return delivered

    def _pending(self, name: str) -> list[Event]:
        with self._ledger.read() as reader:
            cursor = reader.one("SELECT number FROM event_cursor WHERE listener = ?", (name,))
            rows = reader.query(
                "SELECT * FROM event WHERE number > ? ORDER BY number LIMIT ?",
                (cursor["number"] if cursor else 0, _BATCH),
            )
        return [
            Event(
                row["number"], row["project"], row["kind"], from_json(row["payload"], dict), row["created_at"]
            )
            for row in rows
        ]

    def _advance(self, name: str, number: int) -> None:
        self._ledger.write(
            lambda tx: tx.execute(
                "INSERT INTO event_cursor (listener, number) VALUES (?, ?)"
                " ON CONFLICT (listener) DO UPDATE SET number = excluded.number",
                (name, number),
            )
        )
