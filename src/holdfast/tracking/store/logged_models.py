"""Logged models: what runs wrote before anyone registered it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdfast.base.clock import Micros
from holdfast.base.ledger.protocol import Reader, Row, Transaction
from holdfast.tracking.records import LoggedModel, LoggedPoint, ModelMetric
from holdfast.tracking.store.metrics import in_parts

COLUMNS = (
    "m.number, m.model_id, m.name, m.model_type, m.source_run_id, m.status, m.lifecycle, m.artifact_location,"
    " m.created_at, m.updated_at, e.experiment_id"
)
SOURCE = "logged_model m JOIN experiment e ON e.number = m.experiment_number"


def insert(transaction: Transaction, project: str, model: LoggedModel, experiment_number: int) -> int:
    """Adds a model with its parameters and tags and returns its number."""
    number = transaction.insert(
        "INSERT INTO logged_model (project, model_id, experiment_number, name, model_type, source_run_id,"
        " status, artifact_location, lifecycle, created_at, updated_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'active', ?, ?)",
        (
            project,
            model.model_id,
            experiment_number,
            model.name,
            model.model_type,
            model.source_run_id,
            model.status,
            model.artifact_location,
            model.created_at,
            model.updated_at,
        ),
    )
    set_pairs(transaction, "logged_model_parameter", number, model.parameters)
    set_pairs(transaction, "logged_model_tag", number, model.tags)
    return number


def find(reader: Reader, project: str, model_id: str) -> LoggedModel | None:
    """A model, deleted or not."""
    rows = reader.query(
        f"SELECT {COLUMNS} FROM {SOURCE} WHERE m.project = ? AND m.model_id = ?", (project, model_id)
    )
    return complete(reader, rows)[0] if rows else None


def update(transaction: Transaction, number: int, changes: dict[str, Any]) -> None:
    """Changes columns of a model."""
    names = ", ".join(f"{name} = ?" for name in changes)
    transaction.execute(f"UPDATE logged_model SET {names} WHERE number = ?", (*changes.values(), number))


def set_pairs(transaction: Transaction, table: str, number: int, values: dict[str, str]) -> None:
    """Sets parameters or tags."""
    if values:
        transaction.execute_many(
            f"INSERT INTO {table} (model_number, key, value) VALUES (?, ?, ?)"
            " ON CONFLICT (model_number, key) DO UPDATE SET value = excluded.value",
            [(number, key, value) for key, value in values.items()],
        )


def delete_tag(transaction: Transaction, number: int, key: str) -> bool:
    """Whether there was such a tag."""
    sql = "DELETE FROM logged_model_tag WHERE model_number = ? AND key = ?"
    return transaction.execute(sql, (number, key)) > 0


def add_points(transaction: Transaction, project: str, run_id: str, points: Sequence[LoggedPoint]) -> None:
    """Notes the points that are about logged models; those about unknown models stay the run's alone."""
    numbers: dict[str, int | None] = {}
    for point in points:
        if not point.model_id:
            continue
        if point.model_id not in numbers:
            row = transaction.one(
                "SELECT number FROM logged_model WHERE project = ? AND model_id = ?",
                (project, point.model_id),
            )
            numbers[point.model_id] = None if row is None else row["number"]
        number = numbers[point.model_id]
        if number is not None:
            _add_point(transaction, number, run_id, point)


def complete(reader: Reader, rows: Sequence[Row]) -> list[LoggedModel]:
    """Models with their parameters, tags and metrics."""
    numbers = [row["number"] for row in rows]
    parameters = _pairs(reader, "logged_model_parameter", numbers)
    tags = _pairs(reader, "logged_model_tag", numbers)
    metrics = _metrics(reader, numbers)
    return [
        LoggedModel(
            number=row["number"],
            model_id=row["model_id"],
            experiment_id=str(row["experiment_id"]),
            name=row["name"],
            model_type=row["model_type"],
            source_run_id=row["source_run_id"],
            status=row["status"],
            lifecycle=row["lifecycle"],
            artifact_location=row["artifact_location"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            parameters=parameters[row["number"]],
            tags=tags[row["number"]],
            metrics=tuple(metrics[row["number"]]),
        )
        for row in rows
    ]


def _add_point(transaction: Transaction, number: int, run_id: str, point: LoggedPoint) -> None:
    is_nan = point.value != point.value
    transaction.execute(
        "INSERT INTO logged_model_metric (model_number, key, dataset_name, dataset_digest, run_id, step,"
        " measured_at, value, is_nan) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (model_number, key, dataset_name, dataset_digest, run_id) DO UPDATE SET"
        " step = excluded.step, measured_at = excluded.measured_at, value = excluded.value,"
        " is_nan = excluded.is_nan WHERE (excluded.step, excluded.measured_at, -excluded.is_nan, excluded.value)"
        " > (logged_model_metric.step, logged_model_metric.measured_at, -logged_model_metric.is_nan,"
        " logged_model_metric.value)",
        (
            number,
            point.key,
            point.dataset_name,
            point.dataset_digest,
            run_id,
            point.step,
            point.at,
            0.0 if is_nan else point.value,
            int(is_nan),
        ),
    )


def _pairs(reader: Reader, table: str, numbers: Sequence[int]) -> dict[int, dict[str, str]]:
    found: dict[int, dict[str, str]] = {number: {} for number in numbers}
    for part in in_parts(numbers):
        marks = ", ".join("?" * len(part))
        sql = f"SELECT model_number, key, value FROM {table} WHERE model_number IN ({marks}) ORDER BY key"
        for row in reader.query(sql, part):
            found[row["model_number"]][row["key"]] = row["value"]
    return found


def _metrics(reader: Reader, numbers: Sequence[int]) -> dict[int, list[ModelMetric]]:
    found: dict[int, list[ModelMetric]] = {number: [] for number in numbers}
    for part in in_parts(numbers):
        for row in reader.query(
            "SELECT * FROM logged_model_metric"
            f" WHERE model_number IN ({', '.join('?' * len(part))}) ORDER BY key, measured_at",
            part,
        ):
            found[row["model_number"]].append(
                ModelMetric(
                    key=row["key"],
                    value=float("nan") if row["is_nan"] else row["value"],
                    at=row["measured_at"],
                    step=row["step"],
                    run_id=row["run_id"],
                    dataset_name=row["dataset_name"],
                    dataset_digest=row["dataset_digest"],
                )
            )
    return found


def touched(at: Micros, **changes: Any) -> dict[str, Any]:
    """Changes of a model together with when they happened."""
    return {**changes, "updated_at": at}
