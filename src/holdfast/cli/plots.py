"""Curves as text: a line of block characters, or several runs in one small chart, each with a letter of its own.

Pure functions from numbers to lines. What is not a number leaves a gap; an infinity stands at the edge.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

_BLOCKS = "▁▂▃▄▅▆▇█"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SHARED = "*"

Points = Sequence[tuple[float, float]]


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """A curve in one line, the mean of each stretch where there are more values than places.

    Example:
        >>> sparkline([1, 2, 3, 4, float("nan"), 8], 6)
        '▁▂▃▄ █'
        >>> sparkline([5, 5])
        '▄▄'
    """
    places = [_mean(values[start:stop]) for start, stop in _stretches(len(values), width)]
    low, high = _bounds([value for value in places if value is not None])
    return "".join(" " if value is None else _block(value, low, high) for value in places)


def chart(series: Sequence[Points], width: int, height: int = 8) -> list[str]:
    """Curves over common axes, the first drawn as `a`, the second as `b`…; `*` is where several meet.

    The last two lines are the axis and its ends; each other begins with the value at its height where there is room.

    Args:
        series: (x, y) of each curve.
        width: of a whole line, in characters.
        height: of the area of the curves, in lines.
    """
    finite = [[(x, y) for x, y in points if math.isfinite(y)] for points in series]
    every = [point for points in finite for point in points]
    if not every:
        return ["no value is a number"]
    low, high = _bounds([y for _, y in every])
    first, last = min(x for x, _ in every), max(x for x, _ in every)
    labels = [_label(high - (high - low) * row / (height - 1)) for row in range(height)]
    labels = [label if row in (0, height // 2, height - 1) else "" for row, label in enumerate(labels)]
    margin = max(len(label) for label in labels)
    columns = max(8, width - margin - 2)
    grid = [[" "] * columns for _ in range(height)]
    for number, points in enumerate(finite):
        letter = LETTERS[number % len(LETTERS)]
        for column, y in _columns(points, first, last, columns):
            row = round((high - y) / (high - low) * (height - 1)) if high > low else height // 2
            grid[row][column] = letter if grid[row][column] in (" ", letter) else _SHARED
    lines = [f"{label:>{margin}} ┤{''.join(row).rstrip()}" for label, row in zip(labels, grid, strict=True)]
    left, right = f"{first:g}", f"{last:g}"
    ends = left + " " * max(1, columns - len(left) - len(right)) + right
    return [*lines, f"{'':>{margin}} └{'─' * columns}", f"{'':>{margin}}  {ends if first < last else left}"]


def _columns(points: Points, first: float, last: float, columns: int) -> list[tuple[int, float]]:
    """(column, value) of a curve, joined by straight lines where points are further apart than columns."""
    if last <= first:
        return [(columns // 2, y) for _, y in points]
    scale = (columns - 1) / (last - first)
    sums: dict[int, list[float]] = {}
    for x, y in points:
        sums.setdefault(round((x - first) * scale), []).append(y)
    met = [(column, sum(ys) / len(ys)) for column, ys in sorted(sums.items())]
    found = met[:1]
    for (start, before), (stop, after) in itertools.pairwise(met):
        step = (after - before) / (stop - start)
        found += [(column, before + step * (column - start)) for column in range(start + 1, stop + 1)]
    return found


def _stretches(count: int, most: int) -> list[tuple[int, int]]:
    """`count` places cut into at most `most` stretches of nearly equal length."""
    parts = min(count, most)
    return [(part * count // parts, (part + 1) * count // parts) for part in range(parts)]


def _mean(values: Sequence[float]) -> float | None:
    numbers = [value for value in values if not math.isnan(value)]
    if not numbers:
        return None
    infinite = [value for value in numbers if math.isinf(value)]
    return infinite[-1] if infinite else sum(numbers) / len(numbers)


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    finite = [value for value in values if math.isfinite(value)]
    return (min(finite), max(finite)) if finite else (0.0, 0.0)


def _block(value: float, low: float, high: float) -> str:
    if math.isinf(value):
        return _BLOCKS[-1] if value > 0 else _BLOCKS[0]
    if high <= low:
        return _BLOCKS[3]
    return _BLOCKS[min(len(_BLOCKS) - 1, int((value - low) / (high - low) * len(_BLOCKS)))]


def _label(value: float) -> str:
    return f"{value:.4g}"
