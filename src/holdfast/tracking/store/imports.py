"""Marks of what was brought from other stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from holdfast.base.clock import Micros
from holdfast.base.ledger.migrations import Migration
from holdfast.base.ledger.protocol import Reader, Transaction

# A domain of its own, so that its steps do not wait for those of the tables of runs.
MIGRATIONS = (
    Migration(
        "imports",
        1,
        (
            "CREATE TABLE import_mark (project TEXT NOT NULL, source TEXT NOT NULL, kind TEXT NOT NULL,"
            " key TEXT NOT NULL, mark TEXT NOT NULL, marked_at {integer} NOT NULL,"
            " PRIMARY KEY (project, source, kind, key))",
        ),
    ),
)
_KEYS_A_QUERY = 500


def find(reader: Reader, project: str, source: str, kind: str, keys: Sequence[str]) -> dict[str, str]:
    """The marks of those things that have one."""
    found: dict[str, str] = {}
    for start in range(0, len(keys), _KEYS_A_QUERY):
        part = keys[start : start + _KEYS_A_QUERY]
        rows = reader.query(
            "SELECT key, mark FROM import_mark WHERE project = ? AND source = ? AND kind = ?"
            f" AND key IN ({', '.join('?' * len(part))})",
            (project, source, kind, *part),
        )
        found.update((row["key"], row["mark"]) for row in rows)
    return found


def put(
    transaction: Transaction, project: str, source: str, kind: str, marks: Mapping[str, str], at: Micros
) -> None:
    """Sets marks in place of those that are there."""
    transaction.execute_many(
        "INSERT INTO import_mark (project, source, kind, key, mark, marked_at) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (project, source, kind, key) DO UPDATE SET mark = excluded.mark,"
        " marked_at = excluded.marked_at",
        [(project, source, kind, key, mark, at) for key, mark in marks.items()],
    )
