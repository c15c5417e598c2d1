"""The SQLite file of an MLflow backend store, read without its server.

The schema is that of MLflow 3.17; a table or column that an older release lacks counts as empty. Each question is a
short read of its own, because a long one would keep a server that still writes to the file waiting.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from holdfast.sdk.imports.mlflow.errors import SourceAwayError, SourceError
from holdfast.sdk.imports.mlflow.local_files import LocalFiles
from holdfast.sdk.imports.mlflow.records import (
    Folder,
    Point,
    SourceExperiment,
    SourceFile,
    SourceInput,
    SourceLoggedModel,
    SourceModel,
    SourceModelMetric,
    SourceRun,
    SourceVersion,
)

_RUNS_A_PAGE = 200
_POINTS_A_PART = 50_000
_BUSY_S = 30.0
# LoggedModelStatus of MLflow's protocol.
_MODEL_STATUS = {0: "UNSPECIFIED", 1: "PENDING", 2: "READY", 3: "UPLOAD_FAILED"}
Row = sqlite3.Row


class DatabaseSource:
    """A backend store in a SQLite file."""

    is_local = True

    def __init__(self, path: Path, artifacts: Path | None) -> None:
        self.name = str(path.resolve())
        beside = [path.parent / "mlartifacts", path.parent / "mlruns"]
        self._files = LocalFiles(beside, artifacts)
        try:
            self._database = sqlite3.connect(
                f"file:{quote(str(path))}?mode=ro", uri=True, timeout=_BUSY_S, check_same_thread=False
            )
            self._database.row_factory = sqlite3.Row
            known = self._database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        except sqlite3.Error as error:
            raise SourceError(f"{path} cannot be read: {error}") from None
        self._tables = {row["name"] for row in known}
        missing = {"experiments", "runs", "metrics", "params", "tags"} - self._tables
        if missing:
            raise SourceError(f"{path} is not an MLflow backend store: it has no table {min(missing)!r}")
        self._columns = lru_cache(self._columns_of)

    def experiments(self) -> list[SourceExperiment]:
        tags = self._pairs("experiment_tags", "experiment_id")
        return [
            SourceExperiment(
                experiment_id=str(row["experiment_id"]),
                name=row["name"],
                lifecycle=row["lifecycle_stage"] or "active",
                created_ms=_get(row, "creation_time") or 0,
                updated_ms=_get(row, "last_update_time") or 0,
                artifact_location=row["artifact_location"] or "",
                tags=tags.get(row["experiment_id"], {}),
            )
            for row in self._rows(
                f"SELECT * FROM experiments{self._own('experiments')} ORDER BY experiment_id"
            )
        ]

    def run_count(self, experiment_id: str) -> int | None:
        sql = "SELECT count(*) AS n FROM runs WHERE experiment_id = ?"
        return int(self._rows(sql, (int(experiment_id),))[0]["n"])

    def run_pages(self, experiment_id: str) -> Iterator[list[SourceRun]]:
        ids = [
            row["run_uuid"]
            for row in self._rows(
                "SELECT run_uuid FROM runs WHERE experiment_id = ? ORDER BY start_time, run_uuid",
                (int(experiment_id),),
            )
        ]
        for start in range(0, len(ids), _RUNS_A_PAGE):
            part = ids[start : start + _RUNS_A_PAGE]
            yield self._runs(
                self._rows(
                    f"SELECT * FROM runs WHERE run_uuid IN ({_marks(part)}) ORDER BY start_time, run_uuid",
                    part,
                )
            )

    def curves(self, runs: list[SourceRun]) -> Iterator[tuple[str, str, list[Point]]]:
        columns = self._columns("metrics")
        step, is_nan = ("step" if "step" in columns else "0"), ("is_nan" if "is_nan" in columns else "0")
        # By the index of MLflow's own; the row's number parts points of one step.
        sql = (
            f"SELECT {step} AS step, rowid AS place, timestamp, value, {is_nan} AS is_nan FROM metrics"
            f" WHERE run_uuid = ? AND key = ? AND ({step}, rowid) > (?, ?) ORDER BY {step}, rowid LIMIT ?"
        )
        for run in runs:
            for key in run.metrics:
                mark = (-(2**63), 0)
                while rows := self._rows(sql, (run.run_id, key, *mark, _POINTS_A_PART)):
                    mark = (rows[-1]["step"], rows[-1]["place"])
                    yield run.run_id, key, [_point(row) for row in rows]

    def logged_models(self, experiment_id: str) -> Iterator[SourceLoggedModel]:
        if "logged_models" not in self._tables:
            return
        rows = self._rows(
            "SELECT * FROM logged_models WHERE experiment_id = ? ORDER BY creation_timestamp_ms, model_id",
            (int(experiment_id),),
        )
        for row in rows:
            model_id = row["model_id"]
            yield SourceLoggedModel(
                model_id=model_id,
                experiment_id=experiment_id,
                name=row["name"],
                status=_MODEL_STATUS.get(row["status"], "UNSPECIFIED"),
                lifecycle=row["lifecycle_stage"] or "active",
                created_ms=row["creation_timestamp_ms"],
                updated_ms=row["last_updated_timestamp_ms"],
                model_type=row["model_type"] or "",
                source_run_id=row["source_run_id"] or "",
                artifact_uri=row["artifact_location"],
                params=self._model_pairs("param", model_id),
                tags=self._model_pairs("tag", model_id),
                metrics=tuple(self._model_metrics(model_id)),
            )

    def models(self) -> Iterator[SourceModel]:
        if "registered_models" not in self._tables:
            return
        for row in self._rows(
            f"SELECT * FROM registered_models{self._own('registered_models')} ORDER BY name"
        ):
            name = row["name"]
            yield SourceModel(
                name=name,
                created_ms=row["creation_time"] or 0,
                updated_ms=row["last_updated_time"] or row["creation_time"] or 0,
                description=_get(row, "description") or "",
                tags=self._of_model("registered_model_tags", name),
                aliases={
                    item["alias"]: item["version"] for item in self._of_name("registered_model_aliases", name)
                },
                versions=tuple(self._version(item) for item in self._of_name("model_versions", name)),
            )

    def files(self, folder: Folder) -> list[SourceFile]:
        return self._files.files(folder)

    def open(self, folder: Folder, file: SourceFile) -> AbstractContextManager[IO[bytes]]:
        return self._files.open(folder, file)

    def close(self) -> None:
        self._database.close()

    def _runs(self, rows: Sequence[Row]) -> list[SourceRun]:
        ids = [row["run_uuid"] for row in rows]
        params = self._pairs("params", "run_uuid", ids)
        tags = self._pairs("tags", "run_uuid", ids)
        metrics = self._metric_marks(ids)
        inputs, read, wrote = self._inputs(ids), self._links(ids, "RUN_INPUT"), self._links(ids, "RUN_OUTPUT")
        return [
            SourceRun(
                run_id=row["run_uuid"],
                experiment_id=str(row["experiment_id"]),
                name=_get(row, "name") or tags.get(row["run_uuid"], {}).get("mlflow.runName", ""),
                status=row["status"] or "RUNNING",
                lifecycle=row["lifecycle_stage"] or "active",
                started_ms=row["start_time"] or 0,
                ended_ms=row["end_time"],
                user=row["user_id"] or "",
                artifact_uri=row["artifact_uri"] or "",
                params=params.get(row["run_uuid"], {}),
                tags=tags.get(row["run_uuid"], {}),
                metrics=metrics.get(row["run_uuid"], {}),
                inputs=tuple(inputs.get(row["run_uuid"], ())),
                model_inputs=tuple(model_id for model_id, _ in read.get(row["run_uuid"], ())),
                model_outputs=tuple(wrote.get(row["run_uuid"], ())),
            )
            for row in rows
        ]

    def _metric_marks(self, ids: list[str]) -> dict[str, dict[str, str]]:
        # MLflow has no verb that takes a point away, so their number tells whether a curve has grown.
        found: dict[str, dict[str, str]] = {}
        for row in self._rows(
            f"SELECT run_uuid, key, count(*) AS n FROM metrics WHERE run_uuid IN ({_marks(ids)})"
            " GROUP BY run_uuid, key ORDER BY key",
            ids,
        ):
            found.setdefault(row["run_uuid"], {})[row["key"]] = str(row["n"])
        return found

    def _inputs(self, ids: list[str]) -> dict[str, list[SourceInput]]:
        found: dict[str, list[SourceInput]] = {}
        if not {"inputs", "datasets"} <= self._tables:
            return found
        tags = self._pairs("input_tags", "input_uuid", key="name")
        for row in self._rows(
            "SELECT i.input_uuid, i.destination_id, d.* FROM inputs i JOIN datasets d"
            " ON d.dataset_uuid = i.source_id WHERE i.source_type = 'DATASET' AND i.destination_type = 'RUN'"
            f" AND i.destination_id IN ({_marks(ids)}) ORDER BY i.input_uuid",
            ids,
        ):
            found.setdefault(row["destination_id"], []).append(
                SourceInput(
                    row["name"],
                    row["digest"],
                    row["dataset_source_type"],
                    row["dataset_source"],
                    row["dataset_schema"],
                    row["dataset_profile"],
                    tags.get(row["input_uuid"], {}),
                )
            )
        return found

    def _links(self, ids: list[str], kind: str) -> dict[str, list[tuple[str, int]]]:
        found: dict[str, list[tuple[str, int]]] = {}
        if "step" not in self._columns("inputs"):
            return found
        for row in self._rows(
            "SELECT source_id, destination_id, step FROM inputs WHERE source_type = ?"
            f" AND source_id IN ({_marks(ids)}) ORDER BY step, destination_id",
            (kind, *ids),
        ):
            found.setdefault(row["source_id"], []).append((row["destination_id"], row["step"]))
        return found

    def _model_pairs(self, noun: str, model_id: str) -> dict[str, str]:
        sql = f"SELECT {noun}_key AS key, {noun}_value AS value FROM logged_model_{noun}s WHERE model_id = ?"
        return {row["key"]: row["value"] for row in self._rows(sql, (model_id,))}

    def _model_metrics(self, model_id: str) -> Iterator[SourceModelMetric]:
        for row in self._rows("SELECT * FROM logged_model_metrics WHERE model_id = ?", (model_id,)):
            value = row["metric_value"]
            yield SourceModelMetric(
                key=row["metric_name"],
                value=float("nan") if value is None else value,
                at_ms=row["metric_timestamp_ms"],
                step=row["metric_step"],
                run_id=row["run_id"],
                dataset_name=row["dataset_name"] or "",
                dataset_digest=row["dataset_digest"] or "",
            )

    def _version(self, row: Row) -> SourceVersion:
        source = row["source"] or ""
        return SourceVersion(
            name=row["name"],
            version=row["version"],
            created_ms=row["creation_time"] or 0,
            updated_ms=row["last_updated_time"] or row["creation_time"] or 0,
            source=source,
            storage=_get(row, "storage_location") or "",
            run_id=row["run_id"] or "",
            user=row["user_id"] or "",
            description=row["description"] or "",
            stage=row["current_stage"] or "None",
            run_link=_get(row, "run_link") or "",
            tags=self._of_model("model_version_tags", row["name"], row["version"]),
        )

    def _of_name(self, table: str, name: str) -> list[Row]:
        if table not in self._tables:
            return []
        own = self._own(table).replace(" WHERE", " AND", 1)
        order = " ORDER BY version" if table == "model_versions" else ""
        # A version that was deleted stays in the table under this stage.
        kept = " AND current_stage <> 'Deleted_Internal'" if table == "model_versions" else ""
        return self._rows(f"SELECT * FROM {table} WHERE name = ?{own}{kept}{order}", (name,))

    def _of_model(self, table: str, name: str, version: int | None = None) -> dict[str, str]:
        rows = self._of_name(table, name)
        return {
            row["key"]: row["value"] or "" for row in rows if version is None or row["version"] == version
        }

    def _pairs(
        self, table: str, owner: str, ids: list[Any] | None = None, key: str = "key"
    ) -> dict[Any, dict[str, str]]:
        found: dict[Any, dict[str, str]] = {}
        if table not in self._tables:
            return found
        condition = "" if ids is None else f" WHERE {owner} IN ({_marks(ids)})"
        for row in self._rows(
            f"SELECT {owner} AS owner, {key} AS key, value FROM {table}{condition}", ids or ()
        ):
            found.setdefault(row["owner"], {})[row["key"]] = row["value"] or ""
        return found

    def _own(self, table: str) -> str:
        """A store may hold several workspaces; the one that every store has is brought."""
        return " WHERE workspace = 'default'" if "workspace" in self._columns(table) else ""

    def _columns_of(self, table: str) -> frozenset[str]:
        return frozenset(row["name"] for row in self._rows(f"PRAGMA table_info({table})"))

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        try:
            return self._database.execute(sql, tuple(values)).fetchall()
        except sqlite3.Error as error:
            raise _away(self.name, error) from None


def _away(name: str, error: sqlite3.Error) -> Exception:
    if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
        return SourceAwayError(f"{name} stayed locked for {_BUSY_S:g} s", hint="type the same command again")
    return SourceError(f"{name} cannot be read: {error}")


def _point(row: Row) -> Point:
    return row["step"] or 0, row["timestamp"] or 0, float("nan") if row["is_nan"] else float(row["value"])


def _get(row: Row, column: str) -> Any:
    return row[column] if column in row.keys() else None  # noqa: SIM118


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))
