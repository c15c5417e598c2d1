"""Metric points: the tail of a run, its blocks, and the latest value of each metric.

Appending is one row whatever is logged; once a tail is long it becomes blocks, one metric each. A point that comes
twice is kept twice and dropped when the history is read, which spares every append a look at what is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from holdfast.base.ledger.protocol import Reader, Transaction
from holdfast.tracking.packing import Point, pack_tail, squeeze_tail, unpack_tail
from holdfast.tracking.records import LatestMetric

if TYPE_CHECKING:
    from holdfast.tracking.packing import Columns

T = TypeVar("T")

BLOCK_POINTS = 16_384
# A tail becomes blocks at so many rows or points. It is looked at only now and then, as counting costs as well.
_TAIL_ROWS = 512
_TAIL_POINTS = 65_536
# Many metrics wait for more points, as rewriting a block costs the same for few of them.
_POINTS_A_METRIC = 256
_LOOK_EVERY = 64
# Below this, or so many points a metric, a finished run keeps its tail: blocks would be larger than what they hold.
_WORTH_BLOCKS = 1024
_WORTH_BLOCK = 16
_UPSERT = (
    "INSERT INTO latest (run_number, key, experiment_number, step, measured_at, value, is_nan)"
    " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run_number, key) DO UPDATE SET step = excluded.step,"
    " measured_at = excluded.measured_at, value = excluded.value, is_nan = excluded.is_nan"
    " WHERE (excluded.step, excluded.measured_at, -excluded.is_nan, excluded.value)"
    " > (latest.step, latest.measured_at, -latest.is_nan, latest.value)"
)


class Prepared(NamedTuple):
    """Points as they are written, made before the ledger is held: how many, their bytes, the latest of each metric."""

    points: int
    data: bytes
    latest: list[Point]


def prepare(points: Sequence[Point]) -> Prepared:
    """Points ready to be appended.

    Raises:
        InvalidError: a step or a time is beyond 64 bits.
    """
    best: dict[str, Point] = {}
    for point in points:
        known = best.get(point[0])
        # Almost always a later step comes later.
        if known is None or point[1] > known[1] or (point[1] == known[1] and _rank(point) > _rank(known)):
            best[point[0]] = point
    return Prepared(len(points), pack_tail(points), list(best.values()))


def append(
    transaction: Transaction, run_number: int, experiment_number: int, points: Sequence[Point] | Prepared
) -> None:
    """Adds points and moves `latest` to the largest (step, time, value); NaN ranks below every number."""
    given = points if isinstance(points, Prepared) else prepare(points)
    number = transaction.insert(
        "INSERT INTO metric_tail (run_number, points, data) VALUES (?, ?, ?)",
        (run_number, given.points, given.data),
    )
    transaction.execute_many(
        _UPSERT,
        [
            (run_number, key, experiment_number, step, at, value, 0)
            if value == value
            else (run_number, key, experiment_number, step, at, 0.0, 1)
            for key, step, at, value in given.latest
        ],
    )
    if number % _LOOK_EVERY == 0:
        rows, count = _tail_size(transaction, run_number)
        if rows >= _TAIL_ROWS or count >= _TAIL_POINTS + _POINTS_A_METRIC * _metrics(transaction, run_number):
            pack(transaction, run_number)


def settle(transaction: Transaction, run_number: int) -> None:
    """Packs the tail of a run that has ended, as small as it gets."""
    rows, count = _tail_size(transaction, run_number)
    if count >= _WORTH_BLOCKS + _WORTH_BLOCK * _metrics(transaction, run_number):
        pack(transaction, run_number)
    elif rows:
        points = _tail(transaction, run_number)
        transaction.execute("DELETE FROM metric_tail WHERE run_number = ?", (run_number,))
        transaction.execute(
            "INSERT INTO metric_tail (run_number, points, data) VALUES (?, ?, ?)",
            (run_number, len(points), squeeze_tail(points)),
        )


def _rank(point: Point) -> tuple[int, int, bool, float]:
    _, step, at, value = point
    return step, at, value == value, value if value == value else 0.0


def pack(transaction: Transaction, run_number: int) -> None:
    """Turns the tail of a run into blocks; the last block of a metric is filled up first."""
    import numpy as np

    from holdfast.tracking.packing import pack_block, unpack_block, unpack_tails

    table = unpack_tails(_packed(transaction, run_number))
    by_metric = np.argsort(table.places, kind="stable")
    ends = np.cumsum(np.bincount(table.places, minlength=len(table.keys)))
    last = _last_blocks(transaction, run_number)
    written: list[tuple[Any, ...]] = []
    for key, own in zip(table.keys, np.split(by_metric, ends[:-1]), strict=True):
        found = (table.steps[own], table.times[own], table.values[own])
        position, data = last.get(key, (0, None))
        if data is not None:
            before = unpack_block(data)
            found = tuple(np.concatenate(pair) for pair in zip(before, found, strict=True))  # type: ignore[assignment]
        steps, times, values = found
        for start in range(0, len(steps), BLOCK_POINTS):
            part = slice(start, start + BLOCK_POINTS)
            packed = pack_block(steps[part], times[part], values[part])
            written.append((run_number, key, position, len(steps[part]), packed))
            position += 1
    transaction.execute_many(
        "INSERT INTO metric_block (run_number, key, position, points, data) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (run_number, key, position) DO UPDATE SET points = excluded.points, data = excluded.data",
        written,
    )
    transaction.execute("DELETE FROM metric_tail WHERE run_number = ?", (run_number,))


def _last_blocks(reader: Reader, run_number: int) -> dict[str, tuple[int, bytes | None]]:
    """Where each metric goes on: the position of its last block with its bytes, or the one behind a full block."""
    rows = reader.query(
        "SELECT b.key, b.position, CASE WHEN b.points < ? THEN b.data END AS data FROM metric_block b JOIN"
        " (SELECT key, max(position) AS position FROM metric_block WHERE run_number = ? GROUP BY key) m"
        " ON m.key = b.key AND m.position = b.position WHERE b.run_number = ?",
        (BLOCK_POINTS, run_number, run_number),
    )
    return {
        row["key"]: (row["position"] + 1, None)
        if row["data"] is None
        else (row["position"], bytes(row["data"]))
        for row in rows
    }


def history(reader: Reader, run_number: int, key: str) -> Columns:
    """Every point of a metric once, by step, time and value."""
    from holdfast.tracking.packing import unpack_tails

    tail = unpack_tails(_packed(reader, run_number), only=key)
    return _assembled(reader, run_number, key, (tail.steps, tail.times, tail.values))


def histories(reader: Reader, run_number: int, keys: Sequence[str]) -> dict[str, Columns]:
    """Every point of several metrics; the tail, in which all of them are mixed, is unpacked once."""
    import numpy as np

    from holdfast.tracking.packing import unpack_tails

    tail = unpack_tails(_packed(reader, run_number))
    order = np.argsort(tail.places, kind="stable")
    edges = np.searchsorted(tail.places[order], np.arange(len(tail.keys) + 1)).tolist()
    parts = {key: order[edges[place] : edges[place + 1]] for place, key in enumerate(tail.keys)}
    found: dict[str, Columns] = {}
    for key in keys:
        at = parts.get(key, order[:0])
        found[key] = _assembled(reader, run_number, key, (tail.steps[at], tail.times[at], tail.values[at]))
    return found


def _assembled(reader: Reader, run_number: int, key: str, tail: Columns) -> Columns:
    """The blocks of a metric and its part of the tail, each point once and in order."""
    import numpy as np

    from holdfast.tracking.packing import unpack_block

    parts = [
        unpack_block(bytes(row["data"]))
        for row in reader.query(
            "SELECT data FROM metric_block WHERE run_number = ? AND key = ? ORDER BY position",
            (run_number, key),
        )
    ]
    parts.append(tail)
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
    return [point for data in _packed(reader, run_number) for point in unpack_tail(data)]


def _packed(reader: Reader, run_number: int) -> list[bytes]:
    rows = reader.query("SELECT data FROM metric_tail WHERE run_number = ? ORDER BY number", (run_number,))
    return [bytes(row["data"]) for row in rows]


def _metrics(reader: Reader, run_number: int) -> int:
    row = reader.one("SELECT count(*) AS n FROM latest WHERE run_number = ?", (run_number,))
    assert row is not None
    return int(row["n"])


def in_parts(numbers: Sequence[T], most: int = 500) -> Iterable[list[T]]:
    """Lists short enough for one `IN (...)`."""
    for start in range(0, len(numbers), most):
        yield list(numbers[start : start + most])
