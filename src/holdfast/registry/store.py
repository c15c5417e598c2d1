"""The registry's tables and all of its SQL.

A version's record is written once and never changed; its stage is what its last transition says.
"""

from __future__ import annotations

import msgspec

from holdfast.base.encoding import from_json, to_json
from holdfast.base.ledger.migrations import Migration
from holdfast.base.ledger.protocol import Reader, Row, Transaction
from holdfast.registry.records import Model, ModelVersion, Transition

MIGRATIONS = (
    Migration(
        "registry",
        1,
        (
            "CREATE TABLE model (project TEXT NOT NULL, name TEXT NOT NULL, task TEXT NOT NULL,"
            " created_at {integer} NOT NULL, created_by TEXT NOT NULL, latest_version {integer} NOT NULL,"
            " aliases TEXT NOT NULL, PRIMARY KEY (project, name))",
            "CREATE TABLE model_version (project TEXT NOT NULL, name TEXT NOT NULL,"
            " version {integer} NOT NULL, run_id TEXT NOT NULL, stage TEXT NOT NULL, record TEXT NOT NULL,"
            " PRIMARY KEY (project, name, version))",
            "CREATE UNIQUE INDEX model_version_run ON model_version (project, run_id)",
            "CREATE TABLE version_transition (number {serial}, project TEXT NOT NULL, name TEXT NOT NULL,"
            " version {integer} NOT NULL, stage TEXT NOT NULL, reached_at {integer} NOT NULL,"
            " actor TEXT NOT NULL, actor_kind TEXT NOT NULL, reason TEXT NOT NULL)",
            "CREATE INDEX version_transition_version ON version_transition (project, name, version)",
        ),
    ),
)


def find_model(reader: Reader, project: str, name: str) -> Model | None:
    row = reader.one("SELECT * FROM model WHERE project = ? AND name = ?", (project, name))
    return None if row is None else _model(row)


def list_models(reader: Reader, project: str) -> list[Model]:
    return [
        _model(row) for row in reader.query("SELECT * FROM model WHERE project = ? ORDER BY name", (project,))
    ]


def insert_model(transaction: Transaction, project: str, model: Model) -> None:
    transaction.execute(
        "INSERT INTO model (project, name, task, created_at, created_by, latest_version, aliases)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            project,
            model.name,
            model.task,
            model.created_at,
            model.created_by,
            model.latest_version,
            to_json(model.aliases),
        ),
    )


def set_latest_version(transaction: Transaction, project: str, name: str, version: int) -> None:
    transaction.execute(
        "UPDATE model SET latest_version = ? WHERE project = ? AND name = ?", (version, project, name)
    )


def set_aliases(transaction: Transaction, project: str, name: str, aliases: dict[str, int]) -> None:
    transaction.execute(
        "UPDATE model SET aliases = ? WHERE project = ? AND name = ?", (to_json(aliases), project, name)
    )


def insert_version(transaction: Transaction, project: str, version: ModelVersion) -> None:
    """Writes the immutable record; stage and transitions have rows of their own."""
    record = msgspec.structs.replace(version, transitions=())
    transaction.execute(
        "INSERT INTO model_version (project, name, version, run_id, stage, record) VALUES (?, ?, ?, ?, ?, ?)",
        (project, version.name, version.version, version.run_id, version.stage, to_json(record)),
    )


def insert_transition(
    transaction: Transaction, project: str, name: str, version: int, transition: Transition
) -> None:
    """Appends a transition and moves the version to its stage."""
    transaction.insert(
        "INSERT INTO version_transition (project, name, version, stage, reached_at, actor, actor_kind, reason)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            project,
            name,
            version,
            transition.stage,
            transition.at,
            transition.actor,
            transition.actor_kind,
            transition.reason,
        ),
    )
    transaction.execute(
        "UPDATE model_version SET stage = ? WHERE project = ? AND name = ? AND version = ?",
        (transition.stage, project, name, version),
    )


def find_version(reader: Reader, project: str, name: str, version: int) -> ModelVersion | None:
    row = reader.one(
        "SELECT * FROM model_version WHERE project = ? AND name = ? AND version = ?", (project, name, version)
    )
    return None if row is None else _version(reader, row)


def find_version_of_run(reader: Reader, project: str, run_id: str) -> ModelVersion | None:
    row = reader.one("SELECT * FROM model_version WHERE project = ? AND run_id = ?", (project, run_id))
    return None if row is None else _version(reader, row)


def list_versions(
    reader: Reader, project: str, name: str, before: int | None, limit: int
) -> list[ModelVersion]:
    """Newest first, below version number `before` where it is given."""
    condition, parameters = ("AND version < ?", (before,)) if before is not None else ("", ())
    rows = reader.query(
        f"SELECT * FROM model_version WHERE project = ? AND name = ? {condition}"
        " ORDER BY version DESC LIMIT ?",
        (project, name, *parameters, limit),
    )
    return [_version(reader, row) for row in rows]


def _model(row: Row) -> Model:
    return Model(
        row["name"],
        row["task"],
        row["created_at"],
        row["created_by"],
        row["latest_version"],
        from_json(row["aliases"], dict[str, int]),
    )


def _version(reader: Reader, row: Row) -> ModelVersion:
    transitions = reader.query(
        "SELECT stage, reached_at, actor, actor_kind, reason FROM version_transition"
        " WHERE project = ? AND name = ? AND version = ? ORDER BY number",
        (row["project"], row["name"], row["version"]),
    )
    return msgspec.structs.replace(
        from_json(row["record"], ModelVersion),
        stage=row["stage"],
        transitions=tuple(Transition(*tuple(each.values())) for each in map(dict, transitions)),
    )
