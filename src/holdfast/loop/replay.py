"""The log scored again by one version: a narrow copy of the log, grown by what is new, compared day by day.

Imports polars and numpy, which the server loads when someone first asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from holdfast.base.clock import DAY_US, Micros
from holdfast.loop.errors import NotReplayableError
from holdfast.loop.records import DayWithout, WithoutRetraining
from holdfast.registry.formats.predictor import Predictor
from holdfast.registry.records import ModelVersion, Signature, SignatureColumn
from holdfast.rollout.evidence import loss_of
from holdfast.serving.log import DeploymentKey, PredictionLog
from holdfast.statistics.intervals import block_bootstrap_ratio
from holdfast.statistics.metrics import row_losses

# Losses of neighbouring days depend on each other through weather and season, and both series change at each
# retraining; a fortnight spans most of that. Short histories get weeks, so that there are blocks to draw from.
_BLOCK_DAYS, _SHORT_BLOCK_DAYS, _BLOCKS_WANTED = 14, 7, 10
_SEED = 20_110_701

Matrix = npt.NDArray[np.float64]


class Replay:
    """One deployment's log with the answers of one version beside those that were served.

    Args:
        signature_of: the signature of any version of the model, which names the columns that it logged.
    """

    def __init__(
        self,
        version: ModelVersion,
        predictor: Predictor,
        environment: str,
        signature_of: Callable[[int], Signature],
    ) -> None:
        self._version = version
        self._predictor = predictor
        self._environment = environment
        self._signature_of = signature_of
        self._metric = loss_of(None, version.task)
        self._cursor: dict[str, int] = {}
        self._rows: pl.DataFrame | None = None
        self._labels: pl.DataFrame | None = None
        self._losses: pl.DataFrame | None = None

    def follow(self, log: PredictionLog, key: DeploymentKey) -> None:
        """Takes in what is new in the log.

        Raises:
            NotReplayableError: an answered row lacks a column of the version; nothing was taken in.
        """
        batch = log.read_since(key, self._cursor)
        if batch.cursor == self._cursor and self._rows is not None:
            return
        answered = batch.predictions.filter(~pl.col("shadow") & pl.col("error").is_null())
        # Of a repeated request the first answer counts.
        answered = answered.unique("prediction_id", keep="first", maintain_order=True)
        if self._rows is not None:
            answered = answered.join(self._rows, on="prediction_id", how="anti", maintain_order="left")
        scored = self._scored(answered)
        labels = batch.labels.select("prediction_id", "value", "known_at", "received_at")
        self._rows = scored if self._rows is None else self._rows.vstack(scored)
        self._labels = _latest(labels if self._labels is None else self._labels.vstack(labels))
        self._losses = None
        self._cursor = batch.cursor

    def compare(self, from_at: Micros | None) -> WithoutRetraining:
        """Both losses, day by day and over all, from a day on."""
        losses = self._joined()
        counted = losses if from_at is None else losses.filter(pl.col("day_at") >= from_at // DAY_US * DAY_US)
        days = counted.group_by("day_at").agg(pl.len().alias("rows"), pl.col("served", "never").sum())
        days = days.sort("day_at")
        found = WithoutRetraining(
            name=self._version.name,
            environment=self._environment,
            version=self._version.version,
            metric=self._metric,
            predictions_logged=0 if self._rows is None else self._rows.height,
            labels_joined=losses.height,
        )
        return _with_totals(found, days)

    def _joined(self) -> pl.DataFrame:
        """Every labelled row with its day and both losses."""
        if self._losses is None:
            assert self._rows is not None and self._labels is not None
            rows = self._rows.join(self._labels, on="prediction_id").sort("at", "prediction_id")
            label = rows["value"].to_numpy()
            self._losses = pl.DataFrame(
                {
                    "day_at": rows["at"] // DAY_US * DAY_US,
                    **{
                        name: _losses(self._metric, label, rows[name].to_numpy())
                        for name in ("served", "never")
                    },
                }
            )
        return self._losses

    def _scored(self, answered: pl.DataFrame) -> pl.DataFrame:
        """Id, time, the served output and the version's own, for each row."""
        narrow = answered.select("prediction_id", "at", served="output")
        never = np.empty(answered.height)
        versions = answered["version"].to_numpy()
        for number in answered["version"].unique(maintain_order=True):
            mine = versions == number
            matrix = self._matrix(answered.filter(pl.Series(mine)), number)
            never[mine] = self._predictor.predict(matrix)
        return narrow.with_columns(never=pl.Series(never, dtype=pl.Float64))

    def _matrix(self, rows: pl.DataFrame, number: int) -> Matrix:
        """The features that another version was served, in the order and the encoding of this one."""
        logged = {column.name: column for column in self._signature_of(number).columns}
        matrix = np.empty((rows.height, len(self._version.signature.columns)))
        for position, column in enumerate(self._version.signature.columns):
            if column.name not in logged or f"feature.{column.name}" not in rows.columns:
                raise NotReplayableError(
                    f"version {self._version.version} of {self._version.name} needs {column.name}, which"
                    f" version {number} was not served with",
                    hint="name a later version",
                )
            values = rows[f"feature.{column.name}"].cast(pl.Float64).fill_null(np.nan).to_numpy()
            matrix[:, position] = _encoded_anew(values, logged[column.name], column)
        return matrix


def _encoded_anew(values: Matrix, logged: SignatureColumn, wanted: SignatureColumn) -> Matrix:
    """Positions among one version's categories as positions among another's."""
    if logged.categories == wanted.categories or logged.categories is None or wanted.categories is None:
        return values
    positions = {category: float(place) for place, category in enumerate(wanted.categories)}
    table = np.array([positions.get(category, np.nan) for category in logged.categories] + [np.nan])
    return table[np.where(np.isnan(values), len(logged.categories), values).astype(np.intp)]


def _losses(metric: str, label: Matrix, output: Matrix) -> Sequence[float] | npt.NDArray[Any]:
    return row_losses(metric, label, output) if len(label) else []


def _latest(labels: pl.DataFrame) -> pl.DataFrame:
    """Of several labels of a prediction the one that became known last, of these the one that came last."""
    return labels.sort("known_at", "received_at", maintain_order=True).unique(
        "prediction_id", keep="last", maintain_order=True
    )


def _with_totals(found: WithoutRetraining, days: pl.DataFrame) -> WithoutRetraining:
    rows, served, never = (days[name].to_numpy() for name in ("rows", "served", "never"))
    count = int(rows.sum())
    if not count:
        return found
    by_day = tuple(
        DayWithout(int(day), int(n), float(one / n), float(other / n))
        for day, n, one, other in zip(days["day_at"], rows, served, never, strict=True)
    )
    block, interval = _interval(served, never)
    return msgspec.structs.replace(
        found,
        days=by_day,
        rows=count,
        loop=float(served.sum() / count),
        never=float(never.sum() / count),
        ratio=float(served.sum() / never.sum()) if never.sum() else None,
        ratio_ci95=interval,
        block_days=block,
    )


def _interval(served: Matrix, never: Matrix) -> tuple[int, tuple[float, float] | None]:
    """The block length in days and the interval of the ratio of sums; none where two blocks do not fit."""
    block = _BLOCK_DAYS if served.size >= _BLOCK_DAYS * _BLOCKS_WANTED else _SHORT_BLOCK_DAYS
    if served.size < 2 * block or never.sum() <= 0:
        return block, None
    # The same log gives the same interval, whoever asks and however often.
    rng = np.random.default_rng(_SEED)
    found = block_bootstrap_ratio(served, never, block_length=block, rng=rng)
    return block, (found.lower, found.upper)
