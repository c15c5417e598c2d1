"""What the loop looks at in the prediction log, followed by cursor instead of read whole at every look.

Of each deployment it keeps the rows of the open rollout, the columns that evidence is made of, and when the labels
since the last training became known. Nothing of it is stored: after a restart the log is read once from its start.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from holdfast.base.clock import Micros
from holdfast.rollout.records import Rollout
from holdfast.serving.records import DeploymentKey

if TYPE_CHECKING:
    import polars as pl

    from holdfast.serving.log import PredictionLog

_EVIDENCE = (
    "prediction_id",
    "request_id",
    "at",
    "version",
    "shadow",
    "propensity",
    "latency_us",
    "output",
    "error",
)


@dataclass
class _Followed:
    """One deployment, read up to `cursor`: the rows of a rollout, and labels. None is an empty table."""

    cursor: dict[str, int] = field(default_factory=dict)
    rollout: int | None = None
    rows: pl.DataFrame | None = None
    labels: pl.DataFrame | None = None


class LogFollower:
    """Follows the logs of all deployments for one controller."""

    def __init__(self, log: PredictionLog) -> None:
        self._log = log
        self._followed: dict[DeploymentKey, _Followed] = {}

    def follow(self, key: DeploymentKey, rollout: Rollout | None, last_trained_at: Micros) -> None:
        """Takes in what is new, and lets go what neither the rollout nor the next training asks for.

        Rows of a rollout come after its start and labels after their rows, so nothing read earlier is missed.
        """
        known = self._followed.setdefault(key, _Followed())
        number = rollout.number if rollout else None
        if known.rollout != number:
            known.rollout, known.rows = number, None
        batch = self._log.read_since(key, known.cursor)
        known.cursor = batch.cursor
        if rollout is not None and batch.predictions.height:
            rows = batch.predictions.select(_EVIDENCE)
            known.rows = _grown(known.rows, rows.filter(rows["at"] >= rollout.started_at))
        if batch.labels.height:
            known.labels = _grown(known.labels, batch.labels)
        if known.labels is not None:
            after = min(last_trained_at, rollout.started_at) if rollout else last_trained_at
            known.labels = known.labels.filter(known.labels["known_at"] > after)

    def evidence(self, key: DeploymentKey) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Rows of the open rollout and the labels they may have, as the log holds them: repetitions included."""
        from holdfast.serving.log_frames import empty_labels, empty_predictions

        known = self._followed[key]
        rows, labels = known.rows, known.labels
        return (
            empty_predictions().select(_EVIDENCE) if rows is None else rows,
            empty_labels() if labels is None else labels,
        )

    def labelled_since(self, key: DeploymentKey, since: Micros, now: Micros) -> int:
        """How many predictions got a label in (since, now]."""
        labels = self._followed[key].labels
        if labels is None:
            return 0
        known_at = labels["known_at"]
        return labels.filter((known_at > since) & (known_at <= now))["prediction_id"].n_unique()


def _grown(before: pl.DataFrame | None, new: pl.DataFrame) -> pl.DataFrame:
    return new if before is None else before.vstack(new).rechunk()
