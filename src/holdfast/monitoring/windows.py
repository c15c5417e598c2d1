"""From the prediction log to windows: one a version and day, kept up to date by what is new in the log.

Only the profiles of the inputs grow by increments, because they are wide. Everything else of a day is computed
anew from a narrow copy of the log (ids, outputs, labels) whenever the day is touched: by rows, by labels that
come days later, or by labels that are corrected. Recomputing a day twice gives the same day, so a repeated
request or label cannot be counted twice.

Nothing of the narrow copy is persisted: it is the log. After a restart it is read again, and the days that were
touched since the stored cursor are computed from it whole, profiles included; see `Windows.resume`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from holdfast.base.clock import DAY_US, Micros
from holdfast.monitoring.records import LossSums, Window
from holdfast.profiles.algebra import merge
from holdfast.profiles.build import build_profile
from holdfast.profiles.records import Profile
from holdfast.serving.log_reader import LogBatch
from holdfast.statistics.metrics import BINARY, METRICS, row_losses

# A label that comes later than this after its prediction is no longer joined: the narrow copy must end somewhere.
LABEL_HORIZON_US = 120 * DAY_US

# Rejected requests reached no version.
NO_VERSION = 0

PREDICTION = "prediction"

WindowKey = tuple[int, Micros]


@dataclass(frozen=True)
class Pins:
    """What a version's windows are counted in: its baseline's cells, and the loss of its metric.

    `categories` names the categories of those looked-up features that are logged by position.
    """

    inputs: Profile | None = None
    prediction: Profile | None = None
    metric: str = ""
    categories: dict[str, tuple[str, ...]] = field(default_factory=dict)


class Windows:
    """The windows of one deployment.

    Args:
        pins: gives the pins of a version; asked once a version.
    """

    def __init__(self, pins: Callable[[int], Pins]) -> None:
        self._find_pins = pins
        self._pins: dict[int, Pins] = {}
        self._rows: pl.DataFrame | None = None
        self._labels: pl.DataFrame | None = None
        self._rejections: pl.DataFrame | None = None

    def take(self, new: LogBatch, known: Callable[[WindowKey], Window | None]) -> list[Window]:
        """Takes in what is new and returns the windows that changed. `known` gives a window as it was."""
        fresh, retried = self._unseen(_answered(new.predictions))
        touched = _keys(fresh) | _keys(retried) | self._take_back(retried)
        self._remember(pl.concat([fresh, retried], how="diagonal_relaxed"), new)
        touched |= self._keys_of_labels(new.labels)
        inputs = {key: self._input_profile(rows, key[0]) for key, rows in _by_window(fresh).items()}
        windows = [
            self._window(key, _merged(known(key), inputs.get(key)))
            for key in sorted(touched)
            if key[1] >= self._oldest()
        ]
        self._forget()
        return windows + self._rejected(_days(new.rejections))

    def resume(self, whole: LogBatch, new: LogBatch) -> list[Window]:
        """Starts from the whole log and returns the windows that `new`, its end, touches; each computed whole.

        Read the whole log first and then what is new since the stored cursor: rows that come in between are then
        only in `new`, where they do no harm. Afterwards the cursor is that of the whole log.
        """
        answered = _answered(whole.predictions)
        self._remember(answered, whole)
        touched = (_keys(_answered(new.predictions)) | self._keys_of_labels(new.labels)) & _keys(answered)
        rows = _by_window(answered)
        windows = [
            self._window(key, self._input_profile(rows[key], key[0]))
            for key in sorted(touched)
            if key[1] >= self._oldest()
        ]
        self._forget()
        return windows + self._rejected(_days(new.rejections) & _days(whole.rejections))

    def _unseen(self, answered: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Rows never seen, and answers to requests that had only failed so far; the rest are repetitions."""
        if self._rows is None or not answered.height:
            return answered, answered.clear()
        failed = self._rows.filter(pl.col("failed"))
        fresh = answered.join(self._rows, on="prediction_id", how="anti", maintain_order="left")
        retried = answered.filter(pl.col("error").is_null()).join(
            failed, on="prediction_id", how="semi", maintain_order="left"
        )
        return fresh, retried

    def _take_back(self, retried: pl.DataFrame) -> set[WindowKey]:
        """Forgets the failures that an answer has replaced, and says which windows had them."""
        if not retried.height or self._rows is None:
            return set()
        replaced = self._rows.join(retried, on="prediction_id", how="semi")
        self._rows = self._rows.join(retried, on="prediction_id", how="anti", maintain_order="left")
        return _keys(replaced)

    def _remember(self, answered: pl.DataFrame, new: LogBatch) -> None:
        labels = new.labels.select("prediction_id", "value", "known_at", "received_at")
        self._rows = _stacked(self._rows, _narrow(answered))
        self._labels = _latest(_stacked(self._labels, labels)) if new.labels.height else self._labels
        self._rejections = _stacked(self._rejections, new.rejections.select("code", day=_day()))

    def _oldest(self) -> Micros:
        """The first day for which labels are still joined."""
        newest = None if self._rows is None else self._rows["day"].max()
        return int(newest) - LABEL_HORIZON_US if isinstance(newest, int) else 0

    def _forget(self) -> None:
        """Drops the days that are too old, and what the log says of them."""
        oldest = self._oldest()
        if self._rows is None or not (self._rows["day"] < oldest).any():
            return
        gone = self._rows.filter(pl.col("day") < oldest)
        if self._labels is not None:
            self._labels = self._labels.join(gone, on="prediction_id", how="anti", maintain_order="left")
        self._rows = self._rows.filter(pl.col("day") >= oldest)

    def _keys_of_labels(self, labels: pl.DataFrame) -> set[WindowKey]:
        if self._rows is None or not labels.height:
            return set()
        return _keys(self._rows.join(labels, on="prediction_id", how="semi"))

    def _window(self, key: WindowKey, inputs: Profile | None) -> Window:
        version, day_at = key
        assert self._rows is not None
        rows = self._rows.filter((pl.col("day") == day_at) & (pl.col("version") == version))
        rows = rows.sort("at", "prediction_id")
        pins = self.pins(version)
        prediction = None
        if pins.prediction is not None:
            outputs = rows.select(pl.col("output").alias(PREDICTION)).drop_nulls()
            prediction = build_profile(outputs, pinned=pins.prediction)
        requests = rows.unique("request_id", keep="first", maintain_order=True)
        flags = requests["flags"].explode().drop_nulls().value_counts(sort=True)
        return Window(
            version=version,
            day_at=day_at,
            rows=rows.height,
            requests=requests.height,
            errors=int(requests["failed"].sum()),
            latency_us_sum=int(requests["latency_us"].sum()),
            flagged=dict(sorted(flags.iter_rows())),
            metric=pins.metric,
            losses=self._losses(rows, pins.metric),
            inputs=inputs,
            prediction=prediction,
        )

    def _losses(self, rows: pl.DataFrame, metric: str) -> LossSums:
        if not metric or self._labels is None:
            return LossSums()
        joined = rows.join(self._labels, on="prediction_id", maintain_order="left")
        joined = joined.filter(_usable(metric))
        if not joined.height:
            return LossSums()
        return _loss_sums(row_losses(metric, joined["value"].to_numpy(), joined["output"].to_numpy()))

    def _rejected(self, days: set[Micros]) -> list[Window]:
        windows = []
        for day_at in sorted(days):
            assert self._rejections is not None
            counts = self._rejections.filter(pl.col("day") == day_at)["code"].value_counts()
            windows.append(Window(NO_VERSION, day_at, rejected=dict(sorted(counts.iter_rows()))))
        return windows

    def _input_profile(self, rows: pl.DataFrame, version: int) -> Profile | None:
        pins = self.pins(version)
        if pins.inputs is None:
            return None
        return build_profile(_input_columns(rows, pins.inputs, pins.categories), pinned=pins.inputs)

    def pins(self, version: int) -> Pins:
        """The pins of a version, remembered."""
        if version not in self._pins:
            self._pins[version] = self._find_pins(version)
        return self._pins[version]


def _day() -> pl.Expr:
    return pl.col("at") // DAY_US * DAY_US


def _answered(predictions: pl.DataFrame) -> pl.DataFrame:
    """What callers got, or failed to get: no shadows, each prediction once."""
    return (
        predictions.filter(~pl.col("shadow"))
        .unique("prediction_id", keep="first", maintain_order=True)
        .with_columns(day=_day())
    )


def _narrow(answered: pl.DataFrame) -> pl.DataFrame:
    return answered.select(
        "prediction_id",
        "request_id",
        "at",
        "day",
        "version",
        "output",
        "latency_us",
        "flags",
        failed=pl.col("error").is_not_null(),
    )


def _usable(metric: str) -> pl.Expr:
    """Which rows have a loss: a label that does not fit the task says nothing about quality."""
    usable = pl.col("output").is_finite() & pl.col("value").is_finite()
    if BINARY in METRICS[metric].tasks:
        usable &= pl.col("value").is_in([0.0, 1.0]) & pl.col("output").is_between(0.0, 1.0)
    return usable


def _stacked(before: pl.DataFrame | None, new: pl.DataFrame) -> pl.DataFrame:
    return new if before is None else before.vstack(new) if new.height else before


def _latest(labels: pl.DataFrame) -> pl.DataFrame:
    """Of several labels of a prediction the one that became known last, of these the one that came last."""
    return labels.sort("known_at", "received_at", maintain_order=True).unique(
        "prediction_id", keep="last", maintain_order=True
    )


def _keys(rows: pl.DataFrame) -> set[WindowKey]:
    return set(rows.select("version", "day").unique().iter_rows())


def _days(rejections: pl.DataFrame) -> set[Micros]:
    return set(rejections.select(_day()).to_series().to_list())


def _by_window(rows: pl.DataFrame) -> dict[WindowKey, pl.DataFrame]:
    parts: dict[Any, pl.DataFrame] = rows.partition_by("version", "day", as_dict=True)
    return parts


def _merged(known: Window | None, new: Profile | None) -> Profile | None:
    before = known.inputs if known else None
    if before is None or new is None:
        return before or new
    return merge(before, new)


def _input_columns(
    rows: pl.DataFrame, pinned: Profile, categories: dict[str, tuple[str, ...]]
) -> pl.DataFrame:
    """The baseline's columns as they were served: the raw input where the caller sent it, else the feature."""
    numeric = {column.name for column in pinned.numeric}
    return rows.select(
        _input_column(rows, name, name in numeric, categories.get(name)) for name in pinned.names
    )


def _input_column(
    rows: pl.DataFrame, name: str, numeric: bool, categories: tuple[str, ...] | None
) -> pl.Expr:
    if f"input.{name}" in rows.columns:
        return pl.col(f"input.{name}").alias(name)
    if f"feature.{name}" not in rows.columns:
        return pl.lit(None, dtype=pl.Float64 if numeric else pl.String).alias(name)
    feature = pl.col(f"feature.{name}")
    if numeric or categories is None:
        return feature.alias(name)
    positions = list(range(len(categories)))
    return (
        feature.cast(pl.Int64)
        .replace_strict(positions, list(categories), default=None, return_dtype=pl.String)
        .alias(name)
    )


def _loss_sums(losses: np.ndarray[Any, np.dtype[np.float64]]) -> LossSums:
    return LossSums(
        count=losses.size,
        sum=float(losses.sum()),
        sum_of_squares=float(losses @ losses),
        sum_of_products=float(losses[1:] @ losses[:-1]),
        first=float(losses[0]),
        last=float(losses[-1]),
    )
