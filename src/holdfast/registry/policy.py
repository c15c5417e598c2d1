"""Gates: whether a trained version may be deployed. Pure functions of labels and predictions.

The rows are held out in time and given in order of time: neighbouring errors resemble each other, and every
interval here counts only as many rows as they are worth (`statistics.performance.effective_sample_size`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from holdfast.base.errors import DeclarationError
from holdfast.registry.records import GateResult, GateSpec, GateState, SliceResult, Task
from holdfast.statistics.intervals import mean_interval
from holdfast.statistics.metrics import METRICS, find_metric, row_losses
from holdfast.statistics.performance import LossSummary, summarize_losses

FloatArray = npt.NDArray[np.float64]
Bounds = tuple[float, float] | None

_CONFIDENCE = 0.95
_SLICES_SHOWN = 100


class _Judgement(msgspec.Struct, frozen=True):
    """What one set of rows says of a gate."""

    state: GateState
    message: str
    value: float | None = None
    reference: float | None = None
    interval: Bounds = None


def check_gate(spec: GateSpec, task: Task) -> None:
    """Checks a gate where it is declared.

    Raises:
        DeclarationError: the metric is unknown or does not fit the task or the kind of gate, a threshold is
            missing or not a number, or the margin is negative.

    Example:
        >>> check_gate(GateSpec("at_most", "mae", threshold=60), "regression")
    """
    fitting = [name for name, metric in METRICS.items() if task in metric.tasks and name != "bias"]
    if spec.metric == "bias":
        raise DeclarationError(
            "bias is best at 0 and bad on both sides, so no gate can bound it", hint=_valid(fitting)
        )
    if spec.metric not in fitting:
        raise DeclarationError(
            f"the gate's metric {spec.metric!r} does not fit the task {task}", hint=_valid(fitting)
        )
    if spec.min_rows < 2:
        raise DeclarationError(f"min_rows is {spec.min_rows}", hint="a gate needs at least 2 rows to judge")
    if spec.kind == "no_worse_than_production":
        _check_comparison(spec, fitting)
    elif spec.threshold is None or not math.isfinite(spec.threshold):
        raise DeclarationError(
            f"the gate {spec.kind} of {spec.metric} has no finite threshold",
            hint=f"write hf.{spec.kind}({spec.metric!r}, 60)",
        )


def evaluate_gate(
    spec: GateSpec,
    task: Task,
    y: FloatArray,
    prediction: FloatArray,
    production_prediction: FloatArray | None,
    slices: Mapping[str, npt.NDArray[Any]],
) -> GateResult:
    """Judges held-out rows, arrays of shape (rows,) in order of time.

    `at_most` and `at_least` compare the metric itself and report its interval. `no_worse_than_production` looks
    at the difference of the two models' losses row by row: it passes when the candidate's mean loss is not above
    production's, or is proved to be within the relative margin of it; fails when it is proved to be beyond the
    margin; and says "insufficient data" between the two (non-inferiority with an asymptotic interval).
    `slices` holds the values of each column that a gate slices `by`; slices with fewer than `min_rows` rows are
    named but not judged, and a gate that could judge nothing says "insufficient data", which is not a pass.

    Raises:
        DeclarationError: the gate does not fit the task, or slices by a column that is not in `slices`.
    """
    check_gate(spec, task)

    def judge(chosen: Any) -> _Judgement:
        production = None if production_prediction is None else production_prediction[chosen]
        return _judge(spec, y[chosen], prediction[chosen], production)

    if spec.by is not None:
        if spec.by not in slices:
            raise DeclarationError(
                f"the gate '{spec}' slices by {spec.by!r}, which the table does not have",
                hint=f"slice by one of: {', '.join(sorted(slices)) or 'no column'}",
            )
        return _judge_slices(spec, slices[spec.by], judge)
    found = judge(slice(None))
    return GateResult(
        str(spec), spec, found.state, found.message, found.value, found.reference, found.interval, len(y)
    )


def _judge(
    spec: GateSpec, y: FloatArray, prediction: FloatArray, production: FloatArray | None
) -> _Judgement:
    if len(y) < spec.min_rows:
        return _Judgement(
            "insufficient data", f"{len(y)} held-out rows; at least {spec.min_rows} are needed to judge"
        )
    value = find_metric(spec.metric)(y, prediction)
    if not math.isfinite(value):
        return _Judgement(
            "insufficient data", f"{spec.metric} is undefined on these {len(y)} rows (one class only)"
        )
    if spec.kind == "no_worse_than_production":
        return _judge_against(spec, y, prediction, production, value)
    return _judge_threshold(spec, y, prediction, value)


def _judge_threshold(spec: GateSpec, y: FloatArray, prediction: FloatArray, value: float) -> _Judgement:
    assert spec.threshold is not None
    at_most = spec.kind == "at_most"
    passed = value <= spec.threshold if at_most else value >= spec.threshold
    interval = _metric_interval(spec.metric, y, prediction)
    spread = f" (95% interval {interval[0]:.4g} to {interval[1]:.4g})" if interval else ""
    asked = f"{'at most' if at_most else 'at least'} {spec.threshold:g} was asked"
    message = f"{spec.metric} is {value:.4g}{spread} on {len(y)} held-out rows; {asked}"
    return _Judgement("passed" if passed else "failed", message, value, spec.threshold, interval)


def _judge_against(
    spec: GateSpec, y: FloatArray, prediction: FloatArray, production: FloatArray | None, value: float
) -> _Judgement:
    if production is None:
        return _Judgement(
            "passed", f"first version: nothing to compare with ({spec.metric} is {value:.4g})", value
        )
    theirs = row_losses(spec.metric, y, production)
    difference = summarize_losses(row_losses(spec.metric, y, prediction) - theirs)
    reference = find_metric(spec.metric)(y, production)
    bounds = _mean_bounds(difference)
    state = _compare(difference.mean, bounds, spec.margin * float(theirs.mean()))
    change = _relative(difference.mean, bounds, float(theirs.mean()))
    means = f"{spec.metric} {value:.4g} against {reference:.4g} of production on the same {len(y)} rows"
    margin = f"; up to {spec.margin:.1%} worse was allowed" if spec.margin else ""
    doubt = "; the rows cannot tell which is better" if state == "insufficient data" else ""
    return _Judgement(state, f"{means}{change}{margin}{doubt}", value, reference, bounds)


def _compare(difference: float, bounds: Bounds, allowed: float) -> GateState:
    if difference <= 0 or (bounds is not None and bounds[1] <= allowed):
        return "passed"
    return "failed" if bounds is not None and bounds[0] > allowed else "insufficient data"


def _relative(difference: float, bounds: Bounds, scale: float) -> str:
    """The difference of mean losses relative to production's loss, in words."""
    if scale <= 0:
        return ""
    change = f"; loss {difference / scale:+.1%}"
    if bounds is None:
        return change
    return f"{change}, 95% interval {bounds[0] / scale:+.1%} to {bounds[1] / scale:+.1%}"


def _judge_slices(spec: GateSpec, values: npt.NDArray[Any], judge: Callable[[Any], _Judgement]) -> GateResult:
    names = np.array(["null" if value is None else str(value) for value in values.tolist()], dtype=object)
    results: list[SliceResult] = []
    worst: _Judgement | None = None
    for name in sorted(set(names.tolist())):
        chosen = names == name
        found = judge(chosen)
        results.append(SliceResult(name, int(chosen.sum()), found.state, found.value))
        if found.state == "failed" and (worst is None or _is_worse(spec, found, worst)):
            worst = found
    states = [result.state for result in results]
    results.sort(key=lambda result: (result.state != "failed", -result.rows))
    state: GateState = "failed" if worst else "passed" if "passed" in states else "insufficient data"
    return GateResult(
        str(spec),
        spec,
        state,
        _slices_message(spec, results),
        worst.value if worst else None,
        spec.threshold,
        rows=len(names),
        slices=tuple(results[:_SLICES_SHOWN]),
    )


def _is_worse(spec: GateSpec, one: _Judgement, other: _Judgement) -> bool:
    if one.value is None or other.value is None:
        return False
    return (
        one.value > other.value if not find_metric(spec.metric).greater_is_better else one.value < other.value
    )


def _slices_message(spec: GateSpec, results: list[SliceResult]) -> str:
    failed = [result for result in results if result.state == "failed"]
    thin = [result for result in results if result.state == "insufficient data"]
    judged = len(results) - len(thin)
    if not judged:
        return f"no slice by {spec.by} had enough data (at least {spec.min_rows} rows)"
    parts = [f"{judged - len(failed)} of {judged} judged slices by {spec.by} passed"]
    if failed:
        named = ", ".join(f"{result.slice} ({result.value:.4g}, {result.rows} rows)" for result in failed[:5])
        parts.append(f"failed: {named}")
    if thin:
        parts.append(f"insufficient data in {len(thin)}: {', '.join(result.slice for result in thin[:5])}")
    return "; ".join(parts)


def _metric_interval(metric: str, y: FloatArray, prediction: FloatArray) -> Bounds:
    """Interval of a metric that is made of row losses; None for the others."""
    if find_metric(metric).row_losses is None:
        return None
    bounds = _mean_bounds(summarize_losses(row_losses(metric, y, prediction)))
    if bounds is None:
        return None
    lower, upper = max(0.0, bounds[0]), bounds[1]
    if metric == "rmse":
        return math.sqrt(lower), math.sqrt(max(upper, 0.0))
    return (1 - min(upper, 1.0), 1 - lower) if metric == "accuracy" else (lower, upper)


def _mean_bounds(summary: LossSummary) -> Bounds:
    if summary.effective_count < 2:
        return None
    interval = mean_interval(summary.mean, summary.standard_deviation, summary.effective_count, _CONFIDENCE)
    return interval.lower, interval.upper


def _check_comparison(spec: GateSpec, fitting: list[str]) -> None:
    by_row = [name for name in fitting if METRICS[name].row_losses is not None]
    if spec.metric not in by_row:
        raise DeclarationError(
            f"{spec.metric} cannot be compared with production row by row", hint=_valid(by_row)
        )
    if not (math.isfinite(spec.margin) and spec.margin >= 0):
        raise DeclarationError(
            f"the gate's margin is {spec.margin}", hint="a margin is relative and at least 0: 0.02 is 2%"
        )


def _valid(names: list[str]) -> str:
    return f"valid metrics: {', '.join(names)}"
