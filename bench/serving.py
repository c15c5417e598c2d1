"""Predictions a second beside a bare server with the same model, validated, routed and logged."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.plane import COEFFICIENTS, body, floor_server, measure, serving
from bench.report import Figure, figure

_ONE = "One request in flight: the way through the kernel and granian, twice, which the floor pays as well."
_MANY = "One worker's interpreter: decoding by the contract, the log frame and its checksum, the answer."
_LATENCY = "The load is a closed loop: in the middle an answer takes connections / (requests a second)."
_CEILING = "Generator and server share the machine; a figure near this one measures the generator."


def figures(*, quick: bool) -> Iterator[Figure]:
    """Single rows at 1 and 64 connections, a hundred rows at one, and the ceiling of the load generator."""
    turns, seconds = (3, 1.5) if quick else (7, 3.0)
    with floor_server("nothing") as port:
        found = [measure(port, body(), 64, seconds) for _ in range(turns)]
    yield figure("load generator's ceiling, 64 connections", _rate(found), "requests/s", limit=_CEILING)
    with (
        tempfile.TemporaryDirectory() as folder,
        floor_server("model", *map(str, COEFFICIENTS)) as bare,
        serving(Path(folder)) as ours,
    ):
        for rows, connections, limit in ((1, 1, _ONE), (1, 64, _MANY), (100, 1, _MANY)):
            yield from _compare(bare, ours, rows, connections, turns, seconds, limit)


def _compare(
    bare: int, ours: int, rows: int, connections: int, turns: int, seconds: float, limit: str
) -> Iterator[Figure]:
    data = body(rows)
    floors, founds = [], []
    for _ in range(turns):
        floors.append(measure(bare, data, connections, seconds))
        founds.append(measure(ours, data, connections, seconds))
    assert not any(turn["failed"] for turn in founds)
    name = f"predict, {rows} row{'s' * (rows > 1)}, {connections} connection{'s' * (connections > 1)}"
    aim = "≥ 0.5 × floor" if rows == 1 else ""
    yield figure(name, _rate(founds), "requests/s", _rate(floors), aim=aim, limit=limit)
    for quantile in ("p50", "p99"):
        value, floor = (
            statistics.median(turn[f"{quantile}_us"] for turn in side) for side in (founds, floors)
        )
        yield figure(f"{name}, {quantile}", value / 1e3, "ms", floor / 1e3, limit=_LATENCY)


def _rate(found: list[dict[str, float]]) -> float:
    return statistics.median(turn["requests"] / turn["seconds"] for turn in found)
