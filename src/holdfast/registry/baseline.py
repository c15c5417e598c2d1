"""The baseline of a version: what its production data is compared with, made from its training data.

It is stored as a MessagePack blob, named by `ModelVersion.profile`, the moment a version is registered; drift
checks therefore need no set-up. Importing this module is light; building a baseline loads polars.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.base.clock import DAY_US
from holdfast.profiles.records import Profile
from holdfast.registry.records import DailyLoss, Signature

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

PREDICTION = "prediction"

# What a version of a task is judged by where nothing was declared, and no baseline says: a mean of row losses.
DEFAULT_LOSS = {"regression": "mae", "binary": "log_loss"}
LARGEST_DAYS = 400


class LossBaseline(msgspec.Struct, frozen=True):
    """The held-out losses of a version, in the unit of `metric`'s row losses; smaller is better.

    `effective_rows` is how many independent rows they are worth. `days` are in order of time.
    """

    metric: str
    rows: int
    mean: float
    standard_deviation: float
    effective_rows: float
    days: tuple[DailyLoss, ...] = ()


class Baseline(msgspec.Struct, frozen=True):
    """What monitoring knows of a version from its training.

    `inputs` profiles the columns of the signature, raw as callers send them; `prediction` the held-out outputs in
    one column `prediction`. `input_days` are the last days of the training data, counted in the same cells and in
    order of time: how much they differ among themselves is what does not count as drift. `categories` names the
    categories of looked-up features, which serving logs by position.
    """

    inputs: Profile
    prediction: Profile
    losses: LossBaseline
    input_days: tuple[Profile, ...] = ()
    prediction_days: tuple[Profile, ...] = ()
    categories: dict[str, tuple[str, ...]] = {}


def build_baseline(
    signature: Signature,
    rows: pl.DataFrame,
    rows_at: npt.NDArray[np.int64],
    held_out_at: npt.NDArray[np.int64],
    outputs: npt.NDArray[np.float64],
    labels: npt.NDArray[np.float64],
    metric: str,
) -> Baseline:
    """The baseline of a version.

    Args:
        signature: its columns, all of which `rows` has, raw (strings as strings).
        rows: the training rows, and `rows_at` `(rows,)` their event times in microseconds.
        held_out_at: `(held out,)`, the times of the rows held out, with the `outputs` of the model that did not
            see them and their `labels`.
        metric: a metric that is a mean of row losses, such as mae or log_loss.

    Raises:
        ValueError: for a metric that is not made of rows, or labels that do not fit it.
    """
    import polars as pl

    from holdfast.profiles.build import build_profile
    from holdfast.statistics.metrics import row_losses

    frame = rows.select(column.name for column in signature.columns)
    numeric = [name for name, kind in frame.schema.items() if kind.is_numeric()]
    frame = frame.with_columns(pl.col(name).cast(pl.Float64).fill_nan(None) for name in numeric)
    outputs_frame = pl.DataFrame({PREDICTION: outputs})
    inputs, prediction = build_profile(frame), build_profile(outputs_frame)
    return Baseline(
        inputs=inputs,
        prediction=prediction,
        losses=_loss_baseline(held_out_at, row_losses(metric, labels, outputs), metric),
        input_days=_daily_profiles(frame, rows_at, inputs),
        prediction_days=_daily_profiles(outputs_frame, held_out_at, prediction),
        categories={
            column.name: column.categories
            for column in signature.columns
            if column.view is not None and column.categories is not None
        },
    )


def _daily_profiles(frame: pl.DataFrame, at: npt.NDArray[np.int64], pinned: Profile) -> tuple[Profile, ...]:
    """A profile of each day that has rows, the last 400 of them."""
    import polars as pl

    from holdfast.profiles.build import build_profile

    days = frame.with_columns(pl.Series("_day", at // DAY_US)).partition_by("_day", as_dict=True)
    last = sorted(days, key=lambda key: int(key[0]))[-LARGEST_DAYS:]
    return tuple(build_profile(days[day].drop("_day"), pinned=pinned) for day in last)


def _loss_baseline(at: npt.NDArray[np.int64], losses: npt.NDArray[np.float64], metric: str) -> LossBaseline:
    import numpy as np

    from holdfast.statistics.performance import summarize_losses

    order = np.argsort(at, kind="stable")
    ordered, days = losses[order], at[order] // DAY_US
    summary = summarize_losses(ordered, days)
    return LossBaseline(
        metric=metric,
        rows=summary.count,
        mean=summary.mean,
        standard_deviation=summary.standard_deviation,
        effective_rows=summary.effective_count,
        days=tuple(
            DailyLoss(int(day) * DAY_US, part.size, float(part.sum()), float(part @ part))
            for day in np.unique(days)
            for part in (ordered[days == day],)
        ),
    )
