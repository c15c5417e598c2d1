"""The tables of tracking and all of its SQL.

`metric_latest` answers what a run's value is without reading its history: the largest (step, timestamp, value)
wins, whatever the order of arrival. NaN and infinities are kept as text, because JSON and SQLite have none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from holdfast.base.clock import Micros
from holdfast.base.encoding import from_json, to_json
from holdfast.base.ledger.migrations import Migration
from holdfast.base.ledger.protocol import Reader, Row, Transaction
from holdfast.tracking.records import Artifact, CodeSnapshot, EnvironmentSnapshot, MetricPoint, Run, RunResult

MIGRATIONS = (
    Migration(
        "tracking",
        1,
        (
            "CREATE TABLE run (project TEXT NOT NULL, run_id TEXT NOT NULL, experiment TEXT NOT NULL,"
            " name TEXT NOT NULL, status TEXT NOT NULL, started_at {integer} NOT NULL,"
            " ended_at {integer}, created_by TEXT NOT NULL, seed {integer}, parameters TEXT NOT NULL,"
            " tags TEXT NOT NULL, datasets TEXT NOT NULL, code TEXT NOT NULL, environment TEXT NOT NULL,"
            " artifacts TEXT NOT NULL, error TEXT, PRIMARY KEY (project, run_id))",
            "CREATE INDEX run_started ON run (project, started_at, run_id)",
            "CREATE INDEX run_experiment ON run (project, experiment, started_at, run_id)",
            "CREATE TABLE metric (project TEXT NOT NULL, run_id TEXT NOT NULL, key TEXT NOT NULL,"
            " step {integer} NOT NULL, measured_at {integer} NOT NULL, value TEXT NOT NULL,"
            " PRIMARY KEY (project, run_id, key, step, measured_at, value))",
            "CREATE TABLE metric_latest (project TEXT NOT NULL, run_id TEXT NOT NULL, key TEXT NOT NULL,"
            " step {integer} NOT NULL, measured_at {integer} NOT NULL, value TEXT NOT NULL,"
            " PRIMARY KEY (project, run_id, key))",
        ),
    ),
)

Cursor = tuple[Micros, str]


def insert_run(transaction: Transaction, project: str, run: Run) -> None:
    transaction.execute(
        "INSERT INTO run (project, run_id, experiment, name, status, started_at, created_by, seed,"
        " parameters, tags, datasets, code, environment, artifacts)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '[]', 'null', 'null', '[]')",
        (
            project,
            run.run_id,
            run.experiment,
            run.name,
            run.status,
            run.started_at,
            run.created_by,
            run.seed,
            to_json(run.parameters),
            to_json(run.tags),
        ),
    )


def end_run(
    transaction: Transaction, project: str, run_id: str, status: str, ended_at: Micros, error: str | None
) -> None:
    transaction.execute(
        "UPDATE run SET status = ?, ended_at = ?, error = ? WHERE project = ? AND run_id = ?",
        (status, ended_at, error, project, run_id),
    )


def set_result(transaction: Transaction, project: str, run: Run, result: RunResult) -> None:
    """Writes what the run captured; parameters and tags are added to those it began with."""
    transaction.execute(
        "UPDATE run SET parameters = ?, tags = ?, datasets = ?, code = ?, environment = ?, artifacts = ?"
        " WHERE project = ? AND run_id = ?",
        (
            to_json(run.parameters | result.parameters),
            to_json(run.tags | result.tags),
            to_json(result.datasets),
            to_json(result.code),
            to_json(result.environment),
            to_json(result.artifacts),
            project,
            run.run_id,
        ),
    )


def add_points(transaction: Transaction, project: str, run_id: str, points: Iterable[MetricPoint]) -> None:
    """Adds points; one that is there already is ignored, so that sending again does no harm."""
    for point in points:
        row = (project, run_id, point.key, point.step, point.at, repr(point.value))
        transaction.execute(
            "INSERT INTO metric (project, run_id, key, step, measured_at, value) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            row,
        )
        latest = transaction.one(
            "SELECT step, measured_at, value FROM metric_latest WHERE project = ? AND run_id = ? AND key = ?",
            row[:3],
        )
        if latest is None or _rank(point.step, point.at, point.value) > _rank(
            latest["step"], latest["measured_at"], float(latest["value"])
        ):
            transaction.execute(
                "INSERT INTO metric_latest (project, run_id, key, step, measured_at, value)"
                " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (project, run_id, key) DO UPDATE SET"
                " step = excluded.step, measured_at = excluded.measured_at, value = excluded.value",
                row,
            )


def points(reader: Reader, project: str, run_id: str, key: str) -> list[MetricPoint]:
    """The history of one metric, by step and time."""
    rows = reader.query(
        "SELECT * FROM metric WHERE project = ? AND run_id = ? AND key = ? ORDER BY step, measured_at",
        (project, run_id, key),
    )
    return [MetricPoint(row["key"], float(row["value"]), row["measured_at"], row["step"]) for row in rows]


def find_run(reader: Reader, project: str, run_id: str) -> Run | None:
    row = reader.one("SELECT * FROM run WHERE project = ? AND run_id = ?", (project, run_id))
    return None if row is None else _run(reader, row)


def list_runs(
    reader: Reader, project: str, experiment: str | None, after: Cursor | None, limit: int
) -> list[Run]:
    """Newest first; `after` is the (started_at, run_id) of the last run of the page before."""
    conditions = ["project = ?"]
    values: list[Any] = [project]
    if experiment is not None:
        conditions.append("experiment = ?")
        values.append(experiment)
    if after is not None:
        conditions.append("(started_at, run_id) < (?, ?)")
        values.extend(after)
    rows = reader.query(
        f"SELECT * FROM run WHERE {' AND '.join(conditions)} ORDER BY started_at DESC, run_id DESC LIMIT ?",
        (*values, limit),
    )
    return [_run(reader, row) for row in rows]


def _run(reader: Reader, row: Row) -> Run:
    metrics = reader.query(
        "SELECT key, value FROM metric_latest WHERE project = ? AND run_id = ? ORDER BY key",
        (row["project"], row["run_id"]),
    )
    return Run(
        run_id=row["run_id"],
        experiment=row["experiment"],
        name=row["name"],
        status=row["status"],
        started_at=row["started_at"],
        created_by=row["created_by"],
        ended_at=row["ended_at"],
        seed=row["seed"],
        parameters=from_json(row["parameters"], dict[str, str]),
        metrics={metric["key"]: float(metric["value"]) for metric in metrics},
        tags=from_json(row["tags"], dict[str, str]),
        datasets=from_json(row["datasets"], tuple[str, ...]),
        code=from_json(row["code"], CodeSnapshot | None),  # type: ignore[arg-type]
        environment=from_json(row["environment"], EnvironmentSnapshot | None),  # type: ignore[arg-type]
        artifacts=from_json(row["artifacts"], tuple[Artifact, ...]),
        error=row["error"],
    )


def _rank(step: int, at: Micros, value: float) -> tuple[int, Micros, bool, float]:
    # NaN compares with nothing; as in MLflow it ranks below every number of the same step and time.
    known = value == value
    return step, at, known, value if known else 0.0
