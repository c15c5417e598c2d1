"""How much the windows of the reference differ among themselves, before anything has drifted.

A p-value assumes independent rows; hours and days are not. What a window may differ by is therefore learnt from
the reference's own windows: blocks of consecutive windows, each compared with all the rest (block resampling
after Künsch 1989; the rank argument is that of conformal prediction, Vovk et al. 2005).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from holdfast.statistics.distances import kolmogorov_smirnov_distance, total_variation_distance
from holdfast.statistics.drift import Aspect, Comparison, stacked_counts
from holdfast.statistics.power import Measure, kolmogorov_critical, normal_quantile
from holdfast.statistics.summaries import ColumnSummary, ProfileSummary

CountArray = npt.NDArray[np.int64]

# The quantile from a finite number of windows scatters; only what lies clearly above sampling noise is variation.
NOISE_TOLERANCE = 1.25


class WindowVariation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The effect that a share `quantile` of the reference's own windows stays within, for one comparison.

    `sampling_effect` is the effect that windows of independent rows would stay within by chance alone; a
    reference whose windows differ no more than that has no variation of its own.
    """

    column: str
    aspect: Aspect
    windows: int
    rows_per_window: float
    quantile: float
    effect: float
    sampling_effect: float

    def bound(self, comparison: Comparison) -> float:
        """Effect that a window of the comparison's size must exceed; 0 when the windows vary by chance alone.

        What the reference varies beyond chance is kept, and the chance of the compared size is put to it.
        """
        if self.effect <= NOISE_TOLERANCE * self.sampling_effect:
            return 0.0
        excess = self.effect**2 - self.sampling_effect**2
        chance = sampling_effect(
            comparison.measure,
            comparison.n_reference,
            comparison.n_current,
            cells=comparison.cells,
            share=comparison.reference_share,
            quantile=self.quantile,
        )
        return min(1.0, math.sqrt(excess + chance**2))


def reference_window_variation(
    windows: Sequence[ProfileSummary], *, block_length: int = 1, quantile: float = 0.99
) -> list[WindowVariation]:
    """Variation of the reference's windows, given as profiles in order of time, all pinned to one baseline.

    Each run of `block_length` consecutive windows is one block of the size that is monitored, and is compared
    with all windows outside it. With fewer than 100 blocks the largest effect stands for the quantile: a new
    window of an unchanged world exceeds it with probability 1 / (blocks + 1) at most, if blocks are exchangeable.
    Raises ValueError when fewer than two separate blocks fit, and then there is nothing to learn from.

    >>> from holdfast.profiles.build import build_profile
    >>> baseline = build_profile({"hr": np.arange(240.0) % 24})
    >>> days = [build_profile({"hr": np.arange(24.0)}, pinned=baseline) for _ in range(10)]
    >>> [(each.aspect, each.effect) for each in reference_window_variation(days)]
    [('distribution', 0.0), ('missing', 0.0)]
    """
    if block_length < 1 or len(windows) < 2 * block_length:
        raise ValueError(
            f"{len(windows)} windows hold fewer than two blocks of {block_length}; give more or shorter windows"
        )
    variations = _numeric_variation(windows, block_length, quantile)
    variations += _categorical_variation(windows, block_length, quantile)
    for numeric in zip(*(window.numeric for window in windows), strict=True):
        variations += _missing_variation(numeric, block_length, quantile)
    for categorical in zip(*(window.categorical for window in windows), strict=True):
        variations += _missing_variation(categorical, block_length, quantile)
    return variations


def upper_quantile(values: npt.ArrayLike, quantile: float) -> float:
    """The value that a new exchangeable one stays within with probability `quantile`; the largest of few.

    That is the ⌈(n + 1) · quantile⌉-th smallest of the n values. Raises ValueError without values.

    >>> upper_quantile([3.0, 1.0, 2.0], 0.5), upper_quantile([3.0, 1.0, 2.0], 0.99)
    (2.0, 3.0)
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    if not ordered.size:
        raise ValueError("there are no values to take a quantile of")
    rank = min(ordered.size, math.ceil((ordered.size + 1) * quantile))
    return float(ordered[max(rank, 1) - 1])


def sampling_effect(
    measure: Measure, n_reference: float, n_current: float, *, cells: int, share: float, quantile: float
) -> float:
    """Effect that two samples of one distribution stay within by chance, with probability `quantile`.

    >>> round(sampling_effect("kolmogorov_smirnov", 1e6, 1e4, cells=66, share=0.0, quantile=0.99), 3)
    0.016
    """
    size = n_reference * n_current / max(n_reference + n_current, 1)
    if not size:
        return 1.0
    if measure == "kolmogorov_smirnov":
        return kolmogorov_critical(1 - quantile) / math.sqrt(size)
    if measure == "total_variation":
        from scipy.special import chdtri

        return math.sqrt(float(chdtri(max(cells - 1, 1), 1 - quantile)) / size) / 2
    return normal_quantile((1 + quantile) / 2) * math.sqrt(share * (1 - share) / size)


def _numeric_variation(
    windows: Sequence[ProfileSummary], block_length: int, quantile: float
) -> list[WindowVariation]:
    if not windows[0].numeric:
        return []
    counts = np.stack([stacked_counts(window.numeric) for window in windows])
    blocks, rest = _blocks_and_rest(counts, block_length)
    effects = kolmogorov_smirnov_distance(rest, blocks)
    return [
        _variation(
            column.name, "kolmogorov_smirnov", effects[:, index], blocks[:, index], rest[:, index], quantile
        )
        for index, column in enumerate(windows[0].numeric)
    ]


def _categorical_variation(
    windows: Sequence[ProfileSummary], block_length: int, quantile: float
) -> list[WindowVariation]:
    variations = []
    for index, column in enumerate(windows[0].categorical):
        names = list(column.counts)
        table = [
            [
                *(window.categorical[index].counts[name] for name in names),
                window.categorical[index].other_count,
            ]
            for window in windows
        ]
        blocks, rest = _blocks_and_rest(np.array(table, dtype=np.int64), block_length)
        effects = total_variation_distance(rest, blocks)
        variations.append(_variation(column.name, "total_variation", effects, blocks, rest, quantile))
    return variations


def _missing_variation(
    column: Sequence[ColumnSummary], block_length: int, quantile: float
) -> list[WindowVariation]:
    table = [[window.null_count + window.invalid_count, window.count] for window in column]
    blocks, rest = _blocks_and_rest(np.array(table, dtype=np.int64), block_length)
    effects = total_variation_distance(rest, blocks)  # Of two cells: the difference of the shares.
    return [_variation(column[0].name, "share_difference", effects, blocks, rest, quantile)]


def _blocks_and_rest(counts: CountArray, block_length: int) -> tuple[CountArray, CountArray]:
    """Sums over each run of windows, and over all windows outside it; windows on the first axis."""
    running = np.concatenate([np.zeros_like(counts[:1]), counts.cumsum(axis=0)])
    blocks = running[block_length:] - running[:-block_length]
    return blocks, running[-1] - blocks


def _variation(
    name: str,
    measure: Measure,
    effects: npt.NDArray[np.float64],
    blocks: CountArray,
    rest: CountArray,
    quantile: float,
) -> WindowVariation:
    rows, others = float(blocks.sum(axis=-1).mean()), float(rest.sum(axis=-1).mean())
    total = (blocks[0] + rest[0]).astype(np.float64)
    share = float(total[0] / max(total.sum(), 1.0)) if measure == "share_difference" else 0.0
    cells = max(2, int(np.count_nonzero(total)))
    return WindowVariation(
        column=name,
        aspect="missing" if measure == "share_difference" else "distribution",
        windows=len(effects),
        rows_per_window=rows,
        quantile=quantile,
        effect=upper_quantile(effects, quantile),
        sampling_effect=sampling_effect(measure, others, rows, cells=cells, share=share, quantile=quantile),
    )
