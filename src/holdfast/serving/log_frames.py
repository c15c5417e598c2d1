"""Frames of the spool as polars tables: one row a prediction, a label or a rejection.

Besides the public columns a prediction row carries `_offset`, the byte offset of its frame in its segment, and
`_time`, its event time; a label or rejection row carries `_offset`. Cursors and resolution by entity need them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any

import numpy as np
import polars as pl

from holdfast.serving.records import Frame, LabelFrame, PredictionFrame, RejectionFrame, SchemaFrame

PREDICTION_COLUMNS: dict[str, Any] = {
    "prediction_id": pl.String,
    "request_id": pl.String,
    "row": pl.UInt32,
    "at": pl.Int64,
    "received_at": pl.Int64,
    "revision": pl.Int64,
    "version": pl.Int64,
    "role": pl.String,
    "shadow": pl.Boolean,
    "propensity": pl.Float64,
    "latency_us": pl.Int64,
    "output": pl.Float64,
    "error": pl.String,
    "flags": pl.List(pl.String),
}
LABEL_COLUMNS: dict[str, Any] = {
    "prediction_id": pl.String,
    "value": pl.Float64,
    "known_at": pl.Int64,
    "received_at": pl.Int64,
}
REJECTION_COLUMNS: dict[str, Any] = {
    "request_id": pl.String,
    "at": pl.Int64,
    "received_at": pl.Int64,
    "code": pl.String,
    "message": pl.String,
    "field": pl.String,
}
_OF_REQUEST = (
    "request_id", "at", "received_at", "revision", "version", "role", "shadow", "propensity", "latency_us",
    "error",
)  # fmt: skip

_SEPARATOR = "\x1f"


@dataclass(frozen=True)
class Rows:
    """The rows of (a part of) a segment, the schemas met, and the offset behind the last frame."""

    predictions: pl.DataFrame
    labels: pl.DataFrame
    rejections: pl.DataFrame
    end: int
    schemas: dict[int, SchemaFrame] = field(default_factory=dict)


def empty_predictions() -> pl.DataFrame:
    return pl.DataFrame(schema={**PREDICTION_COLUMNS, "_offset": pl.Int64, "_time": pl.Int64})


def empty_labels() -> pl.DataFrame:
    return pl.DataFrame(schema={**LABEL_COLUMNS, "_offset": pl.Int64})


def empty_rejections() -> pl.DataFrame:
    return pl.DataFrame(schema={**REJECTION_COLUMNS, "_offset": pl.Int64})


def to_rows(frames: Sequence[tuple[int, Frame]], end: int, schemas: Mapping[int, SchemaFrame]) -> Rows:
    """The tables of decoded frames. `schemas` are those known from before the first of them."""
    known = dict(schemas)
    by_version: dict[int, list[tuple[int, PredictionFrame]]] = defaultdict(list)
    labels: list[tuple[int, LabelFrame]] = []
    rejections: list[tuple[int, RejectionFrame]] = []
    for offset, frame in frames:
        match frame:
            case PredictionFrame():
                by_version[frame.version].append((offset, frame))
            case LabelFrame():
                labels.append((offset, frame))
            case RejectionFrame():
                rejections.append((offset, frame))
            case SchemaFrame():
                known[frame.version] = frame
    predictions = stack(
        [_predictions(entries, known[version]) for version, entries in by_version.items()],
        empty_predictions(),
    )
    return Rows(predictions, _labels(labels), _rejections(rejections), end, known)


def stack(tables: Iterable[pl.DataFrame], empty: pl.DataFrame) -> pl.DataFrame:
    """Tables below each other; a column that one lacks is null there, and number types widen."""
    filled = [table for table in tables if table.height]
    if not filled:
        return empty
    return filled[0] if len(filled) == 1 else pl.concat(filled, how="diagonal_relaxed")


def _predictions(entries: list[tuple[int, PredictionFrame]], schema: SchemaFrame) -> pl.DataFrame:
    frames = [frame for _, frame in entries]
    counts = np.array([len(frame.outputs) for frame in frames])
    of_request = pl.DataFrame(
        {
            **{name: list(map(attrgetter(name), frames)) for name in _OF_REQUEST},
            "_offset": [offset for offset, _ in entries],
        },
        schema={**{name: PREDICTION_COLUMNS[name] for name in _OF_REQUEST}, "_offset": pl.Int64},
    ).with_columns(_flags(frames))
    if (counts != 1).any():
        of_request = of_request[np.repeat(np.arange(len(frames)), counts)]
    row = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    times = list(chain.from_iterable(f.times or [f.at] * len(f.outputs) for f in frames))
    table = of_request.with_columns(
        pl.Series("row", row.astype(np.uint32)),
        pl.Series("output", list(chain.from_iterable(f.outputs for f in frames)), dtype=pl.Float64),
        pl.Series("_time", times, dtype=pl.Int64),
    ).with_columns(prediction_id=pl.concat_str(pl.lit("p_"), "request_id", pl.lit("."), "row"))
    return table.select(
        *PREDICTION_COLUMNS, *_inputs(frames, schema), *_features(frames, schema), "_offset", "_time"
    )


def _flags(frames: list[PredictionFrame]) -> pl.Series:
    """The flags of each request. Polars builds a list column value by value, so they travel as one text each."""
    joined = pl.Series(
        "flags", [_SEPARATOR.join(frame.flags) if frame.flags else None for frame in frames], pl.String
    )
    split = (
        pl.when(pl.col("flags").is_null())
        .then(pl.lit([], dtype=pl.List(pl.String)))
        .otherwise(pl.col("flags").str.split(_SEPARATOR))
    )
    return joined.to_frame().select(split.alias("flags")).to_series()


def _inputs(frames: list[PredictionFrame], schema: SchemaFrame) -> list[pl.Series]:
    columns = [frame.inputs for frame in frames]
    return [
        _series(f"input.{name}", list(chain.from_iterable(map(itemgetter(position), columns))))
        for position, name in enumerate(schema.inputs)
    ]


def _series(name: str, values: list[Any]) -> pl.Series:
    try:
        return pl.Series(name, values)
    except (TypeError, pl.exceptions.PolarsError):
        return pl.Series(name, values, strict=False)


def _features(frames: list[PredictionFrame], schema: SchemaFrame) -> list[pl.Series]:
    """The matrix as served; a request that failed before it had one has nulls."""
    width = len(schema.features)
    nothing: list[float | None] = [None] * width
    rows = list(chain.from_iterable(f.features or [nothing] * len(f.outputs) for f in frames))
    matrix = np.array(rows, dtype=np.float64).reshape(len(rows), width)
    return [
        pl.Series(f"feature.{name}", matrix[:, position], nan_to_null=True)
        for position, name in enumerate(schema.features)
    ]


def _labels(entries: list[tuple[int, LabelFrame]]) -> pl.DataFrame:
    if not entries:
        return empty_labels()
    counts = [len(frame.ids) for _, frame in entries]
    frames = [frame for _, frame in entries]
    return pl.DataFrame(
        {
            "prediction_id": list(chain.from_iterable(frame.ids for frame in frames)),
            "value": list(chain.from_iterable(frame.values for frame in frames)),
            "known_at": list(chain.from_iterable(frame.known_at for frame in frames)),
            "received_at": np.repeat([frame.received_at for frame in frames], counts),
            "_offset": np.repeat([offset for offset, _ in entries], counts),
        },
        schema={**LABEL_COLUMNS, "_offset": pl.Int64},
    )


def _rejections(entries: list[tuple[int, RejectionFrame]]) -> pl.DataFrame:
    if not entries:
        return empty_rejections()
    return pl.DataFrame(
        {
            **{name: [getattr(frame, name) for _, frame in entries] for name in REJECTION_COLUMNS},
            "_offset": [offset for offset, _ in entries],
        },
        schema={**REJECTION_COLUMNS, "_offset": pl.Int64},
    )
