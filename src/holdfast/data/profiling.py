"""The profile of a version, frame by frame and in bounded memory.

Cells (bins and categories) are kept from the version before where its rows still fall into them: then a new
profile is a merge, and two versions compare cell by cell. Columns that have outgrown their cells get new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import polars as pl
from msgspec.structs import replace

from holdfast.data.records import FieldContract
from holdfast.profiles.algebra import merge, merge_all
from holdfast.profiles.bins import GOLDEN_RATIO_PART, FloatArray
from holdfast.profiles.build import build_profile
from holdfast.profiles.records import CategoricalColumn, NumericColumn, Profile

OUTGROWN_SHARE = 0.01
CATEGORIES_PINNED = 100
_CATEGORIES_COUNTED = 10_000
_SAMPLE_ROWS = 65_536
_SAMPLE_CELLS = 4_000_000

Names = tuple[list[str], list[str]]
Bounds = Mapping[str, tuple[float | None, float | None]]
Column = TypeVar("Column", NumericColumn, CategoricalColumn)


class Profiler:
    """Profiles frames that come one after another; `again` reads them once more where cells are found late.

    Args:
        names: the numeric and the categorical columns to watch.
        before: the profile of the rows that the version shares with its parent, whose cells are kept.
        shares_rows: whether there are such rows; without their profile all rows are read again at the end.
        pinned: a profile whose cells to keep; its counts do not matter.
    """

    def __init__(
        self,
        names: Names,
        again: Callable[[], Iterator[pl.DataFrame]],
        before: Profile | None = None,
        pinned: Profile | None = None,
        shares_rows: bool = False,
    ) -> None:
        self._names = names
        self._again = again
        self._pinned = pinned if before is None else before
        if self._pinned is not None and not _same_columns(self._pinned, names):
            self._pinned = before = None
        self._start_over = shares_rows and before is None
        self._whole = before
        self._only: pl.DataFrame | None = None
        self._frames = 0
        self._cells = Cells(names)

    def add(self, frame: pl.DataFrame) -> None:
        """Takes the next rows."""
        self._frames += 1
        if self._start_over:
            return
        if self._pinned is not None:
            found = build_profile(frame, pinned=self._pinned)
            self._whole = found if self._whole is None else merge(self._whole, found)
            return
        # A single frame chooses its cells from all of its rows; only a second one makes a sample necessary.
        if self._frames == 2 and self._only is not None:
            self._cells.add(self._only)
        self._only = frame if self._frames == 1 else None
        if self._frames > 1:
            self._cells.add(frame)

    def finish(self, bounds: Bounds) -> Profile:
        """The profile of all rows, whose finite numbers lie within `bounds`."""
        if self._start_over:
            return self._from_scratch(self._names, bounds)
        if self._whole is not None:
            return self._renewed(self._whole, bounds)
        if self._only is not None:
            return _build(self._only, self._names)
        if not self._frames:
            return Profile()
        return self._count(self._cells.pinned(bounds))

    def _count(self, cells: Profile) -> Profile:
        """The profile of all rows in these cells; while a frame is read, the one before it is counted."""
        found: list[Profile] = []
        counting: Future[Profile] | None = None
        with ThreadPoolExecutor(1, "holdfast-profile") as worker:
            for frame in self._again():
                if counting is not None:
                    found.append(counting.result())
                counting = worker.submit(build_profile, frame, pinned=cells)
            assert counting is not None
            found.append(counting.result())
        return merge_all(found)

    def _from_scratch(self, names: Names, bounds: Bounds) -> Profile:
        """The profile of all rows of some columns, in cells of their own."""
        cells = Cells(names)
        for frame in self._again():
            cells.add(frame)
        return self._count(cells.pinned(bounds))

    def _renewed(self, whole: Profile, bounds: Bounds) -> Profile:
        """The profile with new cells for the columns that have outgrown theirs."""
        stale = [column.name for column in whole.columns if is_outgrown(column)]
        if not stale:
            return whole
        names = (
            [name for name in self._names[0] if name in stale],
            [n for n in self._names[1] if n in stale],
        )
        fresh = self._from_scratch(names, bounds)
        return replace(
            whole,
            numeric=_exchanged(whole.numeric, fresh.numeric),
            categorical=_exchanged(whole.categorical, fresh.categorical),
        )


class Cells:
    """Chooses bins and categories from frames that pass once, from an even sample and the most frequent texts."""

    def __init__(self, names: Names) -> None:
        self._numeric, self._categorical = names
        self._rows = 0
        self._rate = 1.0
        self._sample: list[tuple[FloatArray, pl.DataFrame]] = []
        self._counts: dict[str, pl.DataFrame] = {}

    def add(self, frame: pl.DataFrame) -> None:
        """Takes the next rows."""
        if self._numeric:
            self._add_numbers(frame.select(self._numeric))
        for name in self._categorical:
            self._add_texts(frame.get_column(name))
        self._rows += frame.height

    def pinned(self, bounds: Bounds) -> Profile:
        """An empty profile with the chosen cells, which enclose the bounds of each numeric column."""
        numbers = pl.concat(piece for _, piece in self._sample) if self._sample else pl.DataFrame()
        chosen = build_profile(numbers, numeric=self._numeric, categorical=[])
        return Profile(
            numeric=tuple(
                NumericColumn(
                    name=column.name,
                    edges=(edges := _enclosing(column, bounds)),
                    counts=(0,) * (len(edges) + 1),
                )
                for column in chosen.numeric
            ),
            categorical=tuple(
                CategoricalColumn(name=name, counts=dict.fromkeys(self._frequent(name), 0))
                for name in self._categorical
            ),
        )

    def _add_numbers(self, frame: pl.DataFrame) -> None:
        most = max(1024, min(_SAMPLE_ROWS, _SAMPLE_CELLS // len(self._numeric)))
        positions = np.arange(self._rows, self._rows + frame.height, dtype=np.float64)
        places = (positions * GOLDEN_RATIO_PART) % 1.0
        self._keep(places, frame)
        while sum(piece.height for _, piece in self._sample) > most:
            self._rate /= 2
            kept, self._sample = self._sample, []
            for its_places, piece in kept:
                self._keep(its_places, piece)

    def _keep(self, places: FloatArray, frame: pl.DataFrame) -> None:
        chosen = places < self._rate
        self._sample.append((places[chosen], frame.filter(pl.Series(chosen))))

    def _add_texts(self, column: pl.Series) -> None:
        found = column.drop_nulls().cast(pl.String).alias("text").value_counts(name="count")
        if column.name in self._counts:
            both = pl.concat([self._counts[column.name], found])
            found = both.group_by("text").agg(pl.col("count").sum())
        # A text that is not among the most frequent ten thousand so far will hardly end among the hundred.
        self._counts[column.name] = _most_frequent(found, _CATEGORIES_COUNTED)

    def _frequent(self, name: str) -> list[str]:
        return _most_frequent(self._counts[name], CATEGORIES_PINNED).get_column("text").to_list()


def _enclosing(column: NumericColumn, bounds: Bounds) -> tuple[float, ...]:
    """The edges from the sample, moved out to enclose what the sample did not meet."""
    low, high = bounds.get(column.name, (None, None))
    if low is None or high is None:
        return ()
    above = float(np.nextafter(high, np.inf))
    inner = [edge for edge in column.edges[1:-1] if low < edge < above]
    return tuple(edge for edge in (low, *inner, above) if np.isfinite(edge))


def watched(fields: Sequence[FieldContract]) -> Names:
    """The numeric and the categorical columns to profile. Keys and times are left out: they drift by nature."""
    chosen = [field for field in fields if field.role in ("feature", "label")]
    return (
        [field.name for field in chosen if field.type in ("float", "integer")],
        [field.name for field in chosen if field.type in ("string", "boolean")],
    )


def is_outgrown(column: NumericColumn | CategoricalColumn) -> bool:
    """Whether more than one row in a hundred falls outside of a column's cells."""
    if isinstance(column, NumericColumn):
        outside = column.outside_count if column.edges else column.count
    else:
        # Beyond the hundred pinned categories there is always a rest; it says nothing new.
        outside = column.other_count if len(column.counts) < CATEGORIES_PINNED else 0
    return outside > OUTGROWN_SHARE * max(column.count, 1)


def _build(frame: pl.DataFrame, names: Names) -> Profile:
    return build_profile(frame, numeric=names[0], categorical=names[1])


def _same_columns(profile: Profile, names: Names) -> bool:
    return [c.name for c in profile.numeric] == names[0] and [c.name for c in profile.categorical] == names[1]


def _most_frequent(counts: pl.DataFrame, most: int) -> pl.DataFrame:
    return counts.sort("count", "text", descending=[True, False]).head(most)


def _exchanged(old: Iterable[Column], new: Iterable[Column]) -> tuple[Column, ...]:
    by_name = {column.name: column for column in new}
    return tuple(by_name.get(column.name, column) for column in old)
