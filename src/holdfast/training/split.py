"""Splitting in time: what is held out lies after what is trained on, as production lies after training."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from holdfast.base.clock import Micros, format_duration, format_time
from holdfast.training.errors import TrainingDataError

ROWS_FEWEST = 20
_HOLDOUT_SHARE = 0.2

Rows = npt.NDArray[np.bool_]


class Split(NamedTuple):
    """Masks of shape (rows,) and the instant from which rows are held out."""

    train: Rows
    holdout: Rows
    cut_at: Micros


def split_in_time(
    times: npt.NDArray[np.int64], available: npt.NDArray[np.int64], holdout_us: int | None
) -> Split:
    """Holds out the last `holdout_us` of the rows, or the last fifth where it is None.

    `times` and `available` are µs of shape (rows,), `times` ascending. Rows of one instant stay together. Rows
    before the cut whose label was not known yet at the cut are in neither part: whoever had trained at that
    moment could not have used them.

    Raises:
        TrainingDataError: fewer than 20 rows would be on either side.
    """
    cut_at = _cut(times, holdout_us)
    split = Split(available <= cut_at, times > cut_at, cut_at)
    split.train[times > cut_at] = False
    for part, rows in (("train on", int(split.train.sum())), ("evaluate on", int(split.holdout.sum()))):
        if rows < ROWS_FEWEST:
            raise TrainingDataError(_message(part, rows, times, holdout_us), hint=_hint(holdout_us))
    return split


def _cut(times: npt.NDArray[np.int64], holdout_us: int | None) -> Micros:
    if not len(times):
        return 0
    if holdout_us is not None:
        return int(times[-1]) - holdout_us
    last_trained = max(0, int(np.ceil(len(times) * (1 - _HOLDOUT_SHARE))) - 1)
    return int(times[last_trained])


def _message(part: str, rows: int, times: npt.NDArray[np.int64], holdout_us: int | None) -> str:
    held_out = format_duration(holdout_us) if holdout_us is not None else "fifth of the rows"
    span = f" between {format_time(int(times[0]))} and {format_time(int(times[-1]))}" if len(times) else ""
    return (
        f"{rows} rows are left to {part} when the last {held_out} of {len(times)} labelled rows{span}"
        f" is held out; at least {ROWS_FEWEST} are needed"
    )


def _hint(holdout_us: int | None) -> str:
    if holdout_us is None:
        return "wait for more labelled rows, or declare a longer source"
    return "declare another holdout=, or wait for more labelled rows"
