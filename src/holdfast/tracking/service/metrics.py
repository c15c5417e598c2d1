"""The verbs that read metric curves: whole, in pages, of many runs, or thinned for a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from holdfast.base.context import Context
from holdfast.base.errors import InvalidError
from holdfast.base.ledger.protocol import Ledger, Reader
from holdfast.tracking.records import MetricPoint
from holdfast.tracking.service.run_access import head_in
from holdfast.tracking.store import metrics as store
from holdfast.tracking.store import runs as run_store
from holdfast.tracking.store.paging import Mark, read_mark, write_mark

if TYPE_CHECKING:
    from holdfast.tracking.packing import Columns, Integers


class Curve(msgspec.Struct, frozen=True):
    """Points of one metric of one run, by step and time; `next_page` asks for more of them."""

    run_id: str
    key: str
    steps: list[int]
    times: list[int]
    values: list[float]
    next_page: str | None = None

    def points(self) -> list[MetricPoint]:
        """The points one by one."""
        rows = zip(self.values, self.times, self.steps, strict=True)
        return [MetricPoint(self.key, value, at, step) for value, at, step in rows]


class MetricService:
    """Curves of one ledger. Every point comes once, however often it was sent."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def history(
        self, context: Context, run_id: str, key: str, *, limit: int | None = None, page: str | None = None
    ) -> Curve:
        """The points of a metric, `limit` of them at a time where one is given.

        Raises:
            NotFoundError: there is no such run.
            InvalidError: the limit is not positive, or the page mark is not one of this curve.
        """
        if limit is not None and limit <= 0:
            raise InvalidError(
                f"Invalid value {limit} for parameter 'max_results' supplied. It must be a positive integer"
            )
        asked = f"{run_id}|{key}"
        with self._ledger.read() as reader:
            found = self._read(reader, context, run_id, key)
        start = 0 if page is None else _place(found, read_mark(page, asked))
        stop = len(found[0]) if limit is None else min(start + limit, len(found[0]))
        mark = None
        if stop < len(found[0]):
            last = stop - 1
            place = (int(found[0][last]), int(found[1][last]), last)
            mark = write_mark(Mark(0, place, asked))
        return _curve(run_id, key, tuple(column[start:stop] for column in found), mark)  # type: ignore[arg-type]

    def histories(self, context: Context, run_ids: Sequence[str], key: str, limit: int) -> list[Curve]:
        """The first `limit` points of a metric of some runs, altogether; runs that do not exist are left out."""
        found: list[Curve] = []
        for run_id in sorted(run_ids):
            curve = self._curve(context, run_id, key, limit, None)
            if curve is not None:
                found.append(curve)
                limit -= len(curve.steps)
            if limit <= 0:
                break
        return found

    def sampled(
        self,
        context: Context,
        run_ids: Sequence[str],
        key: str,
        most: int,
        steps: tuple[int, int] | None = None,
    ) -> list[Curve]:
        """At most about `most` points a run, at evenly spread steps, with the first and the last one.

        The steps of all runs decide together, so that curves that belong together keep the same steps.
        """
        with self._ledger.read() as reader:
            found = {
                run_id: self._read(reader, context, run_id, key)
                for run_id in run_ids
                if run_store.head(reader, context.project, run_id) is not None
            }
        return _thinned(found, key, most, steps)

    def outline(self, context: Context, run_id: str, key: str, most: int = 2000) -> Curve:
        """A curve thinned for a picture: of each stretch its smallest and its largest value, so no spike is lost."""
        with self._ledger.read() as reader:
            found = self._read(reader, context, run_id, key)
        return _curve(run_id, key, _outline(found, most), None)

    def outlines(
        self, context: Context, run_id: str, keys: Sequence[str], most: int = 2000
    ) -> Iterator[Curve]:
        """The outlines of several metrics of one run, read at one moment."""
        with self._ledger.read() as reader:
            found = store.histories(reader, head_in(reader, context, run_id).number, keys)
        for key, columns in found.items():
            yield _curve(run_id, key, _outline(columns, most), None)

    def _curve(self, context: Context, run_id: str, key: str, limit: int, page: str | None) -> Curve | None:
        with self._ledger.read() as reader:
            if run_store.head(reader, context.project, run_id) is None:
                return None
        return self.history(context, run_id, key, limit=limit, page=page)

    def _read(self, reader: Reader, context: Context, run_id: str, key: str) -> Columns:
        return store.history(reader, head_in(reader, context, run_id).number, key)


def _place(found: Columns, mark: Mark) -> int:
    """The first point behind a mark. Points added since move it on, as they may come before it."""
    import numpy as np

    step, at, place = (int(value) if isinstance(value, int) else 0 for value in mark.values)
    steps, times, _ = found
    if place < len(steps) and steps[place] == step and times[place] == at:
        return place + 1
    first, last = np.searchsorted(steps, [step, step + 1])
    return int(first + np.searchsorted(times[first:last], at, side="right"))


def _curve(run_id: str, key: str, found: Columns, mark: str | None) -> Curve:
    steps, times, values = found
    return Curve(run_id, key, steps.tolist(), times.tolist(), values.tolist(), mark)


def _thinned(found: dict[str, Columns], key: str, most: int, steps: tuple[int, int] | None) -> list[Curve]:
    import numpy as np

    if steps is not None:
        found = {run_id: _between(column, steps) for run_id, column in found.items()}
    # Steps are sorted within a run, so that no million of them need to be sorted or looked up.
    own = [_once(column[0]) for column in found.values() if len(column[0])]
    if not own:
        return []
    every = own[0] if len(own) == 1 else np.unique(np.concatenate(own))
    if len(every) > most:
        spread = every[np.linspace(0, len(every) - 1, most).astype(np.int64)]
        every = np.unique(np.concatenate([spread, *(part[[0, -1]] for part in own)]))
    curves = []
    for run_id, column in found.items():
        first, last = np.searchsorted(column[0], every), np.searchsorted(column[0], every, side="right")
        counts = last - first
        if counts.any():
            # Every place from first to last, of all steps at once.
            at = np.arange(counts.sum()) + np.repeat(first - np.cumsum(counts) + counts, counts)
            curves.append(_curve(run_id, key, (column[0][at], column[1][at], column[2][at]), None))
    return curves


def _between(found: Columns, steps: tuple[int, int]) -> Columns:
    import numpy as np

    first, last = np.searchsorted(found[0], steps[0]), np.searchsorted(found[0], steps[1], side="right")
    return found[0][first:last], found[1][first:last], found[2][first:last]


def _once(steps: Integers) -> Integers:
    """Sorted steps, each once."""
    import numpy as np

    new = steps[1:] != steps[:-1]
    return steps if new.all() else steps[np.concatenate([[True], new])]


def _outline(found: Columns, most: int) -> Columns:
    import numpy as np

    steps, times, values = found
    if len(steps) <= most:
        return found
    stretches = max(1, most // 2)
    edges = np.linspace(0, len(steps), stretches + 1).astype(np.int64)
    comparable = (
        np.nan_to_num(values, nan=0.0, posinf=None, neginf=None) if np.isnan(values).any() else values
    )
    chosen = {0, len(steps) - 1}
    for start, stop in pairwise(edges.tolist()):
        part = comparable[start:stop]
        chosen.add(int(start + part.argmin()))
        chosen.add(int(start + part.argmax()))
    order = np.fromiter(sorted(chosen), dtype=np.int64)
    return steps[order], times[order], values[order]
