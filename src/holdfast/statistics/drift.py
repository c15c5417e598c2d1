"""Two profiles compared, column by column: how far apart, and how surely."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from holdfast.statistics.distances import (
    cumulative_gaps,
    jensen_shannon_distance,
    normalized_mean_shift,
    population_stability_index,
    total_variation_distance,
)
from holdfast.statistics.power import Measure, minimum_detectable_effect
from holdfast.statistics.significance import (
    adjust_p_values,
    distribution_p_value,
    homogeneity_p_value,
    share_p_value,
)
from holdfast.statistics.summaries import (
    CategoricalSummary,
    ColumnSummary,
    NumericSummary,
    ProfileSummary,
)

__all__ = [
    "Aspect",
    "Comparison",
    "adjust_p_values",
    "compare_categorical",
    "compare_missing",
    "compare_numeric",
    "compare_profiles",
    "minimum_detectable_effect",
]

Aspect = Literal["distribution", "missing"]

# Beyond this share of rows in categories that are not pinned, the column is rather a name than a category.
LARGEST_OTHER_SHARE = 0.5


class Comparison(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One aspect of one column in two profiles.

    `effect` is a share of rows in every aspect: of rows beyond some value that were not there before
    (Kolmogorov-Smirnov distance of a numeric column), of rows that changed category (total variation distance),
    or the change of the share of missing rows. `detail` says in words where the change is greatest. `cells` and
    `reference_share` are what the minimum detectable effect needs. A comparison that cannot be made carries the
    reason in `unsupported`. `mean_shift` is in standard deviations of the reference; it is None where undefined.
    """

    column: str
    aspect: Aspect
    measure: Measure
    n_reference: int
    n_current: int
    effect: float
    p_value: float
    cells: int = 2
    reference_share: float = 0.0
    detail: str = ""
    unsupported: str = ""
    population_stability_index: float | None = None
    jensen_shannon: float | None = None
    mean_shift: float | None = None

    def minimum_detectable_effect(self, *, alpha: float, power: float = 0.8) -> float:
        """Smallest effect that this comparison finds at level `alpha` with probability `power`."""
        if self.aspect == "distribution":
            alpha /= 2  # Two tests share the level, see `distribution_p_value` and `homogeneity_p_value`.
        return minimum_detectable_effect(
            self.n_reference,
            self.n_current,
            alpha=alpha,
            power=power,
            measure=self.measure,
            cells=self.cells,
            share=self.reference_share,
        )


def compare_profiles(reference: ProfileSummary, current: ProfileSummary) -> list[Comparison]:
    """Compare all columns: their distribution, and their share of missing rows where any is missing.

    Both profiles must be pinned to one baseline; ValueError when columns or cells differ.

    >>> from holdfast.profiles.build import build_profile
    >>> baseline = build_profile({"hr": np.arange(1000.0)})
    >>> window = build_profile({"hr": np.arange(500.0, 1000.0)}, pinned=baseline)
    >>> [(each.column, each.effect) for each in compare_profiles(baseline, window)]
    [('hr', 0.5)]
    """
    comparisons = compare_numeric(reference.numeric, current.numeric)
    comparisons += compare_categorical(reference.categorical, current.categorical)
    comparisons += compare_missing(reference.numeric, current.numeric)
    comparisons += compare_missing(reference.categorical, current.categorical)
    return comparisons


def compare_numeric(
    reference: Sequence[NumericSummary], current: Sequence[NumericSummary]
) -> list[Comparison]:
    """Compare the distributions of numeric columns, given in the same order; all columns in one sweep.

    The p-value holds for binned data, see `distribution_p_value`. ValueError when names or edges differ.

    >>> compare_numeric([], [])
    []
    """
    _check_pairs(reference, current)
    if not reference:
        return []
    for before, now in zip(reference, current, strict=True):
        if before.edges != now.edges:
            raise ValueError(f"column {before.name!r} has different bins; pin both profiles to one baseline")
    cells = np.array([len(column.counts) for column in reference])
    first, second = stacked_counts(reference), stacked_counts(current)
    sweep = _Sweep(
        gaps=cumulative_gaps(first, second),
        before=first.cumsum(axis=-1),
        p_values=distribution_p_value(first, second),
        stability=population_stability_index(first, second, cells),
        jensen_shannon=jensen_shannon_distance(first, second),
    )
    return [
        _numeric_comparison(position, before, now, sweep)
        for position, (before, now) in enumerate(zip(reference, current, strict=True))
    ]


def compare_categorical(
    reference: Sequence[CategoricalSummary], current: Sequence[CategoricalSummary]
) -> list[Comparison]:
    """Compare the distributions of categorical columns, given in the same order.

    All categories that are not pinned are one cell. A column of which most reference rows lie there, as an
    identifier's do, is not supported. ValueError when names or categories differ.

    >>> compare_categorical([], [])
    []
    """
    _check_pairs(reference, current)
    return [_categorical_comparison(before, now) for before, now in zip(reference, current, strict=True)]


def compare_missing(reference: Sequence[ColumnSummary], current: Sequence[ColumnSummary]) -> list[Comparison]:
    """Compare the shares of rows that are null or invalid, for those columns where any is.

    A column without a missing row on either side makes no comparison: it could not reject, and would only make
    the adjustment for many tests harder on the others.

    >>> compare_missing([], [])
    []
    """
    _check_pairs(reference, current)
    comparisons = []
    for before, now in zip(reference, current, strict=True):
        if before.null_count + before.invalid_count + now.null_count + now.invalid_count:
            comparisons.append(_missing_comparison(before, now))
    return comparisons


def stacked_counts(columns: Sequence[NumericSummary]) -> npt.NDArray[np.int64]:
    """Histograms of several columns as one array `(columns, cells)`, padded with empty cells.

    >>> stacked_counts([]).shape
    (0, 0)
    """
    width = max((len(column.counts) for column in columns), default=0)
    stacked = np.zeros((len(columns), width), dtype=np.int64)
    for position, column in enumerate(columns):
        stacked[position, : len(column.counts)] = column.counts
    return stacked


class _Sweep(NamedTuple):
    """Results for all numeric columns, `(columns,)` or `(columns, cells)`."""

    gaps: npt.NDArray[np.float64]
    before: npt.NDArray[np.int64]
    p_values: npt.NDArray[np.float64]
    stability: npt.NDArray[np.float64]
    jensen_shannon: npt.NDArray[np.float64]


def _check_pairs(reference: Sequence[ColumnSummary], current: Sequence[ColumnSummary]) -> None:
    before, now = [column.name for column in reference], [column.name for column in current]
    if before != now:
        raise ValueError(f"columns differ: the reference has {before}, the current profile {now}")


def _numeric_comparison(
    position: int, before: NumericSummary, now: NumericSummary, sweep: _Sweep
) -> Comparison:
    gaps = sweep.gaps[position]
    place = int(np.abs(gaps).argmax())
    shift = normalized_mean_shift(before.mean, before.standard_deviation, now.mean)
    known = before.count > 0 and now.count > 0
    detail = ""
    if known and place < len(before.edges):
        share = float(sweep.before[position, place]) / before.count
        detail = _gap_in_words(before.edges[place], share, share + float(gaps[place]))
    return Comparison(
        column=before.name,
        aspect="distribution",
        measure="kolmogorov_smirnov",
        n_reference=before.count,
        n_current=now.count,
        effect=abs(float(gaps[place])),
        p_value=float(sweep.p_values[position]),
        cells=len(before.counts),
        detail=detail,
        unsupported="" if before.count else "the reference has no value in this column",
        population_stability_index=float(sweep.stability[position]) if known else None,
        jensen_shannon=float(sweep.jensen_shannon[position]) if known else None,
        mean_shift=shift if known and np.isfinite(shift) else None,
    )


def _gap_in_words(edge: float, before: float, now: float) -> str:
    return f"values below {edge:.6g} went from {before:.1%} to {now:.1%} of rows"


def _categorical_comparison(before: CategoricalSummary, now: CategoricalSummary) -> Comparison:
    if before.counts.keys() != now.counts.keys():
        raise ValueError(
            f"column {before.name!r} has different categories; pin both profiles to one baseline"
        )
    names = list(before.counts)
    first = np.array([*before.counts.values(), before.other_count], dtype=np.int64)
    second = np.array([*(now.counts[name] for name in names), now.other_count], dtype=np.int64)
    known = before.count > 0 and now.count > 0
    return Comparison(
        column=before.name,
        aspect="distribution",
        measure="total_variation",
        n_reference=before.count,
        n_current=now.count,
        effect=float(total_variation_distance(first, second)),
        p_value=homogeneity_p_value(first, second),
        cells=max(2, int(np.count_nonzero(first + second))),
        detail=_category_in_words(names, first, second, now.other_sample) if known else "",
        unsupported=_why_no_categories(before),
        population_stability_index=float(population_stability_index(first, second)) if known else None,
        jensen_shannon=float(jensen_shannon_distance(first, second)) if known else None,
    )


def _why_no_categories(before: CategoricalSummary) -> str:
    if not before.count:
        return "the reference has no value in this column"
    if before.other_count > LARGEST_OTHER_SHARE * before.count:
        return (
            f"{before.other_count / before.count:.0%} of the reference rows lie outside its "
            f"{len(before.counts)} most frequent categories; it looks like an identifier"
        )
    return ""


def _category_in_words(
    names: list[str], first: npt.NDArray[np.int64], second: npt.NDArray[np.int64], others: tuple[str, ...]
) -> str:
    before, now = first / first.sum(), second / second.sum()
    place = int(np.abs(now - before).argmax())
    if place < len(names):
        subject = repr(names[place])
    else:
        examples = ", ".join(map(repr, others[:3]))
        subject = (
            f"categories that are not pinned ({examples})" if examples else "categories that are not pinned"
        )
    return f"{subject} went from {before[place]:.1%} to {now[place]:.1%} of rows"


def _missing_comparison(before: ColumnSummary, now: ColumnSummary) -> Comparison:
    missing_before, missing_now = before.null_count + before.invalid_count, now.null_count + now.invalid_count
    rows_before, rows_now = before.count + missing_before, now.count + missing_now
    share_before, share_now = missing_before / max(rows_before, 1), missing_now / max(rows_now, 1)
    known = rows_before > 0 and rows_now > 0
    return Comparison(
        column=before.name,
        aspect="missing",
        measure="share_difference",
        n_reference=rows_before,
        n_current=rows_now,
        effect=abs(share_now - share_before) if known else 0.0,
        p_value=share_p_value(missing_before, rows_before, missing_now, rows_now),
        reference_share=share_before,
        detail=f"missing or invalid values went from {share_before:.1%} to {share_now:.1%} of rows"
        if known
        else "",
        unsupported="" if rows_before else "the reference has no rows",
    )
