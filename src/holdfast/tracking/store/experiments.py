"""Experiments and their tags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdfast.base.clock import Micros
from holdfast.base.ledger.protocol import Reader, Row, Transaction
from holdfast.tracking.records import Experiment
from holdfast.tracking.store.metrics import in_parts

DEFAULT_NAME = "Default"
_COLUMNS = "number, project, experiment_id, name, artifact_location, lifecycle, created_at, updated_at"


def insert(
    transaction: Transaction, project: str, name: str, location: str, at: Micros, *, default: bool = False
) -> int:
    """Adds an experiment under the next id of its project (0 for the default one) and returns its number."""
    row = transaction.one(
        "SELECT max(id) AS last FROM (SELECT max(experiment_id) AS id FROM experiment WHERE project = ?"
        " UNION ALL SELECT highest_id AS id FROM experiment_collected WHERE project = ?) given",
        (project, project),
    )
    last = row["last"] if row is not None and row["last"] is not None else 0
    experiment_id = 0 if default else last + 1
    return transaction.insert(
        "INSERT INTO experiment (project, experiment_id, name, artifact_location, lifecycle, created_at,"
        " updated_at) VALUES (?, ?, ?, ?, 'active', ?, ?)",
        (project, experiment_id, name, location, at, at),
    )


def find(reader: Reader, project: str, experiment_id: int) -> Experiment | None:
    return _one(reader, "project = ? AND experiment_id = ?", (project, experiment_id))


def find_by_name(reader: Reader, project: str, name: str) -> Experiment | None:
    return _one(reader, "project = ? AND name = ?", (project, name))


def find_by_number(reader: Reader, number: int) -> Experiment | None:
    return _one(reader, "number = ?", (number,))


def numbers(reader: Reader, project: str, experiment_ids: Sequence[int]) -> list[int]:
    """The numbers of those that exist."""
    found: list[int] = []
    for part in in_parts(experiment_ids):
        rows = reader.query(
            "SELECT number FROM experiment WHERE project = ?"
            f" AND experiment_id IN ({', '.join('?' * len(part))}) ORDER BY number",
            (project, *part),
        )
        found.extend(row["number"] for row in rows)
    return found


def search(reader: Reader, sql: str, values: Sequence[Any]) -> list[Experiment]:
    """Experiments of a compiled search, with their tags."""
    rows = reader.query(f"SELECT {_COLUMNS} FROM experiment WHERE {sql}", values)
    tags = tags_of(reader, [row["number"] for row in rows])
    return [_experiment(row, tags[row["number"]]) for row in rows]


def update(transaction: Transaction, number: int, at: Micros, **changes: Any) -> None:
    """Changes columns of an experiment."""
    names = ", ".join(f"{name} = ?" for name in changes)
    transaction.execute(
        f"UPDATE experiment SET {names}, updated_at = ? WHERE number = ?", (*changes.values(), at, number)
    )


def set_tag(transaction: Transaction, number: int, key: str, value: str) -> None:
    transaction.execute(
        "INSERT INTO experiment_tag (experiment_number, key, value) VALUES (?, ?, ?)"
        " ON CONFLICT (experiment_number, key) DO UPDATE SET value = excluded.value",
        (number, key, value),
    )


def delete_tag(transaction: Transaction, number: int, key: str) -> bool:
    """Whether there was such a tag."""
    return (
        transaction.execute(
            "DELETE FROM experiment_tag WHERE experiment_number = ? AND key = ?", (number, key)
        )
        > 0
    )


def tags_of(reader: Reader, numbers: Sequence[int]) -> dict[int, dict[str, str]]:
    found: dict[int, dict[str, str]] = {number: {} for number in numbers}
    for part in in_parts(numbers):
        for row in reader.query(
            "SELECT experiment_number, key, value FROM experiment_tag"
            f" WHERE experiment_number IN ({', '.join('?' * len(part))}) ORDER BY key",
            part,
        ):
            found[row["experiment_number"]][row["key"]] = row["value"]
    return found


def _one(reader: Reader, condition: str, values: Sequence[Any]) -> Experiment | None:
    found = search(reader, condition, values)
    return found[0] if found else None


def _experiment(row: Row, tags: dict[str, str]) -> Experiment:
    experiment_id = str(row["experiment_id"])
    return Experiment(
        number=row["number"],
        experiment_id=experiment_id,
        name=row["name"],
        artifact_location=row["artifact_location"] or f"mlflow-artifacts:/{experiment_id}",
        lifecycle=row["lifecycle"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        tags=tags,
    )
