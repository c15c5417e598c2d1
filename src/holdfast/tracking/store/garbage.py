"""What a garbage collection reads and removes: deleted runs, logged models and experiments with all that is theirs.

It also names the blobs that the rows of tracking refer to.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import msgspec

from holdfast.base.clock import Micros
from holdfast.base.garbage import digests_in
from holdfast.base.ledger.protocol import Reader, Transaction
from holdfast.tracking.store.metrics import in_parts

_SCHEME = "mlflow-artifacts:/"
_OF_RUN = (
    "latest", "metric_tail", "metric_block", "run_parameter", "run_tag", "run_input", "run_model",
)  # fmt: skip
_OF_MODEL = ("logged_model_parameter", "logged_model_tag", "logged_model_metric")
_DIGEST_CHARACTERS = 64

Folder = tuple[str, str]


class DeadRun(msgspec.Struct, frozen=True):
    """A deleted run that may go."""

    number: int
    run_id: str
    name: str
    artifact_root: str


class DeadModel(msgspec.Struct, frozen=True):
    """A logged model that may go: it was deleted, or its run was."""

    number: int
    model_id: str
    name: str
    source_run_id: str
    artifact_root: str


class DeadExperiment(msgspec.Struct, frozen=True):
    """A deleted experiment."""

    number: int
    experiment_id: int
    name: str


def dead_runs(
    reader: Reader, project: str, before: Micros, among: Sequence[int] | None = None
) -> list[DeadRun]:
    """Runs deleted before a time, those started last first; `among` are numbers to choose from."""
    # The plus keeps the index of deleted runs out of it where their numbers are known.
    condition, numbers = "deleted_at <= ?", tuple[int, ...]()
    if among is not None:
        condition = f"+deleted_at <= ? AND number IN ({', '.join('?' * len(among)) or 'NULL'})"
        numbers = tuple(among)
    rows = reader.query(
        "SELECT number, run_id, name, artifact_root FROM run WHERE project = ? AND lifecycle = 'deleted'"
        f" AND {condition} ORDER BY started_at DESC, number DESC",
        (project, before, *numbers),
    )
    return [DeadRun(row["number"], row["run_id"], row["name"], row["artifact_root"]) for row in rows]


def dead_models(reader: Reader, project: str, before: Micros) -> list[DeadModel]:
    """Logged models deleted before a time on their own, or with their experiment."""
    return _models(
        reader,
        "project = ? AND (lifecycle = 'deleted' AND updated_at <= ? OR experiment_number IN (SELECT number"
        " FROM experiment WHERE project = ? AND lifecycle = 'deleted' AND updated_at <= ?))",
        (project, before, project, before),
    )


def models_of_runs(reader: Reader, project: str, run_ids: Sequence[str]) -> list[DeadModel]:
    """Logged models that some runs wrote."""
    found: list[DeadModel] = []
    for part in in_parts(run_ids):
        marks = ", ".join("?" * len(part))
        found += _models(reader, f"project = ? AND source_run_id IN ({marks})", (project, *part))
    return found


def dead_experiments(reader: Reader, project: str, before: Micros) -> list[DeadExperiment]:
    """Experiments deleted before a time; the default one never is one of them."""
    rows = reader.query(
        "SELECT number, experiment_id, name FROM experiment WHERE project = ? AND lifecycle = 'deleted'"
        " AND updated_at <= ? AND experiment_id <> 0 ORDER BY number",
        (project, before),
    )
    return [DeadExperiment(row["number"], row["experiment_id"], row["name"]) for row in rows]


def inhabitants(reader: Reader, experiment_number: int) -> tuple[set[int], set[int]]:
    """The numbers of the runs and of the logged models of an experiment, deleted ones too."""
    runs, models = (
        {
            row["number"]
            for row in reader.query(
                f"SELECT number FROM {table} WHERE experiment_number = ?", (experiment_number,)
            )
        }
        for table in ("run", "logged_model")
    )
    return runs, models


def writers(reader: Reader, project: str, model_ids: Sequence[str]) -> list[tuple[str, str]]:
    """(model id, run id) of each run that wrote one of some logged models."""
    found: list[tuple[str, str]] = []
    for part in in_parts(model_ids):
        marks = ", ".join("?" * len(part))
        rows = reader.query(
            "SELECT x.model_id, r.run_id FROM run_model x JOIN run r ON r.number = x.run_number"
            f" WHERE r.project = ? AND x.direction = 'output' AND x.model_id IN ({marks})"
            " UNION SELECT model_id, source_run_id FROM logged_model"
            f" WHERE project = ? AND source_run_id <> '' AND model_id IN ({marks})",
            (project, *part, project, *part),
        )
        found += [(row["model_id"], row["run_id"]) for row in rows]
    return found


def known_runs(reader: Reader, project: str, run_ids: Sequence[str]) -> set[str]:
    """Those of some ids that are runs, deleted or not."""
    return _known(reader, "run", "run_id", project, run_ids)


def known_models(reader: Reader, project: str, model_ids: Sequence[str]) -> set[str]:
    """Those of some ids that are logged models, deleted or not."""
    return _known(reader, "logged_model", "model_id", project, model_ids)


def folders_below(reader: Reader, project: str, root: str) -> list[str]:
    """The folder of an artifact root and every one in it, where the bytes are ours; otherwise none."""
    if not root.startswith(_SCHEME):
        return []
    found = [root.removeprefix(_SCHEME)]
    level = found
    while level:
        inside: list[str] = []
        for part in in_parts(level):
            rows = reader.query(
                "SELECT parent, name FROM artifact_folder WHERE project = ?"
                f" AND parent IN ({', '.join('?' * len(part))})",
                (project, *part),
            )
            inside += [f"{row['parent']}/{row['name']}" for row in rows]
        found, level = found + inside, inside
    return found


def count_artifacts(reader: Reader, project: str, folders: Sequence[str]) -> int:
    """How many files there are in some folders."""
    count = 0
    for part in in_parts(folders):
        row = reader.one(
            f"SELECT count(*) AS n FROM artifact WHERE project = ? AND folder IN ({', '.join('?' * len(part))})",
            (project, *part),
        )
        count += 0 if row is None else row["n"]
    return count


def remove_runs(transaction: Transaction, runs: Sequence[DeadRun]) -> None:
    """Removes runs with everything that was logged to them, their artifacts aside."""
    _remove(transaction, "run", _OF_RUN, "run_number", [run.number for run in runs])


def remove_models(transaction: Transaction, models: Sequence[DeadModel]) -> None:
    """Removes logged models, their artifacts aside."""
    _remove(transaction, "logged_model", _OF_MODEL, "model_number", [model.number for model in models])


def remove_artifacts(transaction: Transaction, project: str, root: str) -> int:
    """Removes the files below an artifact root, where their bytes are ours; how many went."""
    path = root.removeprefix(_SCHEME)
    parent, _, name = path.rpartition("/")
    known = transaction.one(
        "SELECT 1 AS found FROM artifact_folder WHERE project = ? AND parent = ? AND name = ?",
        (project, parent, name),
    )
    if known is None or not root.startswith(_SCHEME):
        return 0
    count = 0
    for part in in_parts(folders_below(transaction, project, root)):
        marks = ", ".join("?" * len(part))
        count += transaction.execute(
            f"DELETE FROM artifact WHERE project = ? AND folder IN ({marks})", (project, *part)
        )
        transaction.execute(
            f"DELETE FROM artifact_folder WHERE project = ? AND parent IN ({marks})", (project, *part)
        )
    _remove_empty(transaction, project, path)
    return count


def remove_experiment(transaction: Transaction, project: str, experiment: DeadExperiment) -> None:
    """Removes an experiment that has neither runs nor models; its id is never given again."""
    for table, column in (
        ("experiment_tag", "experiment_number"), ("dataset_used", "experiment_number"), ("experiment", "number"),
    ):  # fmt: skip
        transaction.execute(f"DELETE FROM {table} WHERE {column} = ?", (experiment.number,))
    transaction.execute(
        "INSERT INTO experiment_collected (project, highest_id) VALUES (?, ?) ON CONFLICT (project) DO UPDATE"
        " SET highest_id = excluded.highest_id WHERE excluded.highest_id > experiment_collected.highest_id",
        (project, experiment.experiment_id),
    )


def remove_unused_datasets(transaction: Transaction) -> None:
    """Removes descriptions of datasets that no run reads any more."""
    transaction.execute("DELETE FROM dataset_used WHERE number NOT IN (SELECT dataset_number FROM run_input)")


def blobs_named(
    reader: Reader, without_runs: Collection[int] = (), without_folders: Collection[Folder] = ()
) -> Iterator[str]:
    """Every blob that a row of tracking refers to, leaving out some runs, and artifacts in some folders."""
    for row in reader.iterate("SELECT project, folder, digest FROM artifact"):
        if (row["project"], row["folder"]) not in without_folders:
            yield row["digest"]
    for row in reader.iterate("SELECT number, code, artifacts, environment FROM run"):
        if row["number"] not in without_runs:
            for text in (row["code"], row["artifacts"], row["environment"]):
                yield from digests_in(text)
    for table in ("run_tag", "run_parameter"):
        # Whoever notes a digest with a run means that its bytes are there.
        for row in reader.iterate(
            f"SELECT run_number, value FROM {table} WHERE length(value) = {_DIGEST_CHARACTERS}"
        ):
            if row["run_number"] not in without_runs:
                yield from digests_in(row["value"])


def _models(reader: Reader, condition: str, values: Sequence[object]) -> list[DeadModel]:
    rows = reader.query(
        "SELECT number, model_id, name, source_run_id, artifact_location FROM logged_model"
        f" WHERE {condition} ORDER BY number DESC",
        values,
    )
    return [
        DeadModel(row["number"], row["model_id"], row["name"], row["source_run_id"], row["artifact_location"])
        for row in rows
    ]


def _known(reader: Reader, table: str, column: str, project: str, ids: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for part in in_parts(ids):
        rows = reader.query(
            f"SELECT {column} AS id FROM {table} WHERE project = ? AND {column} IN ({', '.join('?' * len(part))})",
            (project, *part),
        )
        found.update(row["id"] for row in rows)
    return found


def _remove(
    transaction: Transaction, table: str, of_it: Sequence[str], column: str, numbers: Sequence[int]
) -> None:
    for part in in_parts(numbers):
        marks = ", ".join("?" * len(part))
        for other in of_it:
            transaction.execute(f"DELETE FROM {other} WHERE {column} IN ({marks})", part)
        transaction.execute(f"DELETE FROM {table} WHERE number IN ({marks})", part)


def _remove_empty(transaction: Transaction, project: str, folder: str) -> None:
    """Takes a folder out of the one above it, and that one too where nothing else is in it."""
    while folder:
        parent, _, name = folder.rpartition("/")
        transaction.execute(
            "DELETE FROM artifact_folder WHERE project = ? AND parent = ? AND name = ?",
            (project, parent, name),
        )
        for table, column in (("artifact", "folder"), ("artifact_folder", "parent")):
            if transaction.one(
                f"SELECT 1 AS found FROM {table} WHERE project = ? AND {column} = ?", (project, parent)
            ):
                return
        folder = parent
