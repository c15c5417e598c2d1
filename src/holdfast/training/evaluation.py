"""How good a model was on the rows held out, and what the gates say of it."""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from holdfast.base.blobs import Blobs
from holdfast.base.errors import HoldfastError
from holdfast.registry.encode import encode_frame
from holdfast.registry.formats import load_predictor
from holdfast.registry.policy import evaluate_gate
from holdfast.registry.records import GateResult, GateSpec, Task
from holdfast.statistics.metrics import evaluate
from holdfast.training.records import ProductionModel

FloatArray = npt.NDArray[np.float64]


class HeldOut(NamedTuple):
    """The rows held out in order of time: raw frame, labels, the candidate's outputs, when each became available."""

    frame: pl.DataFrame
    labels: FloatArray
    outputs: FloatArray
    available: npt.NDArray[np.int64]

    def filter(self, rows: npt.NDArray[np.bool_]) -> HeldOut:
        return HeldOut(
            self.frame.filter(pl.Series(rows)), self.labels[rows], self.outputs[rows], self.available[rows]
        )


def measure(task: Task, held_out: HeldOut) -> dict[str, float]:
    """Every metric of the task that is defined on these rows."""
    metrics = evaluate(task, held_out.labels, held_out.outputs)
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def judge_gates(
    gates: tuple[GateSpec, ...],
    task: Task,
    held_out: HeldOut,
    production: ProductionModel | None,
    blobs: Blobs,
) -> tuple[GateResult, ...]:
    """Evaluates every gate; comparisons use only rows that the production model was not fitted on."""
    return tuple(_judge(gate, task, held_out, production, blobs) for gate in gates)


def _judge(
    gate: GateSpec, task: Task, held_out: HeldOut, production: ProductionModel | None, blobs: Blobs
) -> GateResult:
    if gate.kind != "no_worse_than_production" or production is None:
        return _evaluate(gate, task, held_out, None)
    total = len(held_out.labels)
    if production.trained_until_at is not None:
        held_out = held_out.filter(held_out.available > production.trained_until_at)
    fresh = len(held_out.labels)
    if fresh < gate.min_rows:
        message = (
            f"only {fresh} of {total} held-out rows are new to version {production.version} in production;"
            f" at least {gate.min_rows} are needed to compare"
        )
        return GateResult(str(gate), gate, "insufficient data", message, rows=fresh)
    try:
        matrix = encode_frame(held_out.frame, production.signature)
        theirs = load_predictor(production.files, task, blobs).predict(matrix)
    except HoldfastError as error:
        message = f"version {production.version} in production cannot be asked about these rows: {error}"
        return GateResult(str(gate), gate, "insufficient data", message, rows=fresh)
    result = _evaluate(gate, task, held_out, theirs)
    if fresh < total:
        note = f"{result.message}; {total - fresh} held-out rows that production was fitted on are left out"
        result = msgspec.structs.replace(result, message=note)
    return result


def _evaluate(gate: GateSpec, task: Task, held_out: HeldOut, theirs: FloatArray | None) -> GateResult:
    slices = {}
    if gate.by is not None and gate.by in held_out.frame.columns:
        slices[gate.by] = np.array(held_out.frame.get_column(gate.by).to_list(), dtype=object)
    return evaluate_gate(gate, task, held_out.labels, held_out.outputs, theirs, slices)
