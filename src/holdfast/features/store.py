"""The features domain's table and all of its SQL: versions of views are written once and never changed."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.base.encoding import from_json, to_json
from holdfast.base.garbage import digests_of
from holdfast.base.ledger.migrations import Migration
from holdfast.base.ledger.protocol import Reader, Transaction
from holdfast.features.records import FeatureView

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
