"""The tables of deployments: one row for what is deployed now, one for every revision there ever was."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from holdfast.base.clock import Micros
from holdfast.base.context import Context
from holdfast.base.encoding import from_json, to_json
from holdfast.base.garbage import digests_of
from holdfast.base.ledger import Migration, Reader, Row, Transaction
from holdfast.rollout.records import Variant
from holdfast.serving.records import Deployment, Revision

MIGRATIONS = (
    Migration(
        "serving",
        1,
        (
            "CREATE TABLE deployment (project TEXT NOT NULL, environment TEXT NOT NULL, name TEXT NOT NULL,"
            " revision INTEGER NOT NULL, epoch INTEGER NOT NULL, frozen INTEGER NOT NULL, salt TEXT NOT NULL,"
            " quarantined TEXT NOT NULL, PRIMARY KEY (project, environment, name))",
            "CREATE TABLE revision (project TEXT NOT NULL, environment TEXT NOT NULL, name TEXT NOT NULL,"
            " number INTEGER NOT NULL, epoch INTEGER NOT NULL, variants TEXT NOT NULL, warm TEXT NOT NULL,"
            " reason TEXT NOT NULL, created_at {integer} NOT NULL, created_by TEXT NOT NULL,"
            " actor_kind TEXT NOT NULL, PRIMARY KEY (project, environment, name, number))",
        ),
    ),
)

_SELECT = (
    "SELECT d.name, d.environment, d.frozen, d.quarantined, d.salt, r.number, r.epoch, r.variants, r.warm,"
    " r.reason, r.created_at, r.created_by, r.actor_kind FROM deployment d JOIN revision r"
    " ON r.project = d.project AND r.environment = d.environment AND r.name = d.name AND r.number = d.revision"
    " WHERE d.project = ?"
)


class StoredDeployment(msgspec.Struct, frozen=True):
    """A deployment with the salt of its assignment, which no door shows."""

    deployment: Deployment
    salt: str


def get(reader: Reader, context: Context, environment: str, name: str) -> StoredDeployment | None:
    """The deployment of a name in an environment."""
    row = reader.one(_SELECT + " AND d.environment = ? AND d.name = ?", (context.project, environment, name))
    return _stored(row) if row else None


def list_all(reader: Reader, context: Context) -> list[Deployment]:
    """Every deployment of the project, by environment and name."""
    rows = reader.query(_SELECT + " ORDER BY d.environment, d.name", (context.project,))
    return [_stored(row).deployment for row in rows]


def revisions(reader: Reader, context: Context, environment: str, name: str, limit: int) -> list[Revision]:
    """The newest revisions of a deployment."""
    rows = reader.query(
        "SELECT * FROM revision WHERE project = ? AND environment = ? AND name = ? ORDER BY number DESC LIMIT ?",
        (context.project, environment, name, limit),
    )
    return [_revision(row) for row in rows]


def projects(reader: Reader) -> list[str]:
    """The projects that have deployments."""
    return [
        row["project"] for row in reader.query("SELECT DISTINCT project FROM deployment ORDER BY project")
    ]


def put_revision(transaction: Transaction, context: Context, revision: Revision, salt: str) -> None:
    """Adds a revision and makes it the present one, creating the deployment where it is the first."""
    transaction.execute(
        "INSERT INTO revision (project, environment, name, number, epoch, variants, warm, reason, created_at,"
        " created_by, actor_kind) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            context.project,
            revision.environment,
            revision.name,
            revision.number,
            revision.epoch,
            to_json(revision.variants),
            to_json(revision.warm),
            revision.reason,
            revision.created_at,
            revision.created_by,
            revision.actor_kind,
        ),
    )
    transaction.execute(
        "INSERT INTO deployment (project, environment, name, revision, epoch, frozen, salt, quarantined)"
        " VALUES (?, ?, ?, ?, ?, 0, ?, '[]') ON CONFLICT (project, environment, name)"
        " DO UPDATE SET revision = excluded.revision, epoch = excluded.epoch",
        (context.project, revision.environment, revision.name, revision.number, revision.epoch, salt),
    )


def set_guards(
    transaction: Transaction,
    context: Context,
    environment: str,
    name: str,
    frozen: bool,
    quarantined: tuple[int, ...],
) -> None:
    """Sets whether automatic promotion is frozen, and which versions are quarantined."""
    transaction.execute(
        "UPDATE deployment SET frozen = ?, quarantined = ? WHERE project = ? AND environment = ? AND name = ?",
        (int(frozen), to_json(quarantined), context.project, environment, name),
    )


def next_number(reader: Reader, context: Context, environment: str, name: str) -> tuple[int, int]:
    """The number and epoch that the next revision gets."""
    row = reader.one(
        "SELECT MAX(number) AS number, MAX(epoch) AS epoch FROM revision"
        " WHERE project = ? AND environment = ? AND name = ?",
        (context.project, environment, name),
    )
    assert row is not None
    return (row["number"] or 0) + 1, (row["epoch"] or 0) + 1


def first_live_at(reader: Reader, context: Context, environment: str, name: str) -> Micros | None:
    """When the name was first deployed."""
    row = reader.one(
        "SELECT MIN(created_at) AS at FROM revision WHERE project = ? AND environment = ? AND name = ?",
        (context.project, environment, name),
    )
    return row["at"] if row else None


def _stored(row: Row) -> StoredDeployment:
    quarantined = tuple(from_json(row["quarantined"], list))
    return StoredDeployment(
        Deployment(row["name"], row["environment"], _revision(row), bool(row["frozen"]), quarantined),
        row["salt"],
    )


def _revision(row: Row) -> Revision:
    return Revision(
        name=row["name"],
        environment=row["environment"],
        number=row["number"],
        epoch=row["epoch"],
        variants=from_json(row["variants"], tuple[Variant, ...]),
        warm=from_json(row["warm"], tuple[int, ...]),
        reason=row["reason"],
        created_at=row["created_at"],
        created_by=row["created_by"],
        actor_kind=row["actor_kind"],
    )


def blobs_named(reader: Reader) -> Iterator[str]:
    """Every blob that a revision refers to; a garbage collection leaves them alone."""
    return digests_of(reader.iterate("SELECT variants, warm FROM revision"))
