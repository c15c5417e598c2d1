"""MLflow's metric histories: of one run in pages, of many runs at once, and thinned for pictures."""

from __future__ import annotations

from typing import Any

import msgspec

from holdfast.base.errors import InvalidError
from holdfast.tracking.service import MetricService
from holdfast.tracking.service.metrics import Curve
from holdfast.wire.mlflow.messages import Int64, double, encode
from holdfast.wire.mlflow.routing import Call, Route
from holdfast.wire.mlflow.runs import run_id_of

_RUNS_MOST = 100
_BULK_MOST = 25_000
_INTERVAL_MOST = 2500
_POINTS_A_PART = 10_000


class GetHistory(msgspec.Struct, frozen=True):
    metric_key: str
    run_id: str = ""
    run_uuid: str = ""
    max_results: Int64 | None = None
    page_token: str = ""


class GetBulk(msgspec.Struct, frozen=True):
    run_id: tuple[str, ...]
    metric_key: str
    max_results: Int64 = _BULK_MOST


class GetInterval(msgspec.Struct, frozen=True):
    run_ids: tuple[str, ...]
    metric_key: str
    start_step: Int64 | None = None
    end_step: Int64 | None = None
    max_results: Int64 = _INTERVAL_MOST


class Metrics:
    """The endpoints of metric histories."""

    def __init__(self, metrics: MetricService) -> None:
        self._metrics = metrics

    def routes(self) -> list[Route]:
        at = "/mlflow/metrics"
        return [
            Route("GET", f"{at}/get-history", self.get_history),
            Route("GET", f"{at}/get-history-bulk", self.get_bulk),
            Route("GET", f"{at}/get-history-bulk-interval", self.get_interval),
        ]

    def get_history(self, call: Call) -> Any:
        asked = call.read(GetHistory)
        curve = self._metrics.history(
            call.context,
            run_id_of(asked),
            asked.metric_key,
            limit=asked.max_results,
            page=asked.page_token or None,
        )
        answer: dict[str, Any] = {"metrics": _written([curve], of=False)} if curve.steps else {}
        if curve.next_page is not None:
            answer["next_page_token"] = curve.next_page
        return answer

    def get_bulk(self, call: Call) -> Any:
        asked = call.read(GetBulk)
        _check_runs(asked.run_id)
        limit = max(0, min(asked.max_results, _BULK_MOST))
        curves = self._metrics.histories(call.context, asked.run_id, asked.metric_key, limit)
        # Unlike every other answer this one sorts by time first, and is not empty of its list.
        found = [point for curve in curves for point in sorted(_points(curve, of=True), key=_by_time)]
        return {"metrics": found}

    def get_interval(self, call: Call) -> Any:
        asked = call.read(GetInterval)
        _check_runs(asked.run_ids)
        if not 1 <= asked.max_results <= _INTERVAL_MOST:
            raise InvalidError(f"max_results must be between 1 and {_INTERVAL_MOST}.", field="max_results")
        curves = self._metrics.sampled(
            call.context, asked.run_ids, asked.metric_key, asked.max_results, _interval(asked)
        )
        return {"metrics": _written(curves, of=True)} if curves else {}


def _written(curves: list[Curve], *, of: bool) -> msgspec.Raw:
    """The points as JSON, some thousands at a time: a million of them as objects would take half a gigabyte."""
    parts = [
        encode(_points(curve, slice(start, start + _POINTS_A_PART), of=of))[1:-1]
        for curve in curves
        for start in range(0, len(curve.steps), _POINTS_A_PART)
    ]
    return msgspec.Raw(b"[" + b",".join(parts) + b"]")


def _points(curve: Curve, part: slice = slice(None), *, of: bool = False) -> list[dict[str, Any]]:
    rows = zip(curve.values[part], curve.times[part], curve.steps[part], strict=True)
    points: list[dict[str, Any]] = [
        {"key": curve.key, "value": double(value), "timestamp": at // 1000, "step": step}
        for value, at, step in rows
    ]
    if of:
        for point in points:
            point["run_id"] = curve.run_id
    return points


def _by_time(point: dict[str, Any]) -> tuple[int, int]:
    return point["timestamp"], point["step"]


def _check_runs(run_ids: tuple[str, ...]) -> None:
    if not 1 <= len(run_ids) <= _RUNS_MOST:
        raise InvalidError(f"the request must specify 1 to {_RUNS_MOST} run ids, not {len(run_ids)}")


def _interval(asked: GetInterval) -> tuple[int, int] | None:
    if asked.start_step is None and asked.end_step is None:
        return None
    if asked.start_step is None or asked.end_step is None:
        raise InvalidError("If either start step or end step are specified, both must be specified.")
    if asked.start_step > asked.end_step:
        raise InvalidError(
            "end_step must be greater than start_step."
            f" Found start_step={asked.start_step} and end_step={asked.end_step}."
        )
    return asked.start_step, asked.end_step
