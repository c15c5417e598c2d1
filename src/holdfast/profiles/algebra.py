"""Merging and subtracting profiles.

On the integer counts both are exact: merging is associative and commutative, subtracting undoes it. Moments
follow to rounding error. A minimum, a maximum and a sample of names cannot be taken back, so after a subtraction
they are bounds of the whole rather than facts of the part.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import TypeVar

from holdfast.profiles.distinct import smallest_by_hash
from holdfast.profiles.records import CategoricalColumn, NumericColumn, Profile

Number = TypeVar("Number", int, float)


def merge(first: Profile, second: Profile) -> Profile:
    """Profile of the rows of both.

    Raises ValueError when the two do not have the same columns in the same pinned bins and categories.

    >>> from holdfast.profiles.records import NumericColumn, Profile
    >>> one = Profile(row_count=2, numeric=(NumericColumn(name="hr", counts=(2,), count=2, mean=3.0),))
    >>> merge(one, one).column("hr").counts
    (4,)
    """
    _check_same_cells(first, second)
    return Profile(
        row_count=first.row_count + second.row_count,
        numeric=tuple(map(_merge_numeric, first.numeric, second.numeric)),
        categorical=tuple(map(_merge_categorical, first.categorical, second.categorical)),
        from_at=_lowest(first.from_at, second.from_at),
        to_at=_highest(first.to_at, second.to_at),
    )


def merge_all(profiles: Iterable[Profile]) -> Profile:
    """Profile of the rows of all of them; ValueError when there is none.

    >>> from holdfast.profiles.records import Profile
    >>> merge_all([Profile(row_count=1), Profile(row_count=2)]).row_count
    3
    """
    remaining = iter(profiles)
    try:
        first = next(remaining)
    except StopIteration:
        raise ValueError("there is no profile to merge; pass at least one") from None
    return reduce(merge, remaining, first)


def subtract(whole: Profile, part: Profile) -> Profile:
    """Profile of the rows of `whole` that are not in `part`, of which it was merged.

    Counts are exact. `minimum`, `maximum`, `other_sample` and the times stay those of the whole: bounds.
    Raises ValueError when the bins differ or the part counts more rows in some cell than the whole.

    >>> from holdfast.profiles.records import Profile
    >>> subtract(Profile(row_count=3), Profile(row_count=2)).row_count
    1
    """
    _check_same_cells(whole, part)
    return Profile(
        row_count=_difference("row_count", whole.row_count, part.row_count),
        numeric=tuple(map(_subtract_numeric, whole.numeric, part.numeric)),
        categorical=tuple(map(_subtract_categorical, whole.categorical, part.categorical)),
        from_at=whole.from_at,
        to_at=whole.to_at,
    )


def _check_same_cells(first: Profile, second: Profile) -> None:
    if first.names != second.names:
        raise ValueError(
            f"profiles have different columns: {', '.join(first.names)} against {', '.join(second.names)}; "
            "build both with the same pinned baseline"
        )
    for one, other in zip(first.numeric, second.numeric, strict=True):
        if one.edges != other.edges:
            raise ValueError(f"column {one.name!r} has different bins in the two profiles; pin one baseline")
    for left, right in zip(first.categorical, second.categorical, strict=True):
        if left.counts.keys() != right.counts.keys():
            raise ValueError(
                f"column {left.name!r} has different categories in the two profiles; pin one baseline"
            )


def _merge_numeric(first: NumericColumn, second: NumericColumn) -> NumericColumn:
    count = first.count + second.count
    mean, deviations = _merge_moments(first, second, count)
    return NumericColumn(
        name=first.name,
        edges=first.edges,
        counts=tuple(map(int.__add__, first.counts, second.counts)),
        null_count=first.null_count + second.null_count,
        invalid_count=first.invalid_count + second.invalid_count,
        zero_count=first.zero_count + second.zero_count,
        count=count,
        mean=mean,
        sum_of_squared_deviations=deviations,
        minimum=_lowest(first.minimum, second.minimum),
        maximum=_highest(first.maximum, second.maximum),
    )


def _merge_moments(first: NumericColumn, second: NumericColumn, count: int) -> tuple[float, float]:
    if not first.count or not second.count:
        full = first if first.count else second
        return full.mean, full.sum_of_squared_deviations
    # Written symmetrically, so that merging is commutative to the last bit.
    mean = (first.mean * first.count + second.mean * second.count) / count
    between = (first.mean - second.mean) ** 2 * (first.count * second.count / count)
    return mean, first.sum_of_squared_deviations + second.sum_of_squared_deviations + between


def _subtract_numeric(whole: NumericColumn, part: NumericColumn) -> NumericColumn:
    name = whole.name
    count = _difference(name, whole.count, part.count)
    mean, deviations = _subtract_moments(whole, part, count)
    return NumericColumn(
        name=name,
        edges=whole.edges,
        counts=tuple(_difference(name, *pair) for pair in zip(whole.counts, part.counts, strict=True)),
        null_count=_difference(name, whole.null_count, part.null_count),
        invalid_count=_difference(name, whole.invalid_count, part.invalid_count),
        zero_count=_difference(name, whole.zero_count, part.zero_count),
        count=count,
        mean=mean,
        sum_of_squared_deviations=deviations,
        minimum=whole.minimum if count else None,
        maximum=whole.maximum if count else None,
    )


def _subtract_moments(whole: NumericColumn, part: NumericColumn, count: int) -> tuple[float, float]:
    if not count:
        return 0.0, 0.0
    if not part.count:
        return whole.mean, whole.sum_of_squared_deviations
    mean = (whole.mean * whole.count - part.mean * part.count) / count
    between = (mean - part.mean) ** 2 * (count * part.count / whole.count)
    deviations = whole.sum_of_squared_deviations - part.sum_of_squared_deviations - between
    return mean, max(0.0, deviations)


def _merge_categorical(first: CategoricalColumn, second: CategoricalColumn) -> CategoricalColumn:
    return CategoricalColumn(
        name=first.name,
        counts={category: count + second.counts[category] for category, count in first.counts.items()},
        other_count=first.other_count + second.other_count,
        null_count=first.null_count + second.null_count,
        other_sample=_merge_samples(first.other_sample, second.other_sample),
    )


def _merge_samples(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    # Most windows meet no new category, and hashing is the only slow part of a merge.
    if not first or not second or first == second:
        return first or second
    return smallest_by_hash((*first, *second))


def _subtract_categorical(whole: CategoricalColumn, part: CategoricalColumn) -> CategoricalColumn:
    name = whole.name
    other_count = _difference(name, whole.other_count, part.other_count)
    return CategoricalColumn(
        name=name,
        counts={key: _difference(name, count, part.counts[key]) for key, count in whole.counts.items()},
        other_count=other_count,
        null_count=_difference(name, whole.null_count, part.null_count),
        other_sample=whole.other_sample if other_count else (),
    )


def _difference(name: str, whole: int, part: int) -> int:
    if part > whole:
        raise ValueError(
            f"{name!r} counts {part} in the part but {whole} in the whole; it is not a part of it"
        )
    return whole - part


def _lowest(first: Number | None, second: Number | None) -> Number | None:
    return min((value for value in (first, second) if value is not None), default=None)


def _highest(first: Number | None, second: Number | None) -> Number | None:
    return max((value for value in (first, second) if value is not None), default=None)
