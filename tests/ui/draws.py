"""What a model of the story is, and how its rows, answers, gates and contract are drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from holdfast.data.records import Contract, FieldContract
from holdfast.loop.records import RetrainPolicy
from holdfast.monitoring.records import LossSums, MonitorPolicy
from holdfast.registry.records import GateResult, GateSpec, SliceResult, Task
from holdfast.rollout.records import RolloutPolicy


@dataclass(frozen=True)
class Subject:
    """A model of the story: its declaration and how its rows are drawn.

    `rows(generator, count, drift)` draws inputs by column; `drift` 0 is the world of the training data.
    """

    name: str
    task: Task
    table: str
    label: str
    metric: str
    loss: float
    rows: Any
    policy: RolloutPolicy
    retrain: RetrainPolicy
    views: tuple[str, ...] = ()
    monitor: MonitorPolicy = field(default_factory=MonitorPolicy)
    gate: float = 60.0


def answers(
    generator: np.random.Generator, subject: Subject, count: int, drift: float
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Outputs and labels whose mean loss is about `subject.loss` and grows with the drift."""
    if subject.metric == "mae":
        labels = np.abs(generator.normal(180, 90, count))
        outputs = labels + generator.normal(drift * 20, subject.loss * 1.25 * (1 + drift * 0.4), count)
        return outputs, labels
    labels = (generator.random(count) < 0.06).astype(np.float64)
    sure = np.clip(generator.beta(1.2, 18, count) + drift * generator.random(count) * 0.25, 0.001, 0.999)
    outputs = np.where(labels == 1, np.clip(generator.beta(4, 3, count) - drift * 0.2, 0.01, 0.99), sure)
    return outputs, labels


def log_losses(outputs: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(-np.log(np.where(labels == 1, outputs, 1 - outputs)))


def sums(losses: np.ndarray[Any, Any]) -> LossSums:
    products = float(losses[1:] @ losses[:-1])
    return LossSums(
        len(losses),
        float(losses.sum()),
        float(losses @ losses),
        products,
        float(losses[0]),
        float(losses[-1]),
    )


def other_metrics(task: Task, value: float) -> dict[str, float]:
    if task == "binary":
        return {"brier": value / 4, "roc_auc": 0.941, "average_precision": 0.622}
    return {"rmse": value * 1.45, "r2": 0.87}


def gates(subject: Subject, value: float, passes: bool) -> tuple[GateResult, ...]:
    at_most = GateSpec("at_most", subject.metric, subject.gate)
    against = GateSpec("no_worse_than_production", subject.metric, margin=0.02)
    sliced = GateSpec("at_most", subject.metric, subject.gate * 2, by="category", min_rows=200)
    state = "passed" if passes else "failed"
    scale = value * 0.05
    return (
        GateResult(
            str(at_most), at_most, state, f"{subject.metric} is {value:.4g} on 1200 held-out rows;"
            f" at most {subject.gate:g} was asked", value, subject.gate, (value - scale, value + scale), 1200,
        ),
        GateResult(
            str(against), against, state, f"{subject.metric} {value:.4g} against {value * (1.2 if passes else 0.6):.4g}"
            " of production on the same 1200 rows", value, value * (1.2 if passes else 0.6),
            (-4 * scale, -scale) if passes else (2 * scale, 6 * scale), 1200,
        ),
        GateResult(
            str(sliced), sliced, "passed", "2 of 2 judged slices by category passed; insufficient data in 1: travel",
            rows=1200, slices=(
                SliceResult("groceries", 640, "passed", value * 0.9),
                SliceResult("fashion", 410, "passed", value * 1.2),
                SliceResult("travel", 150, "insufficient data"),
            ),
        ),
    )  # fmt: skip


def contract_of(subject: Subject, frame: pl.DataFrame) -> Contract:
    fields = [FieldContract("time", "datetime", "time")]
    for name, kind in frame.schema.items():
        column = frame[name]
        if kind == pl.String:
            fields.append(FieldContract(name, "string", categories=tuple(sorted(column.unique().to_list()))))
        else:
            low, high = float(column.min()), float(column.max())  # type: ignore[arg-type]
            fields.append(FieldContract(name, "float", minimum=low, maximum=high, null_share=0.002))
    return Contract(subject.table, 1, (*fields, FieldContract(subject.label, "float", "label")))
