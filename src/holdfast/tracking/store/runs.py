"""Runs: as the training side writes them, and as tracking clients see them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from holdfast.base.clock import Micros
from holdfast.base.encoding import from_json, to_json
from holdfast.base.ledger.protocol import Reader, Row, Transaction
from holdfast.tracking.records import (
    Artifact,
    CodeSnapshot,
    EnvironmentSnapshot,
    LoggedRun,
    Run,
    RunHead,
    RunResult,
    measured,
)
from holdfast.tracking.store import inputs, metrics
from holdfast.tracking.store.metrics import in_parts

# What an index keeps of a text; equality on the rest is decided by the row.
HEAD_CHARACTERS = 64
_OWN = (
    "SELECT r.number, r.run_id, r.name, r.status, r.started_at, r.ended_at, r.created_by, r.seed, r.datasets,"
    " r.code, r.environment, r.artifacts, r.error, e.name AS experiment"
    " FROM run r JOIN experiment e ON e.number = r.experiment_number"
)
_LOGGED = (
    "SELECT r.number, r.run_id, r.name, r.status, r.lifecycle, r.started_at, r.ended_at, r.created_by,"
    " r.artifact_root, e.experiment_id FROM run r JOIN experiment e ON e.number = r.experiment_number"
)


def insert(
    transaction: Transaction, project: str, run: Run, experiment_number: int, artifact_root: str
) -> int:
    """Adds a run with its parameters and tags and returns its number."""
    number = transaction.insert(
        "INSERT INTO run (project, run_id, experiment_number, name, status, lifecycle, started_at,"
        " created_by, artifact_root, seed, datasets, code, environment, artifacts)"
        " VALUES (?, ?, ?, ?, ?, 'active', ?, ?, ?, ?, '[]', 'null', 'null', '[]')",
        (
            project,
            run.run_id,
            experiment_number,
            run.name,
            run.status,
            run.started_at,
            run.created_by,
            artifact_root,
            run.seed,
        ),
    )
    set_parameters(transaction, number, run.parameters)
    set_tags(transaction, number, run.tags)
    return number


def end(
    transaction: Transaction, number: int, status: str, ended_at: Micros | None, error: str | None
) -> None:
    transaction.execute(
        "UPDATE run SET status = ?, ended_at = ?, error = ? WHERE number = ?",
        (status, ended_at, error, number),
    )


def update(transaction: Transaction, number: int, changes: dict[str, Any]) -> None:
    """Changes columns of a run."""
    names = ", ".join(f"{name} = ?" for name in changes)
    transaction.execute(f"UPDATE run SET {names} WHERE number = ?", (*changes.values(), number))


def set_lifecycle_of_experiment(
    transaction: Transaction, experiment_number: int, lifecycle: str, deleted_at: Micros | None
) -> None:
    """Deletes or restores all runs of an experiment."""
    transaction.execute(
        "UPDATE run SET lifecycle = ?, deleted_at = ? WHERE experiment_number = ?",
        (lifecycle, deleted_at, experiment_number),
    )


def set_result(transaction: Transaction, number: int, result: RunResult) -> None:
    """Writes what the run captured; parameters and tags are added to those it began with."""
    transaction.execute(
        "UPDATE run SET datasets = ?, code = ?, environment = ?, artifacts = ? WHERE number = ?",
        (
            to_json(result.datasets),
            to_json(result.code),
            to_json(result.environment),
            to_json(result.artifacts),
            number,
        ),
    )
    set_parameters(transaction, number, result.parameters)
    set_tags(transaction, number, result.tags)


def set_parameters(transaction: Transaction, number: int, values: dict[str, str]) -> None:
    _set_pairs(transaction, "run_parameter", number, values)


def set_tags(transaction: Transaction, number: int, values: dict[str, str]) -> None:
    _set_pairs(transaction, "run_tag", number, values)


def delete_tag(transaction: Transaction, number: int, key: str) -> bool:
    """Whether there was such a tag."""
    return transaction.execute("DELETE FROM run_tag WHERE run_number = ? AND key = ?", (number, key)) > 0


def parameters(reader: Reader, number: int, keys: Sequence[str]) -> dict[str, str]:
    """The values of those parameters that are set."""
    rows = reader.query(
        f"SELECT key, value FROM run_parameter WHERE run_number = ? AND key IN ({', '.join('?' * len(keys))})",
        (number, *keys),
    )
    return {row["key"]: row["value"] for row in rows}


def tag(reader: Reader, number: int, key: str) -> str | None:
    row = reader.one("SELECT value FROM run_tag WHERE run_number = ? AND key = ?", (number, key))
    return None if row is None else row["value"]


def head(reader: Reader, project: str, run_id: str) -> RunHead | None:
    row = reader.one(
        "SELECT number, experiment_number, lifecycle, status FROM run WHERE project = ? AND run_id = ?",
        (project, run_id),
    )
    return (
        None
        if row is None
        else RunHead(row["number"], row["experiment_number"], row["lifecycle"], row["status"])
    )


def find_run(reader: Reader, project: str, run_id: str) -> Run | None:
    row = reader.one(f"{_OWN} WHERE r.project = ? AND r.run_id = ?", (project, run_id))
    return None if row is None else _own(reader, [row])[0]


def logged(reader: Reader, numbers: Sequence[int], *, brief: bool = False) -> list[LoggedRun]:
    """Runs as clients see them, in the order of their numbers given; `brief` leaves out what was logged."""
    rows: dict[int, Row] = {}
    for part in in_parts(numbers):
        marks = ", ".join("?" * len(part))
        rows.update(
            (row["number"], row) for row in reader.query(f"{_LOGGED} WHERE r.number IN ({marks})", part)
        )
    asked = () if brief else numbers
    parameters, tags = pairs(reader, "run_parameter", asked), pairs(reader, "run_tag", asked)
    latest = metrics.latest(reader, asked)
    datasets, models = inputs.datasets(reader, asked), inputs.models(reader, asked)
    found = []
    for number in numbers:
        row = rows[number]
        experiment_id = str(row["experiment_id"])
        links = models.get(number, {})
        found.append(
            LoggedRun(
                number=number,
                run_id=row["run_id"],
                experiment_id=experiment_id,
                name=row["name"],
                status=row["status"],
                lifecycle=row["lifecycle"],
                started_at=row["started_at"],
                ended_at=row["ended_at"],
                user=row["created_by"],
                artifact_root=row["artifact_root"],
                parameters=parameters.get(number, {}),
                tags=tags.get(number, {}),
                metrics=tuple(latest.get(number, ())),
                inputs=tuple(datasets.get(number, ())),
                model_inputs=tuple(links.get("input", ())),
                model_outputs=tuple(links.get("output", ())),
            )
        )
    return found


def pairs(reader: Reader, table: str, numbers: Sequence[int]) -> dict[int, dict[str, str]]:
    """Parameters or tags of some runs."""
    found: dict[int, dict[str, str]] = {number: {} for number in numbers}
    for part in in_parts(numbers):
        for row in reader.query(
            f"SELECT run_number, key, value FROM {table}"
            f" WHERE run_number IN ({', '.join('?' * len(part))}) ORDER BY run_number, key",
            part,
        ):
            found[row["run_number"]][row["key"]] = row["value"]
    return found


def _set_pairs(transaction: Transaction, table: str, number: int, values: dict[str, str]) -> None:
    if values:
        transaction.execute_many(
            f"INSERT INTO {table} (run_number, key, value, head) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (run_number, key) DO UPDATE SET value = excluded.value, head = excluded.head",
            [(number, key, value, value[:HEAD_CHARACTERS]) for key, value in values.items()],
        )


def _own(reader: Reader, rows: Iterable[Row]) -> list[Run]:
    rows = list(rows)
    numbers = [row["number"] for row in rows]
    parameters, tags = pairs(reader, "run_parameter", numbers), pairs(reader, "run_tag", numbers)
    latest = metrics.latest(reader, numbers)
    return [
        Run(
            run_id=row["run_id"],
            experiment=row["experiment"],
            name=row["name"],
            status=row["status"],
            started_at=row["started_at"],
            created_by=row["created_by"],
            ended_at=row["ended_at"],
            seed=row["seed"],
            parameters=parameters[row["number"]],
            metrics={metric.key: measured(metric.value) for metric in latest[row["number"]]},
            tags=tags[row["number"]],
            datasets=from_json(row["datasets"], tuple[str, ...]),
            code=from_json(row["code"], CodeSnapshot | None),  # type: ignore[arg-type]
            environment=from_json(row["environment"], EnvironmentSnapshot | None),  # type: ignore[arg-type]
            artifacts=from_json(row["artifacts"], tuple[Artifact, ...]),
            error=row["error"],
        )
        for row in rows
    ]
