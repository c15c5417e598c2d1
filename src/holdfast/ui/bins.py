"""Histogram cells of a baseline as bins that an eye can read.

A baseline cuts its values into cells of about equal counts, which is right for tests and flat to look at. Where
there are many, they are drawn as bins of equal width; within a cell rows are taken to lie evenly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from holdfast.profiles.records import NumericColumn

_CELLS_SHOWN = 24
_BINS = 20
_TAIL = 0.02


class Bins(msgspec.Struct, frozen=True):
    """Edges (one more than counts, the outer ones may be infinite) with the counts of both distributions."""

    edges: tuple[float, ...]
    reference: tuple[float, ...]
    current: tuple[float, ...]


def readable_bins(reference: NumericColumn, current: NumericColumn) -> Bins:
    """Both columns, which share their cells, over the same bins; outer bins without any row are left out.

    Example:
        >>> column = NumericColumn("x", edges=(0.0, 1.0, 2.0), counts=(0, 3, 1, 0), count=4)
        >>> readable_bins(column, column)
        Bins(edges=(0.0, 1.0, 2.0), reference=(3.0, 1.0), current=(3.0, 1.0))
    """
    edges = reference.edges
    if len(edges) > _CELLS_SHOWN:
        low = min(_quantile(edges, column.counts, _TAIL) for column in (reference, current))
        high = max(_quantile(edges, column.counts, 1 - _TAIL) for column in (reference, current))
        if not low < high:  # Nearly all rows lie in one cell.
            low, high = edges[0], edges[-1]
        inner = [low + (high - low) * place / _BINS for place in range(_BINS + 1)]
    else:
        inner = list(edges)
    before, now = _spread(edges, reference.counts, inner), _spread(edges, current.counts, inner)
    bounds = [-math.inf, *inner, math.inf]
    first = 0 if before[0] + now[0] > 0 else 1
    last = len(before) if before[-1] + now[-1] > 0 else len(before) - 1
    return Bins(tuple(bounds[first : last + 1]), tuple(before[first:last]), tuple(now[first:last]))


def _quantile(edges: Sequence[float], counts: Sequence[int], share: float) -> float:
    """The edge, towards the middle, of the cell in which a quantile lies: a last cell may be as wide as all others."""
    total, seen = sum(counts), 0.0
    for place, count in enumerate(counts):
        seen += count
        if seen >= share * total:
            wanted = place if share < 0.5 else place - 1
            return edges[min(max(wanted, 0), len(edges) - 1)]
    return edges[-1]


def _spread(edges: Sequence[float], counts: Sequence[int], bins: Sequence[float]) -> list[float]:
    """Counts of cells given to bins by how much of each cell lies in them; before and behind all bins are two more."""
    bounds = [-math.inf, *bins, math.inf]
    found = [0.0] * (len(bounds) - 1)
    found[0] += counts[0]
    found[-1] += counts[-1]
    for place, count in enumerate(counts[1:-1]):
        low, high = edges[place], edges[place + 1]
        for target in range(len(found)):
            overlap = min(high, bounds[target + 1]) - max(low, bounds[target])
            if overlap > 0:
                found[target] += count * overlap / (high - low)
    return found
