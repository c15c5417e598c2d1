"""What the comparisons need of a profile, by shape; the records of `holdfast.profiles` have it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class ColumnSummary(Protocol):
    """How many rows of a column hold a value, nothing, or something that is not a value of its kind."""

    @property
    def name(self) -> str: ...
    @property
    def count(self) -> int: ...
    @property
    def null_count(self) -> int: ...
    @property
    def invalid_count(self) -> int: ...


class NumericSummary(ColumnSummary, Protocol):
    """Histogram (`len(edges) + 1` bins, the outer two open) and moments of a numeric column."""

    @property
    def edges(self) -> tuple[float, ...]: ...
    @property
    def counts(self) -> tuple[int, ...]: ...
    @property
    def mean(self) -> float: ...
    @property
    def standard_deviation(self) -> float: ...


class CategoricalSummary(ColumnSummary, Protocol):
    """Counts of the pinned categories, and of all others together."""

    @property
    def counts(self) -> Mapping[str, int]: ...
    @property
    def other_count(self) -> int: ...
    @property
    def other_sample(self) -> tuple[str, ...]: ...


class ProfileSummary(Protocol):
    """The columns of a frame."""

    @property
    def numeric(self) -> Sequence[NumericSummary]: ...
    @property
    def categorical(self) -> Sequence[CategoricalSummary]: ...
