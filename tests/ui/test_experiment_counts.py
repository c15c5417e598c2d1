"""Counting costs at most a twentieth of the time, and each project has counts of its own."""

from __future__ import annotations

from holdfast.base.context import Actor, Context
from holdfast.tracking.run_records import ExperimentsFound, ExperimentSummary, ListExperiments
from holdfast.ui.experiment_counts import ExperimentCounts


class Slow:
    """Counts one more run each time, and takes a given time for it."""

    def __init__(self, took_s: float) -> None:
        self.now, self.took_s, self.calls = 100.0, took_s, 0

    def __call__(self, context: Context, request: ListExperiments) -> ExperimentsFound:
        assert request.view == "all"
        self.calls += 1
        self.now += self.took_s
        return ExperimentsFound((ExperimentSummary("0", context.project, "active", 0, 0, self.calls),))


def test_a_slow_count_is_kept_for_twenty_times_its_time() -> None:
    slow = Slow(0.1)
    counts = ExperimentCounts(slow, lambda: slow.now)
    ada = Context(Actor("ada"))
    assert [counts(ada)[0].runs for _ in range(5)] == [1] * 5
    slow.now += 1.9
    assert counts(ada)[0].runs == 1
    slow.now += 0.2
    assert counts(ada)[0].runs == 2


def test_projects_do_not_share_counts() -> None:
    slow = Slow(5)
    counts = ExperimentCounts(slow, lambda: slow.now)
    one, other = Context(Actor("ada"), project="one"), Context(Actor("ada"), project="other")
    assert (counts(one)[0].name, counts(other)[0].name, counts(one)[0].name) == ("one", "other", "one")
