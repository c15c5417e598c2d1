"""The audit trail: one entry for each governed change, chained by hash so that a later edit shows.

Each entry's hash covers the hash before it, the actor, the action, the subject, the detail and the time.
Telemetry (metrics, predictions) is not governed and is not here.
"""

from __future__ import annotations

from typing import Any

import msgspec
from blake3 import blake3

from holdfast.base.clock import Micros
from holdfast.base.context import Context
from holdfast.base.encoding import to_json
from holdfast.base.ledger.migrations import Migration
from holdfast.base.ledger.protocol import Reader, Row, Transaction

MIGRATIONS = (
    Migration(
        "audit",
        1,
        (
            "CREATE TABLE audit_entry (number {serial}, project TEXT NOT NULL, actor TEXT NOT NULL,"
            " actor_kind TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL, detail TEXT NOT NULL,"
            " created_at {integer} NOT NULL, hash TEXT NOT NULL)",
            "CREATE INDEX audit_entry_subject ON audit_entry (project, subject)",
        ),
    ),
)

_GENESIS = "0" * 64


class AuditEntry(msgspec.Struct, frozen=True):
    """Who did what to which object, when."""

    number: int
    project: str
    actor: str
    actor_kind: str
    action: str
    subject: str
    detail: str
    created_at: Micros
    hash: str


class AuditVerdict(msgspec.Struct, frozen=True):
    """Whether the chain holds; `broken_at` is the first entry that does not fit the one before it."""

    entries: int
    intact: bool
    broken_at: int | None = None


def record(
    transaction: Transaction, context: Context, action: str, subject: str, detail: Any, at: Micros
) -> None:
    """Appends an entry. `detail` is anything that encodes to JSON."""
    last = transaction.one("SELECT hash FROM audit_entry ORDER BY number DESC LIMIT 1")
    fields = (
        context.project,
        context.actor.name,
        context.actor.kind,
        action,
        subject,
        to_json(detail),
        at,
    )
    transaction.insert(
        "INSERT INTO audit_entry (project, actor, actor_kind, action, subject, detail, created_at, hash)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (*fields, _chain(last["hash"] if last else _GENESIS, fields)),
    )


def entries(
    reader: Reader, context: Context, subject: str | None = None, limit: int = 200
) -> list[AuditEntry]:
    """The newest entries of the project, or of one subject."""
    condition, parameters = ("AND subject = ?", (subject,)) if subject else ("", ())
    rows = reader.query(
        f"SELECT * FROM audit_entry WHERE project = ? {condition} ORDER BY number DESC LIMIT ?",
        (context.project, *parameters, limit),
    )
    return [AuditEntry(**dict(row)) for row in rows]


def verify(reader: Reader) -> AuditVerdict:
    """Recomputes the whole chain."""
    before = _GENESIS
    rows = reader.query("SELECT * FROM audit_entry ORDER BY number")
    for row in rows:
        if row["hash"] != _chain(before, _fields(row)):
            return AuditVerdict(len(rows), False, row["number"])
        before = row["hash"]
    return AuditVerdict(len(rows), True)


def _fields(row: Row) -> tuple[Any, ...]:
    names = ("project", "actor", "actor_kind", "action", "subject", "detail", "created_at")
    return tuple(row[name] for name in names)


def _chain(before: str, fields: tuple[Any, ...]) -> str:
    return blake3(to_json([before, *fields]).encode()).hexdigest()
