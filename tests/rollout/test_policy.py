"""Rollout policy: the rules one by one, and its error rates by seeded simulation of whole rollouts."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest

from holdfast.base.clock import DAY_US, HOUR_US
from holdfast.rollout.evidence import block_length
from holdfast.rollout.policy import decide, variants_of
from holdfast.rollout.records import (
    Evidence,
    PairedStatistics,
    Rollout,
    RolloutPolicy,
    StageStatistics,
    Variant,
    VariantStatistics,
    Verdict,
)

SHADOW = RolloutPolicy("shadow_then_switch", shadow_us=7 * DAY_US, give_up_us=28 * DAY_US)
CANARY = RolloutPolicy("canary", steps=(5, 25, 100), hold_us=HOUR_US, give_up_us=DAY_US)


def rollout(policy: RolloutPolicy, **changes: Any) -> Rollout:
    state = "shadow" if policy.strategy == "shadow_then_switch" else "canary"
    fields: dict[str, Any] = {"champion": 1, "step": 0, "stage_started_at": 0, "state": state, **changes}
    return Rollout(1, "bikes", "production", 2, policy=policy, started_at=0, stages=(0,), **fields)


def statistics(
    version: int, losses: Any = (), errors: int = 0, requests: int | None = None
) -> VariantStatistics:
    values = np.asarray(losses, dtype=np.float64)
    count = values.size if requests is None else requests
    return VariantStatistics(
        version,
        requests=count,
        errors=errors,
        rows=count,
        labelled=values.size,
        loss_sum=float(values.sum()),
        loss_sum_of_squares=float((values**2).sum()),
    )


def paired(difference: Any, champion_loss: float = 10.0, hours_per_block: int = 5) -> Evidence:
    """Evidence of one pair an hour since 0, looked at right after the last."""
    values = np.asarray(difference, dtype=np.float64)
    block = np.arange(values.size) // hours_per_block
    blocks = tuple(
        (int(key), float(values[block == key].sum()), float((block == key).sum())) for key in np.unique(block)
    )
    pairs = PairedStatistics(
        values.size, float(values.sum()), float((values**2).sum()), champion_loss * values.size, blocks
    )
    rows = statistics(1, requests=values.size)
    return Evidence(0, values.size * HOUR_US, "mae", rows, msgspec.structs.replace(rows, version=2), pairs)


def canary(champion: VariantStatistics, candidate: VariantStatistics, now_at: int = 2 * HOUR_US) -> Evidence:
    return Evidence(0, now_at, "log_loss", champion, candidate)


def test_a_first_version_and_a_direct_rollout_promote_at_once() -> None:
    nothing = canary(statistics(1), statistics(2), 0)
    assert decide(SHADOW, rollout(SHADOW, champion=None), nothing).action == "promote"
    direct = RolloutPolicy("direct")
    assert decide(direct, rollout(direct), nothing).action == "promote"
    assert decide(CANARY, rollout(CANARY, step=2), nothing).action == "promote"


def test_a_shadow_holds_until_its_time_has_passed() -> None:
    verdict = decide(SHADOW, rollout(SHADOW), paired(np.full(6 * 24, -5.0)))
    assert verdict.action == "hold"
    assert verdict.reason == "the shadow runs for 1d more"


@pytest.mark.parametrize(
    ("mean", "action"), [(-3.0, "promote"), (0.0, "promote"), (0.5, "hold"), (3.0, "roll back")]
)
def test_a_shadow_is_judged_by_its_margin(mean: float, action: str) -> None:
    noise = np.random.default_rng(1).normal(0, 1.0, 7 * 24)
    verdict = decide(SHADOW, rollout(SHADOW), paired(mean + noise - noise.mean()))
    assert verdict.action == action
    assert verdict.estimate == pytest.approx(mean / 10)
    assert verdict.interval is not None and verdict.interval[0] < mean / 10 < verdict.interval[1]


def test_the_reason_is_a_sentence_with_numbers() -> None:
    noise = np.random.default_rng(1).normal(0, 1.0, 7 * 24)
    verdict = decide(SHADOW, rollout(SHADOW), paired(-3 + noise - noise.mean()))
    assert verdict.reason.startswith("the mae of version 2 is 30.0% lower than that of version 1 (between ")
    assert "168 labelled rows" in verdict.reason and verdict.reason.endswith("up to 5.0% higher is allowed")


def test_what_cannot_be_said_is_held_then_given_up_with_the_detectable_effect() -> None:
    noise = np.random.default_rng(2).normal(0, 20.0, 29 * 24)
    noise -= noise.mean()
    held = decide(SHADOW, rollout(SHADOW), paired(noise[: 8 * 24]))
    assert (held.action, held.reason[:14]) == ("hold", "inconclusive: ")
    assert held.minimum_detectable_effect is not None and held.minimum_detectable_effect > 0.3
    given_up = decide(SHADOW, rollout(SHADOW), paired(noise))
    assert given_up.action == "give up" and given_up.reason.startswith("after 28d inconclusive")
    for_ever = msgspec.structs.replace(SHADOW, give_up_us=None)
    assert decide(for_ever, rollout(for_ever), paired(noise)).action == "hold"


def test_too_few_pairs_are_never_enough() -> None:
    thin = msgspec.structs.replace(paired(np.full(90, -5.0)), now_at=8 * DAY_US)
    verdict = decide(SHADOW, rollout(SHADOW), thin)
    assert verdict.action == "hold" and "90 labelled pairs of the 100" in verdict.reason


def test_pairs_of_one_moment_are_not_independent_evidence() -> None:
    burst = msgspec.structs.replace(paired(np.full(500, -5.0), hours_per_block=500), now_at=8 * DAY_US)
    verdict = decide(SHADOW, rollout(SHADOW), burst)
    assert verdict.action == "hold" and "too close together in time" in verdict.reason


def test_a_failing_candidate_is_rolled_back_at_once() -> None:
    evidence = canary(
        statistics(1, errors=19, requests=1900), statistics(2, errors=15, requests=100), HOUR_US // 10
    )
    verdict = decide(CANARY, rollout(CANARY), evidence)
    assert verdict.action == "roll back"
    assert verdict.reason.startswith("version 2 failed 15.00% of 100 requests, version 1 beside it 1.00%")
    tolerant = msgspec.structs.replace(CANARY, error_margin=0.2)
    assert decide(tolerant, rollout(tolerant), evidence).action == "hold"


def test_errors_of_earlier_steps_count() -> None:
    step = StageStatistics(statistics(1, errors=4, requests=950), statistics(2, errors=5, requests=50))
    now = Evidence(
        0,
        1,
        "log_loss",
        statistics(1, errors=4, requests=750),
        statistics(2, errors=14, requests=250),
        earlier=(step,),
    )
    assert decide(CANARY, rollout(CANARY, step=1), now).action == "roll back"


def test_a_shadow_that_fails_is_rolled_back() -> None:
    evidence = msgspec.structs.replace(
        paired(np.zeros(24)),
        champion=statistics(1, errors=0, requests=200),
        candidate=statistics(2, errors=30, requests=200),
    )
    assert decide(SHADOW, rollout(SHADOW), evidence).action == "roll back"


def test_a_canary_step_needs_its_time_and_its_labels() -> None:
    rng = np.random.default_rng(3)
    enough = canary(statistics(1, rng.gamma(2, 1, 3000)), statistics(2, rng.gamma(2, 1, 150)))
    assert decide(CANARY, rollout(CANARY), enough).action == "advance"
    early = msgspec.structs.replace(enough, now_at=HOUR_US // 2)
    assert decide(CANARY, rollout(CANARY), early).reason == "the step of 5% is held for 30m more"
    few = canary(statistics(1, rng.gamma(2, 1, 3000)), statistics(2, rng.gamma(2, 1, 60)))
    assert "60 labelled rows of the 100" in decide(CANARY, rollout(CANARY), few).reason


def test_labels_of_earlier_steps_count_for_the_next() -> None:
    rng = np.random.default_rng(4)
    step = StageStatistics(statistics(1, rng.gamma(2, 1, 5000)), statistics(2, rng.gamma(2, 0.7, 400)))
    now = Evidence(0, 2 * HOUR_US, "mae", statistics(1), statistics(2), earlier=(step,))
    verdict = decide(CANARY, rollout(CANARY, step=1), now)
    assert verdict.action == "promote" and verdict.rows == 400


def test_a_worse_candidate_is_rolled_back_before_its_hold_is_over() -> None:
    rng = np.random.default_rng(5)
    evidence = canary(statistics(1, rng.gamma(2, 1, 3000)), statistics(2, rng.gamma(2, 2, 200)), 60)
    assert decide(CANARY, rollout(CANARY), evidence).action == "roll back"


def test_the_margin_of_a_root_is_a_margin_of_the_root() -> None:
    """Squared errors that are 21% larger are a root that is 10% larger."""
    noise = np.random.default_rng(6).normal(0, 0.5, 14 * 24)
    evidence = msgspec.structs.replace(paired(2.1 + noise - noise.mean()), metric="rmse")
    assert decide(SHADOW, rollout(SHADOW), evidence).estimate == pytest.approx(0.1)


def test_a_champion_without_any_loss_can_only_be_matched() -> None:
    assert decide(SHADOW, rollout(SHADOW), paired(np.zeros(170), 0.0)).action == "promote"
    assert decide(SHADOW, rollout(SHADOW), paired(np.full(170, 0.1), 0.0)).action == "roll back"


def test_variants_follow_the_state() -> None:
    assert variants_of(rollout(SHADOW)) == (Variant(1, "champion", 100), Variant(2, "shadow", 0))
    assert variants_of(rollout(CANARY, step=1)) == (Variant(1, "champion", 75), Variant(2, "candidate", 25))
    assert variants_of(rollout(CANARY, state="promoted")) == (Variant(2, "champion", 100),)
    assert variants_of(rollout(CANARY, state="rolled back")) == (Variant(1, "champion", 100),)
    assert variants_of(rollout(CANARY, champion=None)) == (Variant(2, "champion", 100),)


def run_canary(
    rng: np.random.Generator, exponent: float = 1.0, errors: tuple[float, float] = (0.01, 0.01)
) -> Verdict:
    """A whole canary on rare, skewed losses, looked at after each of 40 hours of 300 requests."""
    policy = msgspec.structs.replace(
        CANARY, steps=(10, 50, 100), hold_us=3 * HOUR_US, give_up_us=40 * HOUR_US
    )
    current = rollout(policy)
    earlier: tuple[StageStatistics, ...] = ()
    losses: list[list[Any]] = [[], []]
    failed = [0, 0]
    for hour in range(1, 41):
        to_candidate = rng.random(300) < policy.steps[current.step] / 100
        truth = np.clip(rng.beta(0.3, 6, 300), 1e-4, 1 - 1e-4)
        said = np.where(to_candidate, truth**exponent, truth)
        loss = -np.log(np.where(rng.random(300) < truth, said, 1 - said))
        for side in (0, 1):
            mine = to_candidate == bool(side)
            losses[side].append(loss[mine])
            failed[side] += int(rng.binomial(mine.sum(), errors[side]))
        sides = [statistics(side + 1, np.concatenate(losses[side]), failed[side]) for side in (0, 1)]
        evidence = Evidence(
            current.stage_started_at, hour * HOUR_US, "log_loss", sides[0], sides[1], earlier=earlier
        )
        verdict = decide(policy, current, evidence)
        if verdict.action == "advance":
            earlier = (*earlier, StageStatistics(*sides))
            losses, failed = [[], []], [0, 0]
            current = msgspec.structs.replace(current, step=current.step + 1, stage_started_at=hour * HOUR_US)
        elif verdict.action != "hold":
            return verdict
    return verdict


def test_a_canary_that_is_no_worse_is_rarely_rolled_back() -> None:
    rng = np.random.default_rng(7)
    outcomes = Counter(run_canary(rng).action for _ in range(200))
    assert outcomes["roll back"] <= 0.05 * 200
    assert outcomes["hold"] == 0


def test_a_bad_canary_is_caught() -> None:
    rng = np.random.default_rng(8)
    assert Counter(run_canary(rng, exponent=0.4).action for _ in range(20)) == {"roll back": 20}
    assert Counter(run_canary(rng, errors=(0.01, 0.06)).action for _ in range(20)) == {"roll back": 20}


def run_shadow(rng: np.random.Generator, change: float) -> str:
    """A shadow with one pair an hour whose differences depend on the hours before, looked at daily."""
    hours = 28 * 24
    steady = rng.normal(size=hours)
    for hour in range(1, hours):
        steady[hour] = 0.7 * steady[hour - 1] + (1 - 0.49) ** 0.5 * steady[hour]
    season = 1 + 0.8 * np.sin(np.arange(hours) * 2 * np.pi / 24)
    difference = 10 * season * (change + 0.35 * steady)
    length = block_length(SHADOW.shadow_us) / HOUR_US
    for day in range(7, 29):
        evidence = paired(difference[: day * 24], hours_per_block=round(length))
        action = decide(SHADOW, rollout(SHADOW), evidence).action
        if action != "hold":
            return action
    return "hold"


def test_dependence_between_hours_does_not_fool_a_shadow() -> None:
    rng = np.random.default_rng(9)
    at_the_margin = Counter(run_shadow(rng, SHADOW.margin) for _ in range(100))
    assert at_the_margin["promote"] + at_the_margin["roll back"] <= 6
    assert Counter(run_shadow(rng, -0.3) for _ in range(20)) == {"promote": 20}
    assert Counter(run_shadow(rng, 0.4) for _ in range(20)) == {"roll back": 20}
