"""Tables and SQL of windows, checks and alerts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from holdfast.base.clock import Micros
from holdfast.base.encoding import from_json, from_msgpack, to_json, to_msgpack
from holdfast.base.ledger.migrations import Migration
from holdfast.base.ledger.protocol import Reader, Row, Transaction
from holdfast.monitoring.records import Alert, AlertState, Check, CheckKind, Finding, Window

MIGRATIONS = (
    Migration(
        "monitoring",
        1,
        (
            "CREATE TABLE monitoring_window (project TEXT NOT NULL, environment TEXT NOT NULL,"
            " model TEXT NOT NULL, version INTEGER NOT NULL, day_at {integer} NOT NULL,"
            " content {bytes} NOT NULL, PRIMARY KEY (project, environment, model, day_at, version))",
            # How far into the prediction log the windows reach: segment → byte offset.
            "CREATE TABLE monitoring_cursor (project TEXT NOT NULL, environment TEXT NOT NULL,"
            " model TEXT NOT NULL, log_cursor TEXT NOT NULL, PRIMARY KEY (project, environment, model))",
            "CREATE TABLE monitoring_check (number {serial}, project TEXT NOT NULL, environment TEXT NOT NULL,"
            " model TEXT NOT NULL, version INTEGER NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL,"
            " window_from_at {integer} NOT NULL, window_until_at {integer} NOT NULL,"
            " checked_at {integer} NOT NULL, sample_rows {integer} NOT NULL, message TEXT NOT NULL,"
            " findings TEXT NOT NULL)",
            # A check that is repeated for the same moment is the same check.
            "CREATE UNIQUE INDEX monitoring_check_moment ON monitoring_check"
            " (project, environment, model, kind, checked_at, version)",
            "CREATE TABLE monitoring_alert (number {serial}, project TEXT NOT NULL, environment TEXT NOT NULL,"
            " model TEXT NOT NULL, version INTEGER NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL,"
            " opened_at {integer} NOT NULL, last_seen_at {integer} NOT NULL, resolved_at {integer},"
            " message TEXT NOT NULL, resolution TEXT NOT NULL, check_number {integer} NOT NULL,"
            " findings TEXT NOT NULL)",
            "CREATE UNIQUE INDEX monitoring_alert_open ON monitoring_alert (project, environment, model, kind)"
            " WHERE state = 'open'",
            "CREATE INDEX monitoring_alert_model ON monitoring_alert (project, model, number)",
        ),
    ),
)


def save_windows(
    transaction: Transaction, project: str, environment: str, model: str, windows: Iterable[Window]
) -> None:
    """Writes windows; one that is there already is replaced."""
    transaction.execute_many(
        "INSERT INTO monitoring_window (project, environment, model, version, day_at, content)"
        " VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (project, environment, model, day_at, version) DO UPDATE SET content = excluded.content",
        [
            (project, environment, model, window.version, window.day_at, to_msgpack(window))
            for window in windows
        ],
    )


def list_windows(
    reader: Reader, project: str, environment: str, model: str, from_at: Micros, until_at: Micros
) -> list[Window]:
    """The windows of the days in [from_at, until_at), by day and version."""
    rows = reader.query(
        "SELECT content FROM monitoring_window WHERE project = ? AND environment = ? AND model = ?"
        " AND day_at >= ? AND day_at < ? ORDER BY day_at, version",
        (project, environment, model, from_at, until_at),
    )
    return [from_msgpack(row["content"], Window) for row in rows]


def find_window(
    reader: Reader, project: str, environment: str, model: str, version: int, day_at: Micros
) -> Window | None:
    row = reader.one(
        "SELECT content FROM monitoring_window WHERE project = ? AND environment = ? AND model = ?"
        " AND day_at = ? AND version = ?",
        (project, environment, model, day_at, version),
    )
    return from_msgpack(row["content"], Window) if row else None


def save_cursor(
    transaction: Transaction, project: str, environment: str, model: str, cursor: Mapping[str, int]
) -> None:
    transaction.execute(
        "INSERT INTO monitoring_cursor (project, environment, model, log_cursor) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (project, environment, model) DO UPDATE SET log_cursor = excluded.log_cursor",
        (project, environment, model, to_json(dict(cursor))),
    )


def find_cursor(reader: Reader, project: str, environment: str, model: str) -> dict[str, int] | None:
    row = reader.one(
        "SELECT log_cursor FROM monitoring_cursor WHERE project = ? AND environment = ? AND model = ?",
        (project, environment, model),
    )
    return from_json(row["log_cursor"], dict[str, int]) if row else None


def insert_check(transaction: Transaction, project: str, check: Check) -> int:
    """Adds a check and returns its number; `check.number` is not used."""
    return transaction.insert(
        "INSERT INTO monitoring_check (project, environment, model, version, kind, state, window_from_at,"
        " window_until_at, checked_at, sample_rows, message, findings)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            project,
            check.environment,
            check.model,
            check.version,
            check.kind,
            check.state,
            check.window_from_at,
            check.window_until_at,
            check.checked_at,
            check.rows,
            check.message,
            to_json(check.findings),
        ),
    )


def list_checks(
    reader: Reader,
    project: str,
    *,
    model: str | None = None,
    environment: str | None = None,
    version: int | None = None,
    kind: CheckKind | None = None,
    checked_at: Micros | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[Check]:
    """The newest checks that meet every condition given, newest first."""
    conditions, values = _conditions(
        project=project,
        model=model,
        environment=environment,
        version=version,
        kind=kind,
        checked_at=checked_at,
    )
    if before is not None:
        conditions, values = f"{conditions} AND number < ?", [*values, before]
    rows = reader.query(
        f"SELECT * FROM monitoring_check WHERE {conditions} ORDER BY number DESC LIMIT ?", (*values, limit)
    )
    return [_check(row) for row in rows]


def insert_alert(transaction: Transaction, project: str, alert: Alert) -> int:
    """Adds an alert and returns its number; `alert.number` is not used."""
    return transaction.insert(
        "INSERT INTO monitoring_alert (project, environment, model, version, kind, state, opened_at,"
        " last_seen_at, resolved_at, message, resolution, check_number, findings)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            project,
            alert.environment,
            alert.model,
            alert.version,
            alert.kind,
            alert.state,
            alert.opened_at,
            alert.last_seen_at,
            alert.resolved_at,
            alert.message,
            alert.resolution,
            alert.check,
            to_json(alert.findings),
        ),
    )


def update_alert(transaction: Transaction, project: str, alert: Alert) -> None:
    """Writes what may change of an alert."""
    transaction.execute(
        "UPDATE monitoring_alert SET state = ?, last_seen_at = ?, resolved_at = ?, message = ?,"
        " resolution = ?, check_number = ?, findings = ? WHERE project = ? AND number = ?",
        (
            alert.state,
            alert.last_seen_at,
            alert.resolved_at,
            alert.message,
            alert.resolution,
            alert.check,
            to_json(alert.findings),
            project,
            alert.number,
        ),
    )


def find_alert(reader: Reader, project: str, number: int) -> Alert | None:
    row = reader.one("SELECT * FROM monitoring_alert WHERE project = ? AND number = ?", (project, number))
    return _alert(row) if row else None


def list_alerts(
    reader: Reader,
    project: str,
    *,
    model: str | None = None,
    environment: str | None = None,
    kind: CheckKind | None = None,
    state: AlertState | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[Alert]:
    """The newest alerts that meet every condition given, newest first."""
    conditions, values = _conditions(
        project=project, model=model, environment=environment, kind=kind, state=state
    )
    if before is not None:
        conditions, values = f"{conditions} AND number < ?", [*values, before]
    rows = reader.query(
        f"SELECT * FROM monitoring_alert WHERE {conditions} ORDER BY number DESC LIMIT ?", (*values, limit)
    )
    return [_alert(row) for row in rows]


def _conditions(**wanted: Any) -> tuple[str, list[Any]]:
    """A condition for each column that has a value."""
    given = {column: value for column, value in wanted.items() if value is not None}
    return " AND ".join(f"{column} = ?" for column in given), list(given.values())


def _check(row: Row) -> Check:
    return Check(
        number=row["number"],
        model=row["model"],
        environment=row["environment"],
        version=row["version"],
        kind=row["kind"],
        state=row["state"],
        window_from_at=row["window_from_at"],
        window_until_at=row["window_until_at"],
        checked_at=row["checked_at"],
        rows=row["sample_rows"],
        message=row["message"],
        findings=tuple(from_json(row["findings"], list[Finding])),
    )


def _alert(row: Row) -> Alert:
    return Alert(
        number=row["number"],
        model=row["model"],
        environment=row["environment"],
        version=row["version"],
        kind=row["kind"],
        state=row["state"],
        opened_at=row["opened_at"],
        message=row["message"],
        check=row["check_number"],
        last_seen_at=row["last_seen_at"],
        findings=tuple(from_json(row["findings"], list[Finding])),
        resolved_at=row["resolved_at"],
        resolution=row["resolution"],
    )
