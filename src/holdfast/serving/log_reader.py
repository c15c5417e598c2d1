"""How the prediction log is read: spool segments and shipped Parquet become tables; closed segments are shipped.

`holdfast.serving.log` is the door. This room loads polars, which the door does only when the log is first read.
"""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from holdfast.base.blobs import sync_folder
from holdfast.base.clock import Micros
from holdfast.base.encoding import to_json
from holdfast.base.home import Home
from holdfast.serving.entity_labels import EntityIndex
from holdfast.serving.log_frames import (
    LABEL_COLUMNS,
    Rows,
    empty_labels,
    empty_predictions,
    empty_rejections,
    stack,
    to_rows,
)
from holdfast.serving.records import DeploymentKey, SchemaFrame, SegmentManifest
from holdfast.serving.segments import MANIFEST, Segments
from holdfast.serving.spool import iterate_segment

_PREDICTIONS, _LABELS, _REJECTIONS = "predictions.parquet", "labels.parquet", "rejections.parquet"
_ATTEMPTS = 5


@dataclass(frozen=True)
class LogBatch:
    """What is new since a cursor. The columns of `predictions` are those of `log_frames.PREDICTION_COLUMNS`, then
    `input.<field>` and `feature.<column>`; within one batch each (prediction_id, shadow) occurs once."""

    predictions: pl.DataFrame
    labels: pl.DataFrame
    rejections: pl.DataFrame
    cursor: dict[str, int]


class LogReader:
    """The log of a home as tables.

    An instance keeps what it learned of immutable things (manifests, schemas, which prediction an entity and a
    time mean), so that following the log costs only what is new.
    """

    def __init__(self, home: Home) -> None:
        self._segments = Segments(home)
        self._schemas: dict[tuple[DeploymentKey, str], dict[int, SchemaFrame]] = {}
        self._entities: dict[DeploymentKey, EntityIndex] = {}

    def read_since(self, key: DeploymentKey, cursor: Mapping[str, int] | None) -> LogBatch:
        """See `PredictionLog.read_since`."""
        rows, after = self._read(key, cursor or {})
        labels = stack([part.labels for _, part in rows], empty_labels())
        return LogBatch(
            _public(_deduplicated(_stack_predictions(rows))),
            self._resolved(key, labels.drop("_offset")),
            stack([part.rejections for _, part in rows], empty_rejections()).drop("_offset"),
            after,
        )

    def labels(self, key: DeploymentKey) -> pl.DataFrame:
        """See `PredictionLog.labels`."""
        return latest_labels(self.read_since(key, None).labels)

    def feed(self, key: DeploymentKey, after_at: Micros, until_at: Micros) -> pl.DataFrame:
        """See `PredictionLog.feed`."""
        batch = self.read_since(key, None)
        labels = latest_labels(batch.labels.filter(pl.col("known_at") <= until_at))
        labels = labels.filter(pl.col("known_at") > after_at)
        inputs = [name for name in batch.predictions.columns if name.startswith("input.")]
        answered = batch.predictions.filter(~pl.col("shadow") & pl.col("error").is_null())
        return (
            answered.select("prediction_id", pl.col("at").alias("_at"), *inputs)
            .rename({name: name.removeprefix("input.") for name in inputs})
            .join(labels.select("prediction_id", "value", "known_at"), on="prediction_id")
            .rename({"prediction_id": "_row_id", "value": "_label", "known_at": "_known_at"})
            .sort("_known_at", "_at", "_row_id")
        )

    def ship(self, key: DeploymentKey) -> list[SegmentManifest]:
        """See `PredictionLog.ship`."""
        shipped = []
        for path in self._segments.closed(key):
            manifest = self._segments.manifest(key, path.stem) or self._ship(key, path)
            # Readers ignore the raw file from the moment the folder has its name.
            path.unlink(missing_ok=True)
            shipped.append(manifest)
        return shipped

    def _read(
        self, key: DeploymentKey, cursor: Mapping[str, int]
    ) -> tuple[list[tuple[str, Rows]], dict[str, int]]:
        found: list[tuple[str, Rows]] = []
        after = dict(cursor)
        for segment in self._segments.names(key):
            rows = self._read_one(key, segment, cursor.get(segment, 0))
            if rows is not None:
                found.append((segment, rows))
                after[segment] = rows.end
        return found, after

    def _read_one(self, key: DeploymentKey, segment: str, offset: int) -> Rows | None:
        """The rows of a segment from `offset` on, None when there is nothing new."""
        for _ in range(_ATTEMPTS):
            manifest = self._segments.manifest(key, segment)
            if manifest is not None:
                return None if offset >= manifest.raw_bytes else self._read_shipped(key, manifest, offset)
            try:
                path = self._segments.raw_file(key, segment)
                if path is not None:
                    return None if path.stat().st_size <= offset else self._read_raw(key, path, offset)
            except FileNotFoundError:
                continue  # It was closed or shipped between the look and the read: look again.
        return None

    def _read_raw(self, key: DeploymentKey, path: Path, offset: int) -> Rows:
        schemas = self._schemas.get((key, path.stem))
        if schemas is None:
            # A cursor from before this process began may lie behind the frames that name the columns.
            schemas = _schemas_before(path, offset)
        rows = read_rows(path, offset, schemas)
        self._schemas[(key, path.stem)] = rows.schemas
        return rows

    def _read_shipped(self, key: DeploymentKey, manifest: SegmentManifest, offset: int) -> Rows:
        folder = self._segments.shipped_folder(key) / manifest.segment
        parts = [
            pl.read_parquet(folder / name).filter(pl.col("_offset") >= offset) if count else empty
            for name, count, empty in (
                (_PREDICTIONS, manifest.predictions, empty_predictions()),
                (_LABELS, manifest.labels, empty_labels()),
                (_REJECTIONS, manifest.rejections, empty_rejections()),
            )
        ]
        return Rows(
            parts[0],
            parts[1],
            parts[2],
            manifest.raw_bytes,
            {frame.version: frame for frame in manifest.schemas},
        )

    def _ship(self, key: DeploymentKey, path: Path) -> SegmentManifest:
        rows = read_rows(path, 0, {})
        manifest = _manifest(key, path, rows)
        target = self._segments.shipped_folder(key) / path.stem
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=target.parent, prefix=".shipping-"))
        try:
            for name, table in (
                (_PREDICTIONS, rows.predictions),
                (_LABELS, rows.labels),
                (_REJECTIONS, rows.rejections),
            ):
                if table.height:
                    table.write_parquet(draft / name)
                    _sync(draft / name)
            (draft / MANIFEST).write_text(to_json(manifest))
            _sync(draft / MANIFEST)
            sync_folder(draft)
            if self._segments.manifest(key, path.stem) is None:
                draft.rename(target)
                sync_folder(target.parent)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return manifest

    def _resolved(self, key: DeploymentKey, labels: pl.DataFrame) -> pl.DataFrame:
        """Labels by prediction id; one given by entity and time becomes one for each prediction it means."""
        by_entity = pl.col("prediction_id").str.starts_with("e_")
        if not labels.height or not labels.select(by_entity.any()).item():
            return labels
        index = self._entities.setdefault(key, EntityIndex())
        rows, index.cursor = self._read(key, index.cursor)
        for _, part in rows:
            index.add(part.predictions, part.schemas)
        found = index.resolve(labels.filter(by_entity))
        return pl.concat([labels.filter(~by_entity), found]).select(*LABEL_COLUMNS)


def read_rows(path: Path, offset: int, schemas: Mapping[int, SchemaFrame]) -> Rows:
    """The rows of a raw segment from `offset` on; `schemas` are those named before it."""
    parts: list[Rows] = []
    rows = to_rows([], offset, schemas)
    with _without_collection():
        for frames, end in iterate_segment(path, offset):
            rows = to_rows(frames, end, rows.schemas)
            parts.append(rows)
    return Rows(
        stack([part.predictions for part in parts], empty_predictions()),
        stack([part.labels for part in parts], empty_labels()),
        stack([part.rejections for part in parts], empty_rejections()),
        rows.end,
        rows.schemas,
    )


def _schemas_before(path: Path, offset: int) -> dict[int, SchemaFrame]:
    if not offset:
        return {}
    return {
        frame.version: frame
        for frames, _ in iterate_segment(path)
        for _, frame in frames
        if isinstance(frame, SchemaFrame)
    }


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """Decoding makes many objects and no cycles; the collector would walk them over and over for nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def latest_labels(labels: pl.DataFrame) -> pl.DataFrame:
    """One label a prediction: the one that became known last, of these the one that was received last."""
    return (
        labels.sort("known_at", "received_at", maintain_order=True)
        .unique("prediction_id", keep="last", maintain_order=True)
        .sort("known_at", "prediction_id")
    )


def _stack_predictions(rows: list[tuple[str, Rows]]) -> pl.DataFrame:
    tables = [
        part.predictions.with_columns(_segment=pl.lit(segment))
        for segment, part in rows
        if part.predictions.height
    ]
    return stack(tables, empty_predictions().with_columns(_segment=pl.lit("")))


def _deduplicated(predictions: pl.DataFrame) -> pl.DataFrame:
    """The first answer of each request, or its failure where none was ever answered."""
    if not predictions.height:
        return predictions
    order = ["at", "shadow", "_segment", "_offset", "row"]
    first = predictions.with_columns(_failed=pl.col("error").is_not_null()).sort("_failed", *order)
    return first.unique(["prediction_id", "shadow"], keep="first", maintain_order=True).sort(order)


def _public(predictions: pl.DataFrame) -> pl.DataFrame:
    """The columns that the log promises, the named ones before inputs and features."""
    rank = {"input": 1, "feature": 2}
    names = [name for name in predictions.columns if not name.startswith("_")]
    names.sort(key=lambda name: rank.get(name.partition(".")[0], 0))
    return predictions.select(names)


def _manifest(key: DeploymentKey, path: Path, rows: Rows) -> SegmentManifest:
    at = rows.predictions.get_column("at")
    return SegmentManifest(
        key.project,
        key.environment,
        key.name,
        path.stem,
        # A closed file may end in bytes that are no frame; its cursor must not stop before them for ever.
        max(rows.end, path.stat().st_size),
        rows.predictions.height,
        rows.labels.height,
        rows.rejections.height,
        tuple(rows.schemas.values()),
        int(at.min()) if at.len() else None,  # type: ignore[arg-type]
        int(at.max()) if at.len() else None,  # type: ignore[arg-type]
    )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
