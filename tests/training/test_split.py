"""The split in time: nothing that is trained on was unknown at the cut, nothing that is judged lies before it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.base.clock import DAY_US, HOUR_US
from holdfast.base.errors import HoldfastError
from holdfast.training.split import ROWS_FEWEST, split_in_time


@settings(max_examples=200, deadline=None)
@given(
    steps=st.lists(st.sampled_from([0, 1, 2, 50]), min_size=0, max_size=300),
    delay=st.integers(0, 20),
    holdout=st.none() | st.integers(0, 400),
)
def test_parts_never_overlap_and_labels_were_known(steps: list[int], delay: int, holdout: int | None) -> None:
    times = np.cumsum(np.array(steps, dtype=np.int64))
    available = times + delay
    try:
        split = split_in_time(times, available, holdout)
    except HoldfastError:
        return
    assert min(split.train.sum(), split.holdout.sum()) >= ROWS_FEWEST
    assert not (split.train & split.holdout).any()
    assert available[split.train].max() <= split.cut_at < times[split.holdout].min()
    left_out = ~(split.train | split.holdout)
    assert (available[left_out] > split.cut_at).all()
    if holdout is not None:
        assert times[split.holdout].min() > times[-1] - holdout


def test_rows_of_one_instant_stay_together() -> None:
    times = np.repeat(np.arange(10) * HOUR_US, 30)
    split = split_in_time(times, times, None)
    assert (split.train.sum(), split.holdout.sum()) == (240, 60)
    assert split_in_time(times, times, 3 * HOUR_US).holdout.sum() == 90


@pytest.mark.parametrize("holdout", [None, DAY_US, 400 * DAY_US])
def test_too_few_rows_say_how_many_there_are(holdout: int | None) -> None:
    times = np.arange(50) * DAY_US
    with pytest.raises(HoldfastError, match=r"rows are left to (train|evaluate) on .* 50 labelled rows"):
        split_in_time(times, times, holdout)
    with pytest.raises(HoldfastError, match="0 rows are left"):
        split_in_time(times[:0], times[:0], holdout)
