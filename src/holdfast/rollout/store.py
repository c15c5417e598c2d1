"""Tables and SQL of rollouts and the verdicts on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdfast.base.clock import Micros
from holdfast.base.encoding import from_json, to_json
from holdfast.base.ledger.migrations import Migration
from holdfast.base.ledger.protocol import Reader, Row, Transaction
from holdfast.rollout.records import Rollout, RolloutPolicy, Verdict

MIGRATIONS = (
    Migration(
        "rollout",
        1,
        (
            "CREATE TABLE rollout (number {serial}, project TEXT NOT NULL, environment TEXT NOT NULL,"
            " model TEXT NOT NULL, candidate INTEGER NOT NULL, champion INTEGER, policy TEXT NOT NULL,"
            " state TEXT NOT NULL, step INTEGER NOT NULL, started_at {integer} NOT NULL,"
            " stages TEXT NOT NULL, ended_at {integer}, verdict TEXT)",
            # Two rollouts of one model at a time would judge each other's traffic.
            "CREATE UNIQUE INDEX rollout_open ON rollout (project, environment, model) WHERE ended_at IS NULL",
            "CREATE INDEX rollout_model ON rollout (project, model, number)",
            "CREATE TABLE rollout_verdict (project TEXT NOT NULL, rollout {integer} NOT NULL,"
            " decided_at {integer} NOT NULL, verdict TEXT NOT NULL,"
            " PRIMARY KEY (project, rollout, decided_at))",
        ),
    ),
)


def insert_rollout(transaction: Transaction, project: str, rollout: Rollout) -> int:
    """Adds an open rollout and returns its number; `rollout.number` is not used."""
    return transaction.insert(
        "INSERT INTO rollout (project, environment, model, candidate, champion, policy, state, step,"
        " started_at, stages) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            project,
            rollout.environment,
            rollout.model,
            rollout.candidate,
            rollout.champion,
            to_json(rollout.policy),
            rollout.state,
            rollout.step,
            rollout.started_at,
            to_json(rollout.stages),
        ),
    )


def update_rollout(transaction: Transaction, project: str, rollout: Rollout) -> None:
    """Writes what may change of a rollout: state, step, stages, end and verdict."""
    transaction.execute(
        "UPDATE rollout SET state = ?, step = ?, stages = ?, ended_at = ?, verdict = ?"
        " WHERE project = ? AND number = ?",
        (
            rollout.state,
            rollout.step,
            to_json(rollout.stages),
            rollout.ended_at,
            to_json(rollout.verdict) if rollout.verdict else None,
            project,
            rollout.number,
        ),
    )


def insert_verdict(transaction: Transaction, project: str, number: int, verdict: Verdict, at: Micros) -> None:
    """Adds a verdict to a rollout's history; of two at the same time the later stands."""
    transaction.execute(
        "INSERT INTO rollout_verdict (project, rollout, decided_at, verdict) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (project, rollout, decided_at) DO UPDATE SET verdict = excluded.verdict",
        (project, number, at, to_json(verdict)),
    )


def find_rollout(reader: Reader, project: str, number: int) -> Rollout | None:
    row = reader.one("SELECT * FROM rollout WHERE project = ? AND number = ?", (project, number))
    return _rollout(row) if row else None


def find_open_rollout(reader: Reader, project: str, environment: str, model: str) -> Rollout | None:
    row = reader.one(
        "SELECT * FROM rollout WHERE project = ? AND environment = ? AND model = ? AND ended_at IS NULL",
        (project, environment, model),
    )
    return _rollout(row) if row else None


def list_rollouts(
    reader: Reader, project: str, model: str | None, environment: str | None, before: int | None, limit: int
) -> list[Rollout]:
    """The newest rollouts with a number below `before`, newest first."""
    wanted: Sequence[tuple[str, Any]] = (
        ("project = ?", project),
        ("model = ?", model),
        ("environment = ?", environment),
        ("number < ?", before),
    )
    present = [(condition, value) for condition, value in wanted if value is not None]
    rows = reader.query(
        f"SELECT * FROM rollout WHERE {' AND '.join(condition for condition, _ in present)}"
        " ORDER BY number DESC LIMIT ?",
        (*(value for _, value in present), limit),
    )
    return [_rollout(row) for row in rows]


def list_verdicts(reader: Reader, project: str, number: int) -> list[tuple[Micros, Verdict]]:
    """Every verdict on a rollout with its time, oldest first."""
    rows = reader.query(
        "SELECT decided_at, verdict FROM rollout_verdict WHERE project = ? AND rollout = ? ORDER BY decided_at",
        (project, number),
    )
    return [(row["decided_at"], from_json(row["verdict"], Verdict)) for row in rows]


def _rollout(row: Row) -> Rollout:
    stages = tuple(from_json(row["stages"], list[int]))
    return Rollout(
        number=row["number"],
        model=row["model"],
        environment=row["environment"],
        candidate=row["candidate"],
        champion=row["champion"],
        policy=from_json(row["policy"], RolloutPolicy),
        state=row["state"],
        step=row["step"],
        started_at=row["started_at"],
        stage_started_at=stages[-1],
        ended_at=row["ended_at"],
        verdict=from_json(row["verdict"], Verdict) if row["verdict"] else None,
        stages=stages,
    )
