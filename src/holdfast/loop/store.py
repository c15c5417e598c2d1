"""The tables of the loop: what was declared, and every decision with its evidence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from holdfast.base.clock import Micros
from holdfast.base.context import Context
from holdfast.base.encoding import from_json, to_json
from holdfast.base.garbage import digests_of
from holdfast.base.ledger import Migration, Reader, Row, Transaction
from holdfast.loop.records import Decision, DecisionKind, LoopSpec

MIGRATIONS = (
    Migration(
        "loop",
        1,
        (
            "CREATE TABLE declaration (project TEXT NOT NULL, name TEXT NOT NULL, spec TEXT NOT NULL,"
            " bundle TEXT NOT NULL, entry TEXT NOT NULL, active INTEGER NOT NULL, declared_at {integer} NOT NULL,"
            " declared_by TEXT NOT NULL, PRIMARY KEY (project, name))",
            "CREATE TABLE decision (number {serial}, project TEXT NOT NULL, model TEXT NOT NULL,"
            " environment TEXT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, rule TEXT NOT NULL,"
            " reason TEXT NOT NULL, evidence TEXT NOT NULL, reversal TEXT NOT NULL, actor TEXT NOT NULL,"
            " actor_kind TEXT NOT NULL, decided_at {integer} NOT NULL, applied_at {integer})",
            "CREATE INDEX decision_model ON decision (project, model, number)",
        ),
    ),
)


class Declaration(msgspec.Struct, frozen=True):
    """A model as its file declares it, with the code that goes with it; `active`: the loop is in charge."""

    spec: LoopSpec
    bundle: str
    entry: str
    active: bool
    declared_at: Micros
    declared_by: str

    @property
    def name(self) -> str:
        return self.spec.model.name


def put_declaration(transaction: Transaction, context: Context, declaration: Declaration) -> None:
    """Adds or replaces a declaration; one that is active stays so."""
    transaction.execute(
        "INSERT INTO declaration (project, name, spec, bundle, entry, active, declared_at, declared_by)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (project, name) DO UPDATE SET spec = excluded.spec,"
        " bundle = excluded.bundle, entry = excluded.entry, declared_at = excluded.declared_at,"
        " declared_by = excluded.declared_by,"
        " active = CASE WHEN declaration.active > excluded.active THEN declaration.active ELSE excluded.active END",
        (
            context.project,
            declaration.name,
            to_json(declaration.spec),
            declaration.bundle,
            declaration.entry,
            int(declaration.active),
            declaration.declared_at,
            declaration.declared_by,
        ),
    )


def get_declaration(reader: Reader, context: Context, name: str) -> Declaration | None:
    row = reader.one("SELECT * FROM declaration WHERE project = ? AND name = ?", (context.project, name))
    return _declaration(row) if row else None


def declarations(reader: Reader, context: Context) -> list[Declaration]:
    """Every declaration of a project, by name."""
    rows = reader.query("SELECT * FROM declaration WHERE project = ? ORDER BY name", (context.project,))
    return [_declaration(row) for row in rows]


def projects(reader: Reader) -> list[str]:
    """The projects in which something is declared."""
    return [
        row["project"] for row in reader.query("SELECT DISTINCT project FROM declaration ORDER BY project")
    ]


def add_decision(
    transaction: Transaction,
    context: Context,
    *,
    model: str,
    environment: str,
    kind: DecisionKind,
    subject: str,
    rule: str,
    reason: str,
    evidence: dict[str, Any],
    reversal: str,
    at: Micros,
) -> int:
    """Records a decision in the transaction of its effects and returns its number."""
    return transaction.insert(
        "INSERT INTO decision (project, model, environment, kind, subject, rule, reason, evidence, reversal,"
        " actor, actor_kind, decided_at, applied_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            context.project,
            model,
            environment,
            kind,
            subject,
            rule,
            reason,
            to_json(evidence),
            reversal,
            context.actor.name,
            context.actor.kind,
            at,
            at,
        ),
    )


def decisions(
    reader: Reader, context: Context, model: str | None = None, kind: str | None = None, limit: int = 200
) -> list[Decision]:
    """The newest decisions, of one model or one kind where they are named."""
    condition, parameters = "project = ?", [context.project]
    for column, value in (("model", model), ("kind", kind)):
        if value is not None:
            condition += f" AND {column} = ?"
            parameters.append(value)
    rows = reader.query(
        f"SELECT * FROM decision WHERE {condition} ORDER BY number DESC LIMIT ?", (*parameters, limit)
    )
    return [_decision(row) for row in rows]


def get_decision(reader: Reader, context: Context, number: int) -> Decision | None:
    row = reader.one("SELECT * FROM decision WHERE project = ? AND number = ?", (context.project, number))
    return _decision(row) if row else None


def decided(reader: Reader, context: Context, kind: DecisionKind, subject: str) -> bool:
    """Whether a decision of the kind was taken about the subject."""
    return (
        reader.one(
            "SELECT number FROM decision WHERE project = ? AND kind = ? AND subject = ? LIMIT 1",
            (context.project, kind, subject),
        )
        is not None
    )


def count_decisions(reader: Reader) -> int:
    """How many decisions were taken in all projects."""
    row = reader.one("SELECT COUNT(*) AS count FROM decision")
    return int(row["count"]) if row else 0


def first_champion(reader: Reader, context: Context, environment: str, model: str) -> int | None:
    """The version that went live first, or None where none ever did."""
    row = reader.one(
        "SELECT subject FROM decision WHERE project = ? AND environment = ? AND model = ?"
        " AND kind IN ('deploy', 'promote') ORDER BY number LIMIT 1",
        (context.project, environment, model),
    )
    return int(row["subject"].rpartition("@")[2]) if row else None


def last_training_at(reader: Reader, context: Context, model: str) -> Micros | None:
    """When the last training of a model was decided, by the loop or a person."""
    row = reader.one(
        "SELECT MAX(decided_at) AS at FROM decision WHERE project = ? AND model = ? AND kind = 'retrain'",
        (context.project, model),
    )
    return row["at"] if row else None


def _declaration(row: Row) -> Declaration:
    return Declaration(
        from_json(row["spec"], LoopSpec),
        row["bundle"],
        row["entry"],
        bool(row["active"]),
        row["declared_at"],
        row["declared_by"],
    )


def _decision(row: Row) -> Decision:
    values = {name: row[name] for name in Decision.__struct_fields__ if name != "evidence"}
    return Decision(**values, evidence=from_json(row["evidence"], dict))


def blobs_named(reader: Reader) -> Iterator[str]:
    """Every blob that a declaration or decision refers to; a garbage collection leaves them alone."""
    return digests_of(
        reader.iterate(
            "SELECT bundle AS one, spec AS another FROM declaration"
            " UNION ALL SELECT evidence, reversal FROM decision"
        )
    )
