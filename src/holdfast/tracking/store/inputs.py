"""What runs read and wrote: datasets, and links to logged models."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.base.encoding import from_json, to_json
from holdfast.base.ledger.protocol import Reader, Transaction
from holdfast.tracking.records import DatasetUsed, ModelLink, RunInput
from holdfast.tracking.store.metrics import in_parts

CONTEXT_TAG = "mlflow.data.context"


def add_dataset(transaction: Transaction, experiment_number: int, run_number: int, given: RunInput) -> None:
    """Adds an input; the same dataset of the same experiment is kept once.

    A run that names a dataset again changes nothing, as in MLflow: its client names the dataset again, without tags,
    with each metric that belongs to it.
    """
    dataset = given.dataset
    key = (experiment_number, dataset.name, dataset.digest)
    where = "experiment_number = ? AND name = ? AND digest = ?"
    row = transaction.one(f"SELECT number FROM dataset_used WHERE {where}", key)
    number = (
        row["number"]
        if row is not None
        else transaction.insert(
            "INSERT INTO dataset_used (experiment_number, name, digest, source_type, source, fields, profile)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*key, dataset.source_type, dataset.source, dataset.schema, dataset.profile),
        )
    )
    transaction.execute(
        "INSERT INTO run_input (run_number, dataset_number, context, tags) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (run_number, dataset_number) DO NOTHING",
        (run_number, number, given.tags.get(CONTEXT_TAG), to_json(given.tags)),
    )


def add_model(transaction: Transaction, run_number: int, direction: str, link: ModelLink) -> None:
    """Notes a model that a run read (`input`) or wrote (`output`)."""
    transaction.execute(
        "INSERT INTO run_model (run_number, direction, model_id, step) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (run_number, direction, model_id) DO UPDATE SET step = excluded.step",
        (run_number, direction, link.model_id, link.step),
    )


def datasets(reader: Reader, run_numbers: Sequence[int]) -> dict[int, list[RunInput]]:
    found: dict[int, list[RunInput]] = {}
    for part in in_parts(run_numbers):
        for row in reader.query(
            "SELECT i.run_number, i.tags, d.name, d.digest, d.source_type, d.source, d.fields, d.profile"
            " FROM run_input i JOIN dataset_used d ON d.number = i.dataset_number"
            f" WHERE i.run_number IN ({', '.join('?' * len(part))}) ORDER BY i.run_number, d.number",
            part,
        ):
            dataset = DatasetUsed(
                row["name"], row["digest"], row["source_type"], row["source"], row["fields"], row["profile"]
            )
            found.setdefault(row["run_number"], []).append(
                RunInput(dataset, from_json(row["tags"], dict[str, str]))
            )
    return found


def models(reader: Reader, run_numbers: Sequence[int]) -> dict[int, dict[str, list[ModelLink]]]:
    """The links of some runs, by direction."""
    found: dict[int, dict[str, list[ModelLink]]] = {}
    for part in in_parts(run_numbers):
        for row in reader.query(
            "SELECT run_number, direction, model_id, step FROM run_model"
            f" WHERE run_number IN ({', '.join('?' * len(part))}) ORDER BY run_number, step, model_id",
            part,
        ):
            of_run = found.setdefault(row["run_number"], {})
            of_run.setdefault(row["direction"], []).append(ModelLink(row["model_id"], row["step"]))
    return found


def summaries(reader: Reader, experiment_numbers: Sequence[int]) -> list[tuple[str, str, str, str | None]]:
    """(experiment id, name, digest, context) of the datasets of some experiments."""
    marks = ", ".join("?" * len(experiment_numbers))
    rows = reader.query(
        "SELECT DISTINCT e.experiment_id, d.name, d.digest, i.context FROM dataset_used d"
        " JOIN experiment e ON e.number = d.experiment_number"
        " LEFT JOIN run_input i ON i.dataset_number = d.number"
        f" WHERE d.experiment_number IN ({marks}) ORDER BY e.experiment_id, d.name, d.digest, i.context LIMIT 1000",
        experiment_numbers,
    )
    return [(str(row["experiment_id"]), row["name"], row["digest"], row["context"]) for row in rows]
