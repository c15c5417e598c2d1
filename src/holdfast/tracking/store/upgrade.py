"""Moves runs that the first release wrote into today's tables, some at a time.

SQL alone cannot do it: parameters and tags stood in JSON, whose functions differ between databases, and metric points
are packed by our own code.
"""

from __future__ import annotations

from holdfast.base.encoding import from_json
from holdfast.base.ledger.protocol import Transaction
from holdfast.tracking.records import Artifact
from holdfast.tracking.store import artifacts, metrics, runs

_RUNS_A_CHANGE = 100


def move_some(transaction: Transaction) -> bool:
    """Moves up to a hundred runs; False when none was left."""
    rows = transaction.query(
        "SELECT b.project, b.run_id, b.parameters, b.tags, b.artifacts, r.number, r.experiment_number,"
        " r.started_at, e.experiment_id FROM run_before_2 b"
        " JOIN run r ON r.project = b.project AND r.run_id = b.run_id"
        " JOIN experiment e ON e.number = r.experiment_number LIMIT ?",
        (_RUNS_A_CHANGE,),
    )
    for row in rows:
        key = (row["project"], row["run_id"])
        runs.set_parameters(transaction, row["number"], from_json(row["parameters"], dict[str, str]))
        runs.set_tags(transaction, row["number"], from_json(row["tags"], dict[str, str]))
        points = [
            (point["key"], point["step"], point["measured_at"], float(point["value"]))
            for point in transaction.query(
                "SELECT key, step, measured_at, value FROM metric WHERE project = ? AND run_id = ?", key
            )
        ]
        if points:
            metrics.append(transaction, row["number"], row["experiment_number"], points)
            metrics.settle(transaction, row["number"])
        for artifact in from_json(row["artifacts"], tuple[Artifact, ...]):
            path = f"{row['experiment_id']}/{row['run_id']}/artifacts/{artifact.path}"
            artifacts.put(
                transaction, row["project"], path, artifact.digest, artifact.size_bytes, row["started_at"]
            )
        for table in ("metric", "metric_latest", "run_before_2"):
            transaction.execute(f"DELETE FROM {table} WHERE project = ? AND run_id = ?", key)
    return bool(rows)
