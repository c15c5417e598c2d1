"""From the prediction log to the sums that a rollout is decided on."""

from __future__ import annotations

import numpy as np
import polars as pl

from holdfast.base.clock import DAY_US, MINUTE_US, Micros
from holdfast.registry.baseline import DEFAULT_LOSS
from holdfast.rollout.records import (
    Evidence,
    PairedStatistics,
    Rollout,
    StageStatistics,
    VariantStatistics,
)
from holdfast.statistics.metrics import METRICS, row_losses

# A confidence sequence speaks from 30 blocks on; a shadow is cut into a few more, since some may be empty.
BLOCKS_PER_SHADOW = 36


def loss_of(metric: str | None, task: str) -> str:
    """The metric whose row losses decide: the one asked for, or the task's own where that is not a mean of rows.

    >>> loss_of("rmse", "regression"), loss_of("roc_auc", "binary"), loss_of(None, "regression")
    ('rmse', 'log_loss', 'mae')
    """
    known = METRICS.get(metric or "")
    return known.name if known is not None and known.row_losses is not None else DEFAULT_LOSS[task]


def gather(
    predictions: pl.DataFrame,
    labels: pl.DataFrame,
    rollout: Rollout,
    metric: str | None,
    task: str,
    now: Micros,
) -> Evidence:
    """Evidence of a rollout from the log of its deployment (columns of `serving.log.PredictionLog`).

    Counts what was asked since the rollout began and up to `now`, with the labels known by then. A canary's rows
    belong to the step whose share their propensity tells, so that rows from before the traffic really moved are
    not mistaken for concurrent ones.
    """
    metric = loss_of(metric, task)
    rows = _scored(_rows(predictions, rollout, now), _latest(labels, now), metric, task)
    if rollout.state == "shadow":
        return _shadow_evidence(rows, rollout, metric, now)
    return _canary_evidence(rows, rollout, metric, now)


def block_length(policy_shadow_us: int) -> int:
    """Length of the blocks of time of paired evidence: as long as 36 of them fit, at most a day."""
    return min(DAY_US, max(MINUTE_US, policy_shadow_us // BLOCKS_PER_SHADOW))


def _rows(predictions: pl.DataFrame, rollout: Rollout, now: Micros) -> pl.DataFrame:
    """Rows of the two versions since the rollout began; of a repeated request only one."""
    columns = [
        "prediction_id",
        "request_id",
        "at",
        "version",
        "shadow",
        "propensity",
        "latency_us",
        "output",
        "error",
    ]
    return (
        predictions.lazy()
        .select(columns)
        .filter(
            pl.col("at").is_between(rollout.started_at, now)
            & pl.col("version").is_in([rollout.candidate, rollout.champion])
        )
        .unique(["prediction_id", "shadow"], keep="first", maintain_order=True)
        .collect()
    )


def _latest(labels: pl.DataFrame, now: Micros) -> pl.DataFrame:
    """The label of each prediction as it was known at `now`."""
    return (
        labels.lazy()
        .filter(pl.col("known_at") <= now)
        .sort("known_at", maintain_order=True)
        .unique("prediction_id", keep="last", maintain_order=True)
        .select("prediction_id", label="value")
        .collect()
    )


def _scored(rows: pl.DataFrame, labels: pl.DataFrame, metric: str, task: str) -> pl.DataFrame:
    """The rows with a column `loss`, null where there is no label or no usable output."""
    joined = rows.join(labels, on="prediction_id", how="left", maintain_order="left")
    usable = pl.col("label").is_finite() & pl.col("output").is_finite()
    if task == "binary":
        usable &= pl.col("label").is_in([0.0, 1.0]) & pl.col("output").is_between(0.0, 1.0)
    mask = joined.select(usable.fill_null(False)).to_series().to_numpy()
    losses = np.full(joined.height, np.nan)
    if mask.any():
        known = joined.filter(pl.Series(mask))
        losses[mask] = row_losses(metric, known["label"].to_numpy(), known["output"].to_numpy())
    return joined.with_columns(loss=pl.Series(losses).fill_nan(None))


def _statistics(rows: pl.DataFrame, version: int) -> VariantStatistics:
    totals = rows.select(
        requests=pl.col("request_id").n_unique(),
        errors=pl.col("request_id").filter(pl.col("error").is_not_null()).n_unique(),
        rows=pl.len(),
        labelled=pl.col("loss").count(),
        loss_sum=pl.col("loss").sum(),
        loss_sum_of_squares=(pl.col("loss") ** 2).sum(),
        latency_us_sum=pl.col("latency_us").sum().cast(pl.Float64),
        prediction_sum=pl.col("output").sum(),
        prediction_sum_of_squares=(pl.col("output") ** 2).sum(),
    )
    return VariantStatistics(version=version, **totals.row(0, named=True))


def _shadow_evidence(rows: pl.DataFrame, rollout: Rollout, metric: str, now: Micros) -> Evidence:
    champion = rows.filter((pl.col("version") == rollout.champion) & ~pl.col("shadow"))
    candidate = rows.filter((pl.col("version") == rollout.candidate) & pl.col("shadow"))
    both = champion.select("prediction_id", "at", "loss").join(
        candidate.select("prediction_id", candidate_loss="loss"), on="prediction_id", maintain_order="left"
    )
    return Evidence(
        rollout.stage_started_at,
        now,
        metric,
        # Only requests that both were asked are compared: before the shadow was loaded there are no others.
        _statistics(champion.join(candidate, on="prediction_id", how="semi"), rollout.champion or 0),
        _statistics(candidate.join(champion, on="prediction_id", how="semi"), rollout.candidate),
        _paired(both.drop_nulls(), rollout),
    )


def _paired(pairs: pl.DataFrame, rollout: Rollout) -> PairedStatistics:
    length = block_length(rollout.policy.shadow_us)
    compared = pairs.select(
        "loss",
        block=(pl.col("at") - rollout.stage_started_at) // length,
        difference=pl.col("candidate_loss") - pl.col("loss"),
    )
    blocks = compared.group_by("block").agg(pl.col("difference").sum(), count=pl.len()).sort("block")
    return PairedStatistics(
        pairs=compared.height,
        difference_sum=float(compared["difference"].sum()),
        difference_sum_of_squares=float((compared["difference"] ** 2).sum()),
        champion_loss_sum=float(compared["loss"].sum()),
        blocks=tuple((int(block), total, float(count)) for block, total, count in blocks.iter_rows()),
    )


def _canary_evidence(rows: pl.DataFrame, rollout: Rollout, metric: str, now: Micros) -> Evidence:
    share = (
        pl.when(pl.col("version") == rollout.candidate)
        .then(pl.col("propensity"))
        .otherwise(1 - pl.col("propensity"))
    )
    answered = rows.filter(~pl.col("shadow")).with_columns(share=(share * 100).round().cast(pl.Int64))
    steps = [
        StageStatistics(
            _statistics(stage.filter(pl.col("version") == rollout.champion), rollout.champion or 0),
            _statistics(stage.filter(pl.col("version") == rollout.candidate), rollout.candidate),
        )
        for percent in rollout.policy.steps[: rollout.step + 1]
        for stage in (answered.filter(pl.col("share") == percent),)
    ]
    present = (
        steps[-1]
        if steps
        else StageStatistics(VariantStatistics(rollout.champion or 0), VariantStatistics(rollout.candidate))
    )
    return Evidence(
        rollout.stage_started_at,
        now,
        metric,
        present.champion,
        present.candidate,
        earlier=tuple(steps[:-1]),
    )
