"""The data domain's table and all of its SQL: dataset versions are written once and never changed."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.base.encoding import from_json, to_json
from holdfast.base.garbage import digests_of
from holdfast.base.ledger.migrations import Migration
from holdfast.base.ledger.protocol import Reader, Transaction
from holdfast.data.records import DatasetSummary, DatasetTag, DatasetVersion, DeletedVersion

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
    # A number is never given twice, so a deleted version leaves its number and who deleted it, but none of its digests:
    # what a row names is kept by the collection of blobs.
    Migration(
        "data",
        2,
        (
            "CREATE TABLE dataset_deleted (project TEXT NOT NULL, name TEXT NOT NULL, version {integer} NOT NULL,"
            " deleted_at {integer} NOT NULL, deleted_by TEXT NOT NULL, PRIMARY KEY (project, name, version))",
            "CREATE TABLE dataset_tag (project TEXT NOT NULL, name TEXT NOT NULL, tag TEXT NOT NULL,"
            " version {integer} NOT NULL, set_at {integer} NOT NULL, set_by TEXT NOT NULL,"
            " PRIMARY KEY (project, name, tag))",
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


def highest_number(reader: Reader, project: str, name: str) -> int:
    """The highest number that a version ever had, deleted ones too; 0 where there was none."""
    row = reader.one(
        "SELECT MAX(version) AS latest FROM dataset_deleted WHERE project = ? AND name = ?", (project, name)
    )
    deleted = int(row["latest"] or 0) if row is not None else 0
    return max(deleted, latest_number(reader, project, name))


def delete_version(transaction: Transaction, project: str, name: str, version: int, at: int, by: str) -> None:
    """Takes a version out and keeps its number from being given again."""
    transaction.execute(
        "DELETE FROM dataset_version WHERE project = ? AND name = ? AND version = ?", (project, name, version)
    )
    transaction.execute(
        "INSERT INTO dataset_deleted (project, name, version, deleted_at, deleted_by) VALUES (?, ?, ?, ?, ?)",
        (project, name, version, at, by),
    )


def find_deleted(reader: Reader, project: str, name: str, version: int) -> DeletedVersion | None:
    row = reader.one(
        "SELECT version, deleted_at, deleted_by FROM dataset_deleted"
        " WHERE project = ? AND name = ? AND version = ?",
        (project, name, version),
    )
    return None if row is None else DeletedVersion(row["version"], row["deleted_at"], row["deleted_by"])


def set_tag(transaction: Transaction, project: str, tag: DatasetTag) -> None:
    """Puts a tag on a version; a tag is on one version of a dataset at a time."""
    transaction.execute(
        "INSERT INTO dataset_tag (project, name, tag, version, set_at, set_by) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (project, name, tag) DO UPDATE SET version = excluded.version, set_at = excluded.set_at,"
        " set_by = excluded.set_by",
        (project, tag.table, tag.tag, tag.version, tag.set_at, tag.set_by),
    )


def remove_tag(transaction: Transaction, project: str, name: str, tag: str) -> None:
    transaction.execute(
        "DELETE FROM dataset_tag WHERE project = ? AND name = ? AND tag = ?", (project, name, tag)
    )


def list_tags(reader: Reader, project: str, name: str) -> list[DatasetTag]:
    """The tags of a dataset, by name."""
    rows = reader.query(
        "SELECT name, tag, version, set_at, set_by FROM dataset_tag WHERE project = ? AND name = ? ORDER BY tag",
        (project, name),
    )
    return [DatasetTag(row["name"], row["tag"], row["version"], row["set_at"], row["set_by"]) for row in rows]


def all_versions(reader: Reader, project: str, name: str) -> list[DatasetVersion]:
    """Every version of a dataset, newest first."""
    rows = reader.query(
        "SELECT record FROM dataset_version WHERE project = ? AND name = ? ORDER BY version DESC",
        (project, name),
    )
    return [from_json(row["record"], DatasetVersion) for row in rows]
