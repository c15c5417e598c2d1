"""The choice of bins for a baseline: every later profile of the column is counted in these."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

SAMPLE_LIMIT = 200_000
GOLDEN_RATIO_PART = 0.6180339887498949


def choose_edges(values: FloatArray, bins: int) -> tuple[float, ...]:
    """Edges of about `bins` bins, from finite values (shape `(n,)`, the column's unit).

    A column of few different values gets one bin a value, with the edges midway. Any other gets bins of about
    equal share, and a value that alone makes up such a share (a heavy tie, as the zeros of an amount) gets a bin
    of its own, so that bins stay comparable however lumpy the column is. The first edge is the minimum and the
    last lies just above the maximum. Without values there are no edges. Raises ValueError for `bins` below 2.

    >>> choose_edges(np.array([0.0, 1.0, 1.0, 0.0]), bins=64)
    (0.0, 0.5, 1.0000000000000002)
    >>> len(choose_edges(np.linspace(0.0, 1.0, 1000), bins=10))
    11
    """
    if bins < 2:
        raise ValueError(f"bins is {bins}; a histogram needs at least 2")
    if not values.size:
        return ()
    sample = np.sort(evenly_spread(values))
    lowest, highest = values.min(), values.max()
    different = np.unique(np.concatenate([[lowest], sample, [highest]]))
    if different.size <= max(2, bins // 2):
        inner = _midpoints(different)
    else:
        inner = _quantile_edges(sample, bins)
    edges = np.unique(np.concatenate([[lowest], inner, [np.nextafter(highest, np.inf)]]))
    return tuple(edges[np.isfinite(edges)].tolist())


def evenly_spread(values: FloatArray) -> FloatArray:
    """At most 200,000 of the values, spread evenly over their order without any period.

    Bins need good quantiles, not exact ones. Steps of the golden ratio cannot fall in step with an hour or a
    day in the data, as every n-th row would, and need no randomness (Weyl 1916).

    >>> evenly_spread(np.arange(3.0)).tolist()
    [0.0, 1.0, 2.0]
    """
    if values.size <= SAMPLE_LIMIT:
        return values
    positions = (np.arange(SAMPLE_LIMIT) * GOLDEN_RATIO_PART) % 1.0
    sample: FloatArray = values[(positions * values.size).astype(np.intp)]
    return sample


def _midpoints(different: FloatArray) -> FloatArray:
    left, right = different[:-1], different[1:]
    middle = left / 2 + right / 2
    # Between neighbouring floats there is no middle; the right one then starts its own bin.
    return np.where(middle > left, middle, right)


def _quantile_edges(ordered: FloatArray, bins: int) -> FloatArray:
    places = np.linspace(0, ordered.size - 1, bins + 1).round().astype(np.intp)
    quantiles, repeats = np.unique(ordered[places], return_counts=True)
    heavy = repeats > 1
    # The highest value is enclosed by the edge above it; on its own it needs no bin.
    starts = quantiles[heavy | (quantiles < ordered[-1])]
    return np.concatenate([starts, np.nextafter(quantiles[heavy], np.inf)])
