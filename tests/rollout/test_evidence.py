"""Evidence from the log against sums made row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from holdfast.base.clock import DAY_US, HOUR_US
from holdfast.rollout.evidence import block_length, gather, loss_of
from holdfast.rollout.records import Rollout, RolloutPolicy

START = 10 * DAY_US
CANARY = RolloutPolicy("canary", steps=(10, 50))
SHADOW = RolloutPolicy("shadow_then_switch", shadow_us=2 * DAY_US)


def prediction(
    number: int, version: int, at: int, output: float | None = 1.0, **changes: Any
) -> dict[str, Any]:
    return {
        "prediction_id": f"p_r{number}.0",
        "request_id": f"r{number}",
        "at": at,
        "version": version,
        "shadow": False,
        "propensity": 0.9 if version == 1 else 0.1,
        "latency_us": 100,
        "output": output,
        "error": None,
        **changes,
    }


def predictions(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema_overrides={"output": pl.Float64, "error": pl.String})


def labels(*rows: tuple[int, float, int]) -> pl.DataFrame:
    return pl.DataFrame(
        [(f"p_r{number}.0", float(value), known_at) for number, value, known_at in rows],
        schema={"prediction_id": pl.String, "value": pl.Float64, "known_at": pl.Int64},
        orient="row",
    )


def rollout(policy: RolloutPolicy, state: Any, step: int = 0) -> Rollout:
    return Rollout(1, "bikes", "production", 2, 1, policy, state, step, START, START, stages=(START,))


def test_a_canary_counts_each_version_of_its_step() -> None:
    log = predictions(
        prediction(1, 1, START + 1, 3.0),
        prediction(2, 1, START + 2, 5.0),
        prediction(3, 2, START + 3, 4.0),
        prediction(4, 2, START + 4, None, error="boom"),
        prediction(5, 1, START - 1, 9.0),
        prediction(6, 1, START + 9 * DAY_US, 9.0),
        prediction(7, 3, START + 5, 9.0),
    )
    known = labels((1, 1.0, START + 10), (3, 1.0, START + 10), (2, 0.0, START + 99), (4, 1.0, START + 10))
    evidence = gather(log, known, rollout(CANARY, "canary"), "mae", "regression", START + 50)
    champion, candidate = evidence.champion, evidence.candidate
    assert (champion.requests, champion.labelled, champion.loss_sum) == (2, 1, 2.0)
    assert (candidate.requests, candidate.errors, candidate.rows, candidate.labelled) == (2, 1, 2, 1)
    assert (candidate.loss_sum, candidate.loss_sum_of_squares, candidate.prediction_sum) == (3.0, 9.0, 4.0)
    assert evidence.paired is None and evidence.metric == "mae"


def test_rows_belong_to_the_step_of_their_propensity() -> None:
    log = predictions(
        prediction(1, 1, START + 1, propensity=1.0),
        prediction(2, 1, START + 2),
        prediction(3, 2, START + 3),
        prediction(4, 1, START + 4, propensity=0.5),
        prediction(5, 2, START + 5, propensity=0.5),
        prediction(6, 2, START + 6, propensity=0.5),
    )
    known = labels(*((number, 0.0, START + 7) for number in range(1, 7)))
    evidence = gather(log, known, rollout(CANARY, "canary", step=1), "mae", "regression", START + 50)
    assert (evidence.champion.labelled, evidence.candidate.labelled) == (1, 2)
    (first,) = evidence.earlier
    assert (first.champion.labelled, first.candidate.labelled) == (1, 1)


def test_the_latest_known_label_counts_and_a_repeated_request_once() -> None:
    log = predictions(prediction(1, 2, START + 1, 4.0), prediction(1, 2, START + 1, 4.0))
    known = labels((1, 1.0, START + 10), (1, 2.0, START + 20), (1, 3.0, START + 30))
    evidence = gather(log, known, rollout(CANARY, "canary"), "mae", "regression", START + 25)
    assert (evidence.candidate.requests, evidence.candidate.rows, evidence.candidate.loss_sum) == (1, 1, 2.0)


def test_a_shadow_pairs_the_answers_to_one_prediction() -> None:
    rng = np.random.default_rng(1)
    rows, known, expected = [], [], {}
    length = block_length(SHADOW.shadow_us)
    for number in range(200):
        at, (mine, other, truth) = START + number * HOUR_US // 3, rng.normal(10, 3, 3)
        rows.append(prediction(number, 1, at, mine, propensity=1.0))
        if number % 7:
            rows.append(prediction(number, 2, at, other, shadow=True, role="shadow", propensity=1.0))
        if number % 5:
            known.append((number, truth, at + 1))
        if number % 7 and number % 5:
            block = (at - START) // length
            total, count = expected.get(block, (0.0, 0))
            expected[block] = (total + abs(other - truth) - abs(mine - truth), count + 1)
    evidence = gather(
        predictions(*rows), labels(*known), rollout(SHADOW, "shadow"), "mae", "regression", START + 9 * DAY_US
    )
    paired = evidence.paired
    assert paired is not None
    assert paired.pairs == sum(count for _, count in expected.values())
    assert paired.difference_sum == pytest.approx(sum(total for total, _ in expected.values()))
    assert {block: (pytest.approx(total), count) for block, total, count in paired.blocks} == expected
    assert evidence.champion.requests == evidence.candidate.requests == sum(n % 7 > 0 for n in range(200))


def test_unusable_rows_have_no_loss() -> None:
    log = predictions(
        prediction(1, 2, START, 0.5), prediction(2, 2, START, float("nan")), prediction(3, 2, START, 1.5)
    )
    known = labels((1, 0.5, START), (2, 1.0, START), (3, 1.0, START))
    evidence = gather(log, known, rollout(CANARY, "canary"), None, "binary", START + 1)
    assert (evidence.candidate.labelled, evidence.metric) == (0, "log_loss")


def test_an_empty_log_gives_empty_evidence() -> None:
    log = predictions(prediction(1, 2, START)).clear()
    for state, policy in (("canary", CANARY), ("shadow", SHADOW)):
        evidence = gather(log, labels(), rollout(policy, state), "mae", "regression", START + 1)
        assert evidence.candidate.rows == evidence.champion.rows == 0


def test_a_metric_that_is_no_mean_of_rows_is_judged_by_its_task() -> None:
    assert loss_of("roc_auc", "binary") == "log_loss"
    assert loss_of("rmse", "regression") == "rmse"
    assert loss_of(None, "regression") == "mae"
