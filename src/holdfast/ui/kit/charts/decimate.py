"""Thinning long series to what a screen can show, without hiding an extreme."""

import math

from holdfast.ui.kit.charts.types import Band, Series

MOST_POINTS = 800


def thin(series: Series, most: int = MOST_POINTS) -> Series:
    """Keep the first, least, greatest and last point of each stretch, and one gap where there is any.

    A single spike among a million points is still drawn at its full height; a series of up to `most`
    points is returned as it is.
    """
    if len(series.xs) <= most:
        return series
    stretch = math.ceil(len(series.xs) / (most / 5))
    kept: list[int] = []
    for start in range(0, len(series.xs), stretch):
        kept.extend(_marking(series.ys, range(start, min(start + stretch, len(series.xs)))))
    return Series(
        name=series.name,
        xs=tuple(series.xs[index] for index in kept),
        ys=tuple(series.ys[index] for index in kept),
        stroke=series.stroke,
        colour=series.colour,
    )


def _marking(ys: tuple[float | None, ...], indices: range) -> list[int]:
    known = [index for index in indices if is_finite(ys[index])]
    missing = next((index for index in indices if not is_finite(ys[index])), None)
    chosen = set() if missing is None else {missing}
    if known:
        lowest = min(known, key=lambda index: ys[index] or 0.0)
        highest = max(known, key=lambda index: ys[index] or 0.0)
        chosen |= {known[0], lowest, highest, known[-1]}
    return sorted(chosen)


def thin_band(band: Band, most: int = MOST_POINTS) -> Band:
    """Replace each stretch of a long band by its envelope."""
    if len(band.xs) <= most:
        return band
    stretch = math.ceil(len(band.xs) / most)
    starts = range(0, len(band.xs), stretch)
    return Band(
        name=band.name,
        xs=tuple(band.xs[start] for start in starts),
        lower=tuple(_extreme(band.lower[start : start + stretch], -1) for start in starts),
        upper=tuple(_extreme(band.upper[start : start + stretch], 1) for start in starts),
        series=band.series,
    )


def _extreme(values: tuple[float | None, ...], sign: int) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return sign * max(sign * value for value in known) if known else None


def is_finite(value: float | None) -> bool:
    """Say whether a value can be drawn."""
    return value is not None and math.isfinite(value)
