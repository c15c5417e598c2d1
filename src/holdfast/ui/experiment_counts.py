"""How many runs each experiment has, counted no more often than the counting is cheap.

Counting reads an entry of every run: a hundred thousand take some 90 ms, more than all the rest of the page. A page
that is refreshed every few seconds by several readers would spend most of its time on a number nobody watches closely.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from holdfast.base.context import Context
from holdfast.tracking.run_records import ExperimentsFound, ExperimentSummary, ListExperiments

# A count is good for so many times what it took: the counting never takes more than a twentieth of the time.
_GOOD_FOR_FACTOR = 20

Count = Callable[[Context, ListExperiments], ExperimentsFound]


class ExperimentCounts:
    """The experiments of each project with their counts, at most about a few seconds old.

    Args:
        count: what counts, e.g. `RunCatalog.experiments`.
        monotonic: seconds that only grow.
    """

    def __init__(self, count: Count, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._count = count
        self._monotonic = monotonic
        self._known: dict[str, tuple[float, tuple[ExperimentSummary, ...]]] = {}

    def __call__(self, context: Context) -> tuple[ExperimentSummary, ...]:
        """Every experiment, deleted ones too, the one with the latest run first."""
        started = self._monotonic()
        good_until, known = self._known.get(context.project, (started, ()))
        if started < good_until:
            return known
        found = self._count(context, ListExperiments("all")).experiments
        ended = self._monotonic()
        self._known[context.project] = (ended + _GOOD_FOR_FACTOR * (ended - started), found)
        return found
