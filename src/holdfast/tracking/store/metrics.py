"""Metric points: the tail of a run, its blocks, and the latest value of each metric.

Appending is one row whatever is logged; once a tail is long it becomes blocks, one metric each. A point that comes
twice is kept twice and dropped when the history is read, which spares every append a look at what is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from holdfast.base.clock import Micros
from holdfast.base.ledger.protocol import Reader, Transaction
from holdfast.tracking.packing import Point, pack_tail, unpack_tail
from holdfast.tracking.records import LatestMetric

if TYPE_CHECKING:
    from holdfast.tracking.packing import Columns

T = TypeVar("T")

BLOCK_POINTS = 16_384
# A tail becomes blocks at so many rows or points. It is looked at only now and then, as counting costs as well.
_TAIL_ROWS = 512
_TAIL_POINTS = 65_536
_LOOK_EVERY = 64
# Below this a finished run keeps its tail: a block a metric would be larger than what it holds.
_WORTH_BLOCKS = 1024
_UPSERT = (
    "INSERT INTO latest (run_number, key, experiment_number, step, measured_at, value, is_nan)"
    " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run_number, key) DO UPDATE SET step = excluded.step,"
    " measured_at = excluded.measured_at, value = excluded.value, is_nan = excluded.is_nan"
    " WHERE (excluded.step, excluded.measured_at, -excluded.is_nan, excluded.value)"
    " > (latest.step, latest.measured_at, -latest.is_nan, latest.value)"
)


def append(
    transaction: Transaction, run_number: int, experiment_number: int, points: Sequence[Point]
) -> None:
    """Adds points and moves `latest` to the largest (step, time, value); NaN ranks below every number."""
    best: dict[str, tuple[int, Micros, bool, float]] = {}
    for key, step, at, value in points:
        rank = (step, at, value == value, value if value == value else 0.0)
        known = best.get(key)
        if known is None or rank > known:
            best[key] = rank
    number = transaction.insert(
        "INSERT INTO metric_tail (run_number, points, data) VALUES (?, ?, ?)",
        (run_number, len(points), pack_tail(points)),
    )
    transaction.execute_many(
        _UPSERT,
        [
            (run_number, key, experiment_number, step, at, value, 0 if is_number else 1)
            for key, (step, at, is_number, value) in best.items()
        ],
    )
    if number % _LOOK_EVERY == 0:
        rows, count = _tail_size(transaction, run_number)
        if rows >= _TAIL_ROWS or count >= _TAIL_POINTS:
            pack(transaction, run_number)


def settle(transaction: Transaction, run_number: int) -> None:
    """Packs the tail of a run that has ended, as small as it gets."""
    rows, count = _tail_size(transaction, run_number)
    if count >= _WORTH_BLOCKS:
        pack(transaction, run_number)
    elif rows > 1:
        points = _tail(transaction, run_number)
        transaction.execute("DELETE FROM metric_tail WHERE run_number = ?", (run_number,))
        transaction.execute(
            "INSERT INTO metric_tail (run_number, points, data) VALUES (?, ?, ?)",
            (run_number, len(points), pack_tail(points)),
        )


def pack(transaction: Transaction, run_number: int) -> None:
    """Turns the tail of a run into blocks; the last block of a metric is filled up first."""
    import numpy as np

    from holdfast.tracking.packing import columns, pack_block, unpack_block

    by_key: dict[str, list[Point]] = {}
    for point in _tail(transaction, run_number):
        by_key.setdefault(point[0], []).append(point)
    last = {
        row["key"]: row
        for row in transaction.query(
            "SELECT b.key, b.position, b.points FROM metric_block b JOIN"
            " (SELECT key, max(position) AS position FROM metric_block WHERE run_number = ? GROUP BY key) m"
            " ON m.key = b.key AND m.position = b.position WHERE b.run_number = ?",
            (run_number, run_number),
        )
    }
    written: list[tuple[Any, ...]] = []
    for key, points in by_key.items():
        parts = [columns(points)]
        position = 0
        if key in last:
            position = last[key]["position"] + 1
            if last[key]["points"] < BLOCK_POINTS:
                position -= 1
                row = transaction.one(
                    "SELECT data FROM metric_block WHERE run_number = ? AND key = ? AND position = ?",
                    (run_number, key, position),
                )
                assert row is not None
                parts.insert(0, unpack_block(bytes(row["data"])))
        steps, times, values = (np.concatenate(column) for column in zip(*parts, strict=True))
        for start in range(0, len(steps), BLOCK_POINTS):
            part = slice(start, start + BLOCK_POINTS)
            data = pack_block(steps[part], times[part], values[part])
            written.append((run_number, key, position, len(steps[part]), data))
            position += 1
    transaction.execute_many(
        "INSERT INTO metric_block (run_number, key, position, points, data) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (run_number, key, position) DO UPDATE SET points = excluded.points, data = excluded.data",
        written,
    )
    transaction.execute("DELETE FROM metric_tail WHERE run_number = ?", (run_number,))


def history(reader: Reader, run_number: int, key: str) -> Columns:
    """Every point of a metric once, by step, time and value."""
    import numpy as np

    from holdfast.tracking.packing import columns, unpack_block

    parts = [
        unpack_block(bytes(row["data"]))
        for row in reader.query(
            "SELECT data FROM metric_block WHERE run_number = ? AND key = ? ORDER BY position",
            (run_number, key),
        )
    ]
    parts.append(columns(point for point in _tail(reader, run_number) if point[0] == key))
    steps, times, values = (np.concatenate(column) for column in zip(*parts, strict=True))
    if (steps[1:] > steps[:-1]).all():
        return steps, times, values
    later = (steps[1:] > steps[:-1]) | ((steps[1:] == steps[:-1]) & (times[1:] > times[:-1]))
    if later.all():
        return steps, times, values
    # The bits break ties, so that two NaN of one step and time are one point.
    bits = values.view(np.int64)
    order = np.lexsort((bits, values, times, steps))
    steps, times, values, bits = steps[order], times[order], values[order], bits[order]
    first = np.ones(len(steps), dtype=bool)
    first[1:] = (steps[1:] != steps[:-1]) | (times[1:] != times[:-1]) | (bits[1:] != bits[:-1])
    return steps[first], times[first], values[first]


def latest(reader: Reader, run_numbers: Sequence[int]) -> dict[int, list[LatestMetric]]:
    """The latest point of every metric of some runs, by key."""
    found: dict[int, list[LatestMetric]] = {number: [] for number in run_numbers}
    for part in in_parts(run_numbers):
        for row in reader.query(
            "SELECT run_number, key, step, measured_at, value, is_nan FROM latest"
            f" WHERE run_number IN ({', '.join('?' * len(part))}) ORDER BY run_number, key",
            part,
        ):
            value = float("nan") if row["is_nan"] else row["value"]
            found[row["run_number"]].append(LatestMetric(row["key"], value, row["measured_at"], row["step"]))
    return found


def keys(reader: Reader, run_number: int) -> list[str]:
    """The metrics of a run."""
    return [row["key"] for row in reader.query("SELECT key FROM latest WHERE run_number = ?", (run_number,))]


def _tail_size(reader: Reader, run_number: int) -> tuple[int, int]:
    row = reader.one(
        "SELECT count(*) AS n, coalesce(sum(points), 0) AS points FROM metric_tail WHERE run_number = ?",
        (run_number,),
    )
    assert row is not None
    return int(row["n"]), int(row["points"])


def _tail(reader: Reader, run_number: int) -> list[Point]:
    rows = reader.query("SELECT data FROM metric_tail WHERE run_number = ? ORDER BY number", (run_number,))
    return [point for row in rows for point in unpack_tail(bytes(row["data"]))]


def in_parts(numbers: Sequence[T], most: int = 500) -> Iterable[list[T]]:
    """Lists short enough for one `IN (...)`."""
    for start in range(0, len(numbers), most):
        yield list(numbers[start : start + most])
