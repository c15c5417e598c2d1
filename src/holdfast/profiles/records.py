"""The nouns of this package: what a profile of a frame, of a numeric and of a categorical column hold."""

from __future__ import annotations

import math

import msgspec

from holdfast.profiles.distinct import estimate_distinct


class NumericColumn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Exact histogram and moments of one numeric column.

    `edges` (ascending, pinned by the baseline) cut the axis into `len(edges) + 1` bins: bin 0 lies below the
    first edge, bin `i` is `edges[i - 1] <= value < edges[i]`, the last bin lies at or above the last edge. The
    edges of a baseline enclose its values, so the two outer bins of a later profile count what the baseline
    never saw. A column without any finite value in its baseline has no edges and one bin.

    `count` is the number of finite values and equals the sum of `counts`; NaN, infinities and values that are
    not numbers are in `invalid_count`, missing ones in `null_count`. Moments are kept as mean and sum of squared
    deviations, which merge without the cancellation of plain sums (Chan, Golub, LeVeque 1979). `minimum` and
    `maximum` are exact after building and merging, and bounds after a subtraction.

    >>> column = NumericColumn(name="hr", edges=(0.0, 12.0, 24.0), counts=(0, 2, 2, 0), count=4, mean=11.5,
    ...     sum_of_squared_deviations=125.0, minimum=3.0, maximum=20.0)
    >>> column.row_count, column.variance, column.sum
    (4, 31.25, 46.0)
    """

    name: str
    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = (0,)
    null_count: int = 0
    invalid_count: int = 0
    zero_count: int = 0
    count: int = 0
    mean: float = 0.0
    sum_of_squared_deviations: float = 0.0
    minimum: float | None = None
    maximum: float | None = None

    @property
    def row_count(self) -> int:
        """Rows seen, valid or not."""
        return self.count + self.null_count + self.invalid_count

    @property
    def sum(self) -> float:
        """Sum of the finite values."""
        return self.mean * self.count

    @property
    def variance(self) -> float:
        """Population variance of the finite values; 0 when there is none."""
        return self.sum_of_squared_deviations / self.count if self.count else 0.0

    @property
    def standard_deviation(self) -> float:
        """Population standard deviation of the finite values, in the column's unit."""
        return math.sqrt(self.variance)

    @property
    def outside_count(self) -> int:
        """Finite values below the first or beyond the last edge: outside of what the baseline saw."""
        return self.counts[0] + self.counts[-1] if self.edges else 0


class CategoricalColumn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Exact counts of the categories that the baseline pinned, and of everything else together.

    `counts` has every pinned category, also those that this profile did not meet (0). `other_count` counts rows
    of any other category; `other_sample` names a few of these, chosen by the smallest hash, which makes the
    sample mergeable and lets it estimate how many there are.

    >>> column = CategoricalColumn(name="weather", counts={"clear": 8, "rain": 0}, other_count=2,
    ...     other_sample=("fog",))
    >>> column.count, column.distinct_estimate
    (10, 2)
    """

    name: str
    counts: dict[str, int] = {}
    other_count: int = 0
    null_count: int = 0
    other_sample: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Rows that hold a category."""
        return sum(self.counts.values()) + self.other_count

    @property
    def invalid_count(self) -> int:
        """Always 0: every value that is not null is a category."""
        return 0

    @property
    def row_count(self) -> int:
        """Rows seen, null or not."""
        return self.count + self.null_count

    @property
    def distinct_estimate(self) -> int:
        """Number of different categories: exact for small numbers, about ±13% beyond the pinned ones."""
        named = sum(1 for count in self.counts.values() if count)
        return named + estimate_distinct(self.other_sample)


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Summary of a frame: its rows and its columns.

    `from_at` and `to_at` bound the time of the rows in microseconds since the Unix epoch where it is known.

    >>> profile = Profile(row_count=3, numeric=(NumericColumn(name="hr", counts=(3,), count=3),))
    >>> profile.column("hr").count
    3
    >>> profile.column("day")
    Traceback (most recent call last):
    ...
    ValueError: the profile has no column 'day'; it has: hr
    """

    row_count: int = 0
    numeric: tuple[NumericColumn, ...] = ()
    categorical: tuple[CategoricalColumn, ...] = ()
    from_at: int | None = None
    to_at: int | None = None

    @property
    def columns(self) -> tuple[NumericColumn | CategoricalColumn, ...]:
        """All columns, the numeric ones first."""
        return (*self.numeric, *self.categorical)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all columns, in the order of `columns`."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> NumericColumn | CategoricalColumn:
        """The column of this name; ValueError when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise ValueError(f"the profile has no column {name!r}; it has: {', '.join(self.names) or 'none'}")
