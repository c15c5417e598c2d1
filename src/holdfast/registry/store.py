"""The registry's tables and all of its SQL.

A version's record is written once and never changed; its stage is what its last transition says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from holdfast.base import urn
from holdfast.base.clock import Micros
from holdfast.base.encoding import from_json, to_json
from holdfast.base.garbage import digests_of
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
    Migration(
        "registry",
        2,
        (
            "ALTER TABLE model ADD COLUMN description TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE model ADD COLUMN tags TEXT NOT NULL DEFAULT '{{}}'",
            "ALTER TABLE model ADD COLUMN updated_at {integer} NOT NULL DEFAULT 0",
            "ALTER TABLE model ADD COLUMN deleted_at {integer}",
            "UPDATE model SET updated_at = created_at",
            "ALTER TABLE model_version ADD COLUMN origin TEXT NOT NULL DEFAULT 'trained'",
            "ALTER TABLE model_version ADD COLUMN source TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE model_version ADD COLUMN description TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE model_version ADD COLUMN tags TEXT NOT NULL DEFAULT '{{}}'",
            "ALTER TABLE model_version ADD COLUMN label TEXT NOT NULL DEFAULT 'None'",
            "ALTER TABLE model_version ADD COLUMN logged_model TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE model_version ADD COLUMN run_link TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE model_version ADD COLUMN created_by TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE model_version ADD COLUMN created_at {integer} NOT NULL DEFAULT 0",
            "ALTER TABLE model_version ADD COLUMN updated_at {integer} NOT NULL DEFAULT 0",
            "ALTER TABLE model_version ADD COLUMN deleted_at {integer}",
            "UPDATE model_version SET created_at = COALESCE((SELECT MIN(reached_at) FROM version_transition"
            " WHERE version_transition.project = model_version.project AND version_transition.name ="
            " model_version.name AND version_transition.version = model_version.version), 0)",
            "UPDATE model_version SET updated_at = created_at",
            # A run of an outside client may register as many versions as it likes.
            "DROP INDEX model_version_run",
            "CREATE UNIQUE INDEX model_version_trained_run ON model_version (project, run_id)"
            " WHERE origin = 'trained'",
            "CREATE INDEX model_version_by_run ON model_version (project, run_id)",
            "CREATE TABLE alias_request (number {serial}, project TEXT NOT NULL, name TEXT NOT NULL,"
            " alias TEXT NOT NULL, version {integer} NOT NULL, state TEXT NOT NULL, requested_by TEXT NOT NULL,"
            " requested_at {integer} NOT NULL, decided_by TEXT NOT NULL DEFAULT '', decided_at {integer},"
            " reason TEXT NOT NULL DEFAULT '')",
            "CREATE INDEX alias_request_model ON alias_request (project, name, state)",
            "CREATE TABLE webhook (project TEXT NOT NULL, webhook_id TEXT NOT NULL, name TEXT NOT NULL,"
            " description TEXT NOT NULL, url TEXT NOT NULL, events TEXT NOT NULL, secret TEXT NOT NULL,"
            " active {integer} NOT NULL, created_at {integer} NOT NULL, updated_at {integer} NOT NULL,"
            " PRIMARY KEY (project, webhook_id))",
            "CREATE TABLE webhook_delivery (project TEXT NOT NULL, webhook_id TEXT NOT NULL,"
            " event {integer} NOT NULL, delivery_id TEXT NOT NULL, body TEXT NOT NULL, state TEXT NOT NULL,"
            " attempts {integer} NOT NULL, detail TEXT NOT NULL, queued_at {integer} NOT NULL,"
            " PRIMARY KEY (project, webhook_id, event))",
            "CREATE INDEX webhook_delivery_state ON webhook_delivery (state, event)",
        ),
    ),
)

# What a version's row says of where it comes from.
TRAINED, OUTSIDE = "trained", "outside"

# A version that was registered from outside has no record until it is made ready to be served.
_DEPLOYABLE = "record <> '' AND deleted_at IS NULL"


def find_model(reader: Reader, project: str, name: str) -> Model | None:
    row = reader.one(
        "SELECT * FROM model WHERE project = ? AND name = ? AND deleted_at IS NULL", (project, name)
    )
    return None if row is None else _model(row)


def last_number(reader: Reader, project: str, name: str) -> int | None:
    """The highest number ever given under a name, deleted models included; None where the name is new."""
    row = reader.one("SELECT latest_version FROM model WHERE project = ? AND name = ?", (project, name))
    return None if row is None else int(row["latest_version"])


def list_models(reader: Reader, project: str) -> list[Model]:
    rows = reader.query(
        "SELECT * FROM model WHERE project = ? AND deleted_at IS NULL ORDER BY name", (project,)
    )
    return [_model(row) for row in rows]


def insert_model(transaction: Transaction, project: str, model: Model) -> None:
    """Adds a model; one that was deleted under the name comes back empty."""
    transaction.execute(
        "INSERT INTO model (project, name, task, created_at, created_by, latest_version, aliases, description,"
        " tags, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (project, name) DO UPDATE SET"
        " task = excluded.task, created_at = excluded.created_at, created_by = excluded.created_by,"
        " latest_version = excluded.latest_version, aliases = excluded.aliases,"
        " description = excluded.description, tags = excluded.tags, updated_at = excluded.updated_at,"
        " deleted_at = NULL",
        (
            project,
            model.name,
            model.task or "",
            model.created_at,
            model.created_by,
            model.latest_version,
            to_json(model.aliases),
            model.description,
            to_json(model.tags),
            model.updated_at or model.created_at,
        ),
    )


def set_task(transaction: Transaction, project: str, name: str, task: str) -> None:
    transaction.execute("UPDATE model SET task = ? WHERE project = ? AND name = ?", (task, project, name))


def set_latest_version(transaction: Transaction, project: str, name: str, version: int, at: Micros) -> None:
    transaction.execute(
        "UPDATE model SET latest_version = ?, updated_at = ? WHERE project = ? AND name = ?",
        (version, at, project, name),
    )


def set_aliases(transaction: Transaction, project: str, name: str, aliases: dict[str, int]) -> None:
    transaction.execute(
        "UPDATE model SET aliases = ? WHERE project = ? AND name = ?", (to_json(aliases), project, name)
    )


def set_record(transaction: Transaction, project: str, version: ModelVersion) -> None:
    """Writes what makes a version from outside deployable, once."""
    record = msgspec.structs.replace(version, transitions=())
    transaction.execute(
        "UPDATE model_version SET record = ? WHERE project = ? AND name = ? AND version = ?",
        (to_json(record), project, version.name, version.version),
    )


def insert_version(transaction: Transaction, project: str, version: ModelVersion) -> None:
    """Writes the immutable record; stage and transitions have rows of their own."""
    record = msgspec.structs.replace(version, transitions=())
    transaction.execute(
        "INSERT INTO model_version (project, name, version, run_id, stage, record, created_by, created_at,"
        " updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            project,
            version.name,
            version.version,
            version.run_id,
            version.stage,
            to_json(record),
            version.created_by,
            version.created_at,
            version.created_at,
        ),
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
        f"SELECT * FROM model_version WHERE project = ? AND name = ? AND version = ? AND {_DEPLOYABLE}",
        (project, name, version),
    )
    return None if row is None else _version(reader, row)


def is_registered(reader: Reader, project: str, name: str, version: int) -> bool:
    """Whether the number stands for a version, ready to be served or not."""
    row = reader.one(
        "SELECT version FROM model_version WHERE project = ? AND name = ? AND version = ?"
        " AND deleted_at IS NULL",
        (project, name, version),
    )
    return row is not None


def grant_alias_requests(
    transaction: Transaction,
    project: str,
    name: str,
    aliases: Mapping[str, int | None],
    actor: str,
    at: Micros,
) -> None:
    """Closes the open requests that what is deployed now fulfils."""
    for alias, version in aliases.items():
        transaction.execute(
            "UPDATE alias_request SET state = 'granted', decided_by = ?, decided_at = ?"
            " WHERE project = ? AND name = ? AND alias = ? AND version = ? AND state = 'open'",
            (actor, at, project, name, alias, version),
        )


def find_version_of_run(reader: Reader, project: str, run_id: str) -> ModelVersion | None:
    row = reader.one(
        f"SELECT * FROM model_version WHERE project = ? AND run_id = ? AND {_DEPLOYABLE}"
        " ORDER BY origin DESC, version DESC LIMIT 1",
        (project, run_id),
    )
    return None if row is None else _version(reader, row)


def list_versions(
    reader: Reader, project: str, name: str, before: int | None, limit: int
) -> list[ModelVersion]:
    """Newest first, below version number `before` where it is given."""
    condition, parameters = ("AND version < ?", (before,)) if before is not None else ("", ())
    rows = reader.query(
        f"SELECT * FROM model_version WHERE project = ? AND name = ? AND {_DEPLOYABLE} {condition}"
        " ORDER BY version DESC LIMIT ?",
        (project, name, *parameters, limit),
    )
    return [_version(reader, row) for row in rows]


def _model(row: Row) -> Model:
    return Model(
        row["name"],
        row["task"] or None,
        row["created_at"],
        row["created_by"],
        row["latest_version"],
        from_json(row["aliases"], dict[str, int]),
        row["description"],
        from_json(row["tags"], dict[str, str]),
        row["updated_at"],
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


def blobs_named(reader: Reader) -> Iterator[str]:
    """Every blob that a version that is not deleted refers to; a garbage collection leaves them alone."""
    return digests_of(
        reader.iterate("SELECT record, source, tags FROM model_version WHERE deleted_at IS NULL")
    )


def origins(reader: Reader, project: str) -> Iterator[tuple[str, str]]:
    """(URN, a text with the ids of the runs and logged models it was made from) of each version that is not deleted."""
    for row in reader.iterate(
        "SELECT name, version, run_id, source, logged_model, record FROM model_version"
        " WHERE project = ? AND deleted_at IS NULL",
        (project,),
    ):
        texts = (row["run_id"], row["source"], row["logged_model"], row["record"])
        yield urn.model_version(row["name"], row["version"]), " ".join(text or "" for text in texts)
