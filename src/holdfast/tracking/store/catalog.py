"""What lists and descriptions of runs read besides the runs themselves: ids, counts, artifacts, children."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.base.clock import Micros
from holdfast.base.ledger.protocol import Reader
from holdfast.tracking.records import Artifact, Experiment
from holdfast.tracking.run_records import ExperimentSummary
from holdfast.tracking.store import experiments
from holdfast.tracking.store.metrics import in_parts

PARENT_TAG = "mlflow.parentRunId"
# The letter behind the hexadecimal digits bounds a range of ids from above.
_BEHIND_HEX = "g"


def ids_beginning(reader: Reader, project: str, beginning: str, most: int) -> list[str]:
    """The first ids that begin so, in order; `beginning` is of hexadecimal digits."""
    rows = reader.query(
        "SELECT run_id FROM run WHERE project = ? AND run_id >= ? AND run_id < ? AND substr(run_id, 1, ?) = ?"
        " ORDER BY run_id LIMIT ?",
        (project, beginning, beginning + _BEHIND_HEX, len(beginning), beginning, most),
    )
    return [row["run_id"] for row in rows]


def experiment_names(reader: Reader, project: str) -> dict[str, str]:
    """The name of every experiment by its id, deleted ones too."""
    rows = reader.query("SELECT experiment_id, name FROM experiment WHERE project = ?", (project,))
    return {str(row["experiment_id"]): row["name"] for row in rows}


def experiment_summaries(reader: Reader, project: str, view: str) -> list[ExperimentSummary]:
    """Experiments with their counts of runs, the latest run first, those without one last."""
    condition, values = ("", [project]) if view == "all" else (" AND lifecycle = ?", [project, view])
    found = experiments.search(reader, f"project = ?{condition}", values)
    counts = _counts(reader, [item.number for item in found])
    summaries = [_summary(item, counts.get(item.number, {})) for item in found]
    return sorted(summaries, key=lambda item: (-(item.last_started_at or -1), -int(item.experiment_id)))


def deleted_times(reader: Reader, numbers: Sequence[int]) -> dict[int, Micros]:
    """When those of the runs that are deleted were."""
    found: dict[int, Micros] = {}
    for part in in_parts(numbers):
        marks = ", ".join("?" * len(part))
        rows = reader.query(
            f"SELECT number, deleted_at FROM run WHERE deleted_at IS NOT NULL AND number IN ({marks})", part
        )
        found.update((row["number"], row["deleted_at"]) for row in rows)
    return found


def children(reader: Reader, project: str, run_id: str, most: int) -> list[int]:
    """The numbers of the active runs that name this one as their parent, the first started first."""
    rows = reader.query(
        "SELECT r.number FROM run_tag t JOIN run r ON r.number = t.run_number"
        " WHERE t.key = ? AND t.head = ? AND t.value = ? AND r.project = ? AND r.lifecycle = 'active'"
        " ORDER BY r.started_at, r.run_id LIMIT ?",
        (PARENT_TAG, run_id, run_id, project, most),
    )
    return [row["number"] for row in rows]


def artifacts_below(reader: Reader, project: str, root: str, most: int) -> tuple[list[Artifact], int]:
    """The first files below a folder by path, relative to it, and how many there are in all."""
    found: list[Artifact] = []
    folders = [root]
    while folders:
        inside: list[str] = []
        for part in in_parts(folders):
            marks = ", ".join("?" * len(part))
            rows = reader.query(
                f"SELECT folder, name, digest, size_bytes FROM artifact WHERE project = ? AND folder IN ({marks})",
                (project, *part),
            )
            found.extend(
                Artifact(
                    f"{row['folder']}/{row['name']}".removeprefix(f"{root}/"),
                    row["digest"],
                    row["size_bytes"],
                )
                for row in rows
            )
            below = reader.query(
                f"SELECT parent, name FROM artifact_folder WHERE project = ? AND parent IN ({marks})",
                (project, *part),
            )
            inside.extend(f"{row['parent']}/{row['name']}" for row in below)
        folders = inside
    found.sort(key=lambda artifact: artifact.path)
    return found[:most], len(found)


def _counts(reader: Reader, numbers: Sequence[int]) -> dict[int, dict[str, int]]:
    found: dict[int, dict[str, int]] = {}
    for part in in_parts(numbers):
        marks = ", ".join("?" * len(part))
        for row in reader.query(
            "SELECT experiment_number, lifecycle, status, count(*) AS runs, max(started_at) AS last FROM run"
            f" WHERE experiment_number IN ({marks}) GROUP BY experiment_number, lifecycle, status",
            part,
        ):
            of = found.setdefault(row["experiment_number"], {})
            if row["lifecycle"] == "deleted":
                of["deleted"] = of.get("deleted", 0) + row["runs"]
                continue
            of["active"] = of.get("active", 0) + row["runs"]
            of["last"] = max(of.get("last", 0), row["last"])
            if row["status"] == "running":
                of["running"] = row["runs"]
    return found


def _summary(found: Experiment, counts: dict[str, int]) -> ExperimentSummary:
    return ExperimentSummary(
        experiment_id=found.experiment_id,
        name=found.name,
        lifecycle=found.lifecycle,
        created_at=found.created_at,
        updated_at=found.updated_at,
        runs=counts.get("active", 0),
        runs_running=counts.get("running", 0),
        runs_deleted=counts.get("deleted", 0),
        last_started_at=counts.get("last"),
        tags=found.tags,
    )
