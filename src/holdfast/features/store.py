"""The features domain's table and all of its SQL: versions of views are written once and never changed."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.base.encoding import from_json, to_json
from holdfast.base.garbage import digests_of
from holdfast.base.ledger.migrations import Migration
from holdfast.base.ledger.protocol import Reader, Transaction
from holdfast.features.records import FeatureServiceVersion, FeatureView, Materialization, ViewCode

MIGRATIONS = (
    Migration(
        "features",
        1,
        (
            "CREATE TABLE feature_view (project TEXT NOT NULL, name TEXT NOT NULL,"
            " version {integer} NOT NULL, digest TEXT NOT NULL, record TEXT NOT NULL,"
            " PRIMARY KEY (project, name, version))",
            "CREATE UNIQUE INDEX feature_view_digest ON feature_view (project, name, digest)",
        ),
    ),
    Migration(
        "features",
        2,
        (
            "CREATE TABLE feature_code (project TEXT NOT NULL, name TEXT NOT NULL, version {integer} NOT NULL,"
            " record TEXT NOT NULL, PRIMARY KEY (project, name, version))",
            "CREATE TABLE feature_service (project TEXT NOT NULL, name TEXT NOT NULL,"
            " version {integer} NOT NULL, digest TEXT NOT NULL, record TEXT NOT NULL,"
            " PRIMARY KEY (project, name, version))",
            "CREATE UNIQUE INDEX feature_service_digest ON feature_service (project, name, digest)",
            "CREATE TABLE feature_materialization (project TEXT NOT NULL, name TEXT NOT NULL,"
            " number {integer} NOT NULL, record TEXT NOT NULL, PRIMARY KEY (project, name, number))",
        ),
    ),
)


def insert_view(transaction: Transaction, project: str, view: FeatureView) -> None:
    transaction.execute(
        "INSERT INTO feature_view (project, name, version, digest, record) VALUES (?, ?, ?, ?, ?)",
        (project, view.name, view.version, view.digest, to_json(view)),
    )


def find_view(reader: Reader, project: str, name: str, version: int) -> FeatureView | None:
    row = reader.one(
        "SELECT record FROM feature_view WHERE project = ? AND name = ? AND version = ?",
        (project, name, version),
    )
    return None if row is None else from_json(row["record"], FeatureView)


def find_digest(reader: Reader, project: str, name: str, digest: str) -> FeatureView | None:
    row = reader.one(
        "SELECT record FROM feature_view WHERE project = ? AND name = ? AND digest = ?",
        (project, name, digest),
    )
    return None if row is None else from_json(row["record"], FeatureView)


def latest_number(reader: Reader, project: str, name: str) -> int:
    """The number of the newest version, 0 where there is none."""
    row = reader.one(
        "SELECT MAX(version) AS latest FROM feature_view WHERE project = ? AND name = ?", (project, name)
    )
    return int(row["latest"] or 0) if row is not None else 0


def list_latest(reader: Reader, project: str) -> list[FeatureView]:
    """The newest version of every view, by name."""
    rows = reader.query(
        "SELECT record FROM feature_view AS newest WHERE project = ? AND version = (SELECT MAX(version)"
        " FROM feature_view WHERE project = newest.project AND name = newest.name) ORDER BY name",
        (project,),
    )
    return [from_json(row["record"], FeatureView) for row in rows]


def blobs_named(reader: Reader) -> Iterator[str]:
    """Every blob that a feature view refers to; a garbage collection leaves them alone."""
    return digests_of(reader.iterate("SELECT record FROM feature_view"))


def list_all(reader: Reader, project: str) -> list[FeatureView]:
    """Every version of every view."""
    rows = reader.query(
        "SELECT record FROM feature_view WHERE project = ? ORDER BY name, version", (project,)
    )
    return [from_json(row["record"], FeatureView) for row in rows]


def put_code(transaction: Transaction, project: str, code: ViewCode) -> None:
    """The code that a version of a view was registered with last: it may have moved without changing."""
    key = (project, code.view.name, code.view.version)
    transaction.execute("DELETE FROM feature_code WHERE project = ? AND name = ? AND version = ?", key)
    transaction.execute(
        "INSERT INTO feature_code (project, name, version, record) VALUES (?, ?, ?, ?)", (*key, to_json(code))
    )


def find_code(reader: Reader, project: str, name: str, version: int) -> ViewCode | None:
    row = reader.one(
        "SELECT record FROM feature_code WHERE project = ? AND name = ? AND version = ?",
        (project, name, version),
    )
    return None if row is None else from_json(row["record"], ViewCode)


def insert_service(transaction: Transaction, project: str, service: FeatureServiceVersion) -> None:
    transaction.execute(
        "INSERT INTO feature_service (project, name, version, digest, record) VALUES (?, ?, ?, ?, ?)",
        (project, service.name, service.version, service.digest, to_json(service)),
    )


def find_service(reader: Reader, project: str, name: str, version: int) -> FeatureServiceVersion | None:
    row = reader.one(
        "SELECT record FROM feature_service WHERE project = ? AND name = ? AND version = ?",
        (project, name, version),
    )
    return None if row is None else from_json(row["record"], FeatureServiceVersion)


def find_service_digest(reader: Reader, project: str, name: str, digest: str) -> FeatureServiceVersion | None:
    row = reader.one(
        "SELECT record FROM feature_service WHERE project = ? AND name = ? AND digest = ?",
        (project, name, digest),
    )
    return None if row is None else from_json(row["record"], FeatureServiceVersion)


def latest_service_number(reader: Reader, project: str, name: str) -> int:
    """The number of the newest version, 0 where there is none."""
    row = reader.one(
        "SELECT MAX(version) AS latest FROM feature_service WHERE project = ? AND name = ?", (project, name)
    )
    return int(row["latest"] or 0) if row is not None else 0


def list_services(reader: Reader, project: str) -> list[FeatureServiceVersion]:
    """The newest version of every service, by name."""
    rows = reader.query(
        "SELECT record FROM feature_service AS newest WHERE project = ? AND version = (SELECT MAX(version)"
        " FROM feature_service WHERE project = newest.project AND name = newest.name) ORDER BY name",
        (project,),
    )
    return [from_json(row["record"], FeatureServiceVersion) for row in rows]


def insert_materialization(
    transaction: Transaction, project: str, name: str, materialization: Materialization
) -> None:
    row = transaction.one(
        "SELECT MAX(number) AS latest FROM feature_materialization WHERE project = ? AND name = ?",
        (project, name),
    )
    number = (int(row["latest"] or 0) if row is not None else 0) + 1
    transaction.execute(
        "INSERT INTO feature_materialization (project, name, number, record) VALUES (?, ?, ?, ?)",
        (project, name, number, to_json(materialization)),
    )


def list_materializations(reader: Reader, project: str, name: str, limit: int) -> list[Materialization]:
    """The last materializations of a view, newest first."""
    rows = reader.query(
        "SELECT record FROM feature_materialization WHERE project = ? AND name = ?"
        " ORDER BY number DESC LIMIT ?",
        (project, name, limit),
    )
    return [from_json(row["record"], Materialization) for row in rows]
