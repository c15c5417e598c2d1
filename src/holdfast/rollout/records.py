"""The nouns of rollout: policy, variant, evidence, verdict, rollout."""

from __future__ import annotations

from typing import Literal

import msgspec

from holdfast.base.clock import Micros

Strategy = Literal["direct", "shadow_then_switch", "canary"]
RolloutState = Literal["shadow", "canary", "promoted", "rolled back", "aborted"]
VariantRole = Literal["champion", "candidate", "shadow"]


class RolloutPolicy(msgspec.Struct, frozen=True):
    """How a new version reaches production.

    `steps` are the candidate's percentages of traffic, each held for at least `hold_us`; `shadow_us` is how long
    a shadow runs. `margin` is the relative loss that still counts as no worse, `min_rows` the labelled pairs
    (shadow) or labelled rows a variant (canary) without which nothing is promoted. `give_up_us` ends a rollout
    that stays inconclusive.
    """

    strategy: Strategy
    steps: tuple[int, ...] = ()
    hold_us: int = 0
    shadow_us: int = 0
    metric: str | None = None
    margin: float = 0.05
    min_rows: int = 100
    error_margin: float = 0.01
    give_up_us: int | None = None


class Variant(msgspec.Struct, frozen=True):
    """A version and its share of traffic in percent (0 for a shadow)."""

    version: int
    role: VariantRole
    share: int


class VariantStatistics(msgspec.Struct, frozen=True):
    """Sums over what one variant answered in the present stage: enough for every test, and mergeable."""

    version: int
    requests: int = 0
    errors: int = 0
    rows: int = 0
    labelled: int = 0
    loss_sum: float = 0.0
    loss_sum_of_squares: float = 0.0
    latency_us_sum: float = 0.0
    prediction_sum: float = 0.0
    prediction_sum_of_squares: float = 0.0


class PairedStatistics(msgspec.Struct, frozen=True):
    """Sums over rows that champion and candidate both scored and whose label is known: loss(candidate − champion).

    `blocks` are (number of the block of time, sum of the differences, count of pairs): neighbouring rows depend
    on each other, blocks hardly do.
    """

    pairs: int = 0
    difference_sum: float = 0.0
    difference_sum_of_squares: float = 0.0
    champion_loss_sum: float = 0.0
    blocks: tuple[tuple[int, float, float], ...] = ()


class StageStatistics(msgspec.Struct, frozen=True):
    """Both variants in one stage that is over. Within a stage the shares are constant, so it is one stratum."""

    champion: VariantStatistics
    candidate: VariantStatistics


class Evidence(msgspec.Struct, frozen=True):
    """What a rollout's decision looks at: the time in the stage, both variants, and pairs where there are some.

    `earlier` are the canary steps before the present one: labels that come late still count where they belong.
    """

    stage_started_at: Micros
    now_at: Micros
    metric: str
    champion: VariantStatistics
    candidate: VariantStatistics
    paired: PairedStatistics | None = None
    earlier: tuple[StageStatistics, ...] = ()


class Verdict(msgspec.Struct, frozen=True):
    """`hold`, `advance` (next canary step), `promote`, `roll back` or `give up`, with the reason and interval."""

    action: Literal["hold", "advance", "promote", "roll back", "give up"]
    reason: str
    estimate: float | None = None
    interval: tuple[float, float] | None = None
    rows: int = 0
    minimum_detectable_effect: float | None = None


class Rollout(msgspec.Struct, frozen=True):
    """A candidate on its way to production.

    `step` is the position in `policy.steps` of the percentage that the candidate has now; `stages` are the times
    at which the stages so far began, the present one last.
    """

    number: int
    model: str
    environment: str
    candidate: int
    champion: int | None
    policy: RolloutPolicy
    state: RolloutState
    step: int
    started_at: Micros
    stage_started_at: Micros
    ended_at: Micros | None = None
    verdict: Verdict | None = None
    stages: tuple[Micros, ...] = ()

    @property
    def urn(self) -> str:
        return f"rollout/{self.number}"
