"""Whether a model's losses on a labelled window are worse than its reference, as surely as the labels allow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from holdfast.statistics.intervals import Interval
from holdfast.statistics.power import normal_quantile
from holdfast.statistics.variation import upper_quantile

PerformanceState = Literal["ok", "degraded", "insufficient data"]

FEWEST_BLOCKS = 8
FEWEST_REFERENCE_WINDOWS = 5


class LossSummary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a comparison needs of the losses of one window: sample moments and how many independent rows it is
    worth (`effective_count`, at most `count`)."""

    count: int
    mean: float
    standard_deviation: float
    effective_count: float

    @property
    def standard_error(self) -> float:
        """Standard error of the mean; infinite below two effective rows."""
        if self.effective_count < 2:
            return math.inf
        return self.standard_deviation / math.sqrt(self.effective_count)


class PerformanceComparison(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """State of a model's performance, and the sentence that explains it.

    `relative_change` is current mean loss over reference mean loss, less 1, with its interval where one can be
    given. `threshold` and `minimum_detectable_effect` are relative changes too; the latter is None when no
    change could have been seen. `usual_maximum` is the mean loss that the reference's own windows stay within.
    """

    state: PerformanceState
    reference: LossSummary
    current: LossSummary
    relative_change: float | None
    interval: Interval | None
    threshold: float
    minimum_detectable_effect: float | None
    usual_maximum: float | None
    sentence: str


def summarize_losses(losses: npt.ArrayLike, blocks: npt.ArrayLike | None = None) -> LossSummary:
    """Summary of losses `(rows,)` in order of time, smaller is better.

    Errors of neighbouring rows resemble each other, so n of them say less than n independent ones. The effective
    count is n (1 - r) / (1 + r) with r the lag-1 autocorrelation (Bartlett 1946), not above n. `blocks` `(rows,)`
    names the day or hour of each row; with at least 8 blocks the scatter of the block means bounds the
    effective count as well, which sees dependence over longer lags (batch means, Schmeiser 1982).
    ValueError for losses that are not finite or blocks of another length.

    >>> summary = summarize_losses([1.0, 2.0, 1.0, 2.0])
    >>> summary.mean, summary.effective_count
    (1.5, 4.0)
    """
    values = np.asarray(losses, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError("losses must be finite numbers of shape (rows,)")
    if not values.size:
        return LossSummary(count=0, mean=0.0, standard_deviation=0.0, effective_count=0.0)
    effective = effective_sample_size(values)
    if blocks is not None:
        effective = min(effective, _block_effective_size(values, np.asarray(blocks)))
    return LossSummary(
        count=values.size,
        mean=float(values.mean()),
        standard_deviation=float(values.std(ddof=1)) if values.size > 1 else 0.0,
        effective_count=effective,
    )


def effective_sample_size(values: npt.NDArray[np.float64]) -> float:
    """Number of independent rows whose mean is as precise as that of this series `(rows,)`.

    >>> effective_sample_size(np.repeat([0.0, 1.0, 0.0, 1.0, 1.0, 0.0], 50)) < 10
    True
    """
    centred = values - values.mean()
    total = float(centred @ centred)
    if values.size < 3 or total <= 0.0:
        return float(values.size)
    correlation = float(centred[1:] @ centred[:-1]) / total
    if correlation <= 0.0:
        return float(values.size)
    return max(1.0, values.size * (1 - correlation) / (1 + correlation))


def compare_performance(
    reference: LossSummary,
    current: LossSummary,
    *,
    relative_threshold: float = 0.1,
    alpha: float = 0.01,
    power: float = 0.8,
    reference_windows: Sequence[float] = (),
) -> PerformanceComparison:
    """Compare the mean loss of a labelled window with the reference's.

    Degraded means three things at once: the mean loss grew significantly (one-sided at `alpha`, Welch 1947 with
    effective counts), by at least `relative_threshold`, and beyond what the reference's own windows reach
    (`reference_windows`: mean losses of at least 5 windows of the monitored size). Where a rise of the threshold
    could have been missed, or the reference lost nothing at all, so that no change is relative to it, the state
    is "insufficient data". ValueError when the mean loss of a side is negative: losses are at least 0.

    >>> reference = LossSummary(count=2000, mean=40.0, standard_deviation=30.0, effective_count=1000.0)
    >>> week = LossSummary(count=500, mean=55.0, standard_deviation=40.0, effective_count=300.0)
    >>> print(compare_performance(reference, week).sentence)
    Mean loss rose by 37.5% (from 40 to 55; 99% sure of at least 22.1%), and 10.0% counts.
    """
    if min(reference.mean, current.mean) < 0:
        raise ValueError(f"mean losses are {reference.mean} and {current.mean}; a loss is at least 0")
    usual = None
    if len(reference_windows) >= FEWEST_REFERENCE_WINDOWS:
        usual = upper_quantile(reference_windows, 1 - alpha)
    interval = _relative_change(reference, current, alpha)
    detectable = None
    if interval is not None:
        scores_of_margin = 1 + normal_quantile(power) / normal_quantile(1 - alpha)
        detectable = (interval.upper - interval.estimate) * scores_of_margin
    found = PerformanceComparison(
        state=_state(interval, detectable, relative_threshold, usual is None or current.mean > usual),
        reference=reference,
        current=current,
        relative_change=None if interval is None else interval.estimate,
        interval=interval,
        threshold=relative_threshold,
        minimum_detectable_effect=detectable,
        usual_maximum=usual,
        sentence="",
    )
    return msgspec.structs.replace(found, sentence=_sentence(found))


def _relative_change(reference: LossSummary, current: LossSummary, alpha: float) -> Interval | None:
    """Change of the mean loss relative to the reference; each bound holds with probability 1 - alpha."""
    error = math.hypot(reference.standard_error, current.standard_error)
    if not math.isfinite(error) or reference.mean == 0:
        return None
    change = current.mean / reference.mean - 1
    # The reference's mean is in the denominator too; by the delta method its error counts by the ratio.
    ratio = current.mean / reference.mean
    error = math.hypot(ratio * reference.standard_error, current.standard_error) / reference.mean
    margin = normal_quantile(1 - alpha) * error
    return Interval(estimate=change, lower=change - margin, upper=change + margin, confidence=1 - 2 * alpha)


def _state(
    interval: Interval | None, detectable: float | None, threshold: float, unusual: bool
) -> PerformanceState:
    if interval is None or detectable is None:
        return "insufficient data"
    if interval.lower > 0 and interval.estimate >= threshold:
        return "degraded" if unusual else "ok"
    return "ok" if interval.upper < threshold or detectable <= threshold else "insufficient data"


def _sentence(found: PerformanceComparison) -> str:
    interval, detectable = found.interval, found.minimum_detectable_effect
    if (interval is None or detectable is None) and found.reference.count and not found.reference.mean:
        return "The mean loss of the reference is 0; no change is relative to it."
    if interval is None or detectable is None:
        side, rows = min(
            ("reference", found.reference.count), ("window", found.current.count), key=lambda each: each[1]
        )
        return f"The {side} has {rows} labelled rows; no change of performance could have been seen."
    verb = "rose" if interval.estimate >= 0 else "fell"
    means = f"from {found.reference.mean:.4g} to {found.current.mean:.4g}"
    change = f"Mean loss {verb} by {abs(interval.estimate):.1%} ({means}"
    one_sided = (1 + interval.confidence) / 2
    if found.state == "degraded":
        return f"{change}; {one_sided:.0%} sure of at least {interval.lower:.1%}), and {found.threshold:.1%} counts."
    if found.state == "insufficient data":
        return (
            f"{change}), but with these labels only a rise of {detectable:.1%} or more would have been seen."
        )
    if found.usual_maximum is not None and interval.estimate >= found.threshold and interval.lower > 0:
        return (
            f"{change}), which is within what the reference's own windows reach ({found.usual_maximum:.4g})."
        )
    if interval.lower > 0 and interval.estimate < found.threshold:
        return f"{change}), less than the {found.threshold:.1%} that counts."
    return f"{change}); a rise of {max(detectable, interval.upper):.1%} or more would have been seen."


def _block_effective_size(values: npt.NDArray[np.float64], blocks: npt.NDArray[np.generic]) -> float:
    if blocks.shape != values.shape:
        raise ValueError(
            f"{values.size} losses but blocks of shape {blocks.shape}; name the block of each row"
        )
    _, member, sizes = np.unique(blocks, return_inverse=True, return_counts=True)
    if sizes.size < FEWEST_BLOCKS:
        return float(values.size)
    # Deviations of block sums from what their sizes explain give the variance of the mean with any dependence
    # inside of blocks, for blocks of unequal size too (the ratio estimator of cluster sampling, Cochran 1977).
    surplus = np.bincount(member, weights=values) - values.mean() * sizes
    variance_of_mean = float(surplus @ surplus) * sizes.size / (sizes.size - 1) / values.size**2
    if variance_of_mean <= 0.0:
        return float(values.size)
    return float(np.clip(values.var(ddof=1) / variance_of_mean, 1.0, values.size))
