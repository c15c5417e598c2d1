"""The data domain's table and all of its SQL: dataset versions are written once and never changed."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.base.encoding import from_json, to_json
from holdfast.base.garbage import digests_of
from holdfast.base.ledger.migrations import Migration
from holdfast.base.ledger.protocol import Reader, Transaction
from holdfast.data.records import DatasetSummary, DatasetVersion

MIGRATIONS = (
    Migration(
        "data",
        1,
        (
            "CREATE TABLE dataset_version (project TEXT NOT NULL, name TEXT NOT NULL,"
            " version {integer} NOT NULL, fingerprint TEXT NOT NULL, row_count {integer} NOT NULL,"
            " as_of_at {integer} NOT NULL, created_at {integer} NOT NULL, record TEXT NOT NULL,"
            " PRIMARY KEY (project, name, version))",
            "CREATE UNIQUE INDEX dataset_version_fingerprint ON dataset_version (project, name, fingerprint)",
        ),
    ),
)


def insert_version(transaction: Transaction, project: str, version: DatasetVersion) -> None:
    transaction.execute(
        "INSERT INTO dataset_version"
        " (project, name, version, fingerprint, row_count, as_of_at, created_at, record)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            project,
            version.table,
            version.version,
            version.fingerprint,
            version.rows,
            version.as_of_at,
            version.created_at,
            to_json(version),
        ),
    )


def find_version(reader: Reader, project: str, table: str, version: int) -> DatasetVersion | None:
    row = reader.one(
        "SELECT record FROM dataset_version WHERE project = ? AND name = ? AND version = ?",
        (project, table, version),
    )
    return None if row is None else from_json(row["record"], DatasetVersion)


def find_fingerprint(reader: Reader, project: str, table: str, fingerprint: str) -> DatasetVersion | None:
    row = reader.one(
        "SELECT record FROM dataset_version WHERE project = ? AND name = ? AND fingerprint = ?",
        (project, table, fingerprint),
    )
    return None if row is None else from_json(row["record"], DatasetVersion)


def latest_number(reader: Reader, project: str, table: str) -> int:
    """The number of the newest version, 0 where there is none."""
    row = reader.one(
        "SELECT MAX(version) AS latest FROM dataset_version WHERE project = ? AND name = ?", (project, table)
    )
    return int(row["latest"] or 0) if row is not None else 0


def list_versions(
    reader: Reader, project: str, table: str, before: int | None, limit: int
) -> list[DatasetVersion]:
    """Versions below `before`, newest first."""
    bound, parameters = ("", ()) if before is None else (" AND version < ?", (before,))
    rows = reader.query(
        f"SELECT record FROM dataset_version WHERE project = ? AND name = ?{bound}"
        " ORDER BY version DESC LIMIT ?",
        (project, table, *parameters, limit),
    )
    return [from_json(row["record"], DatasetVersion) for row in rows]


def list_latest(reader: Reader, project: str) -> list[DatasetSummary]:
    """The newest version of every table, by name."""
    rows = reader.query(
        "SELECT name, version, row_count, as_of_at, created_at FROM dataset_version AS newest"
        " WHERE project = ? AND version = (SELECT MAX(version) FROM dataset_version"
        " WHERE project = newest.project AND name = newest.name) ORDER BY name",
        (project,),
    )
    return [
        DatasetSummary(row["name"], row["version"], row["row_count"], row["as_of_at"], row["created_at"])
        for row in rows
    ]


def blobs_named(reader: Reader) -> Iterator[str]:
    """Every blob that a dataset version refers to; a garbage collection leaves them alone."""
    return digests_of(reader.iterate("SELECT record FROM dataset_version"))
