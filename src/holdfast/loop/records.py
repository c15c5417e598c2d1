"""The nouns of the loop: retrain policy, loop spec, decision."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from holdfast.base.clock import DAY_US, Micros
from holdfast.base.context import ActorKind
from holdfast.monitoring.records import MonitorPolicy
from holdfast.rollout.records import RolloutPolicy
from holdfast.training.records import ModelSpec

RetrainTrigger = Literal["drift", "performance"]
DecisionKind = Literal[
    "retrain",
    "reject",
    "deploy",
    "start rollout",
    "advance",
    "promote",
    "roll back",
    "give up",
    "freeze",
    "resume",
    "training failed",
]


class RetrainPolicy(msgspec.Struct, frozen=True):
    """When the loop trains again: every `every_us`, and on the named alerts, never within `cooldown_us`."""

    every_us: int | None = None
    on: tuple[RetrainTrigger, ...] = ()
    cooldown_us: int = 7 * DAY_US
    min_new_labels: int = 100


class LoopSpec(msgspec.Struct, frozen=True):
    """A whole production model as declared in one file: each part belongs to the domain that acts on it."""

    model: ModelSpec
    rollout: RolloutPolicy
    monitor: MonitorPolicy = MonitorPolicy()
    retrain: RetrainPolicy = RetrainPolicy()
    environment: str = "production"


class Decision(msgspec.Struct, frozen=True):
    """What was decided, by whom, by which rule, on which evidence, and the command that undoes it."""

    number: int
    model: str
    environment: str
    kind: DecisionKind
    subject: str
    rule: str
    reason: str
    evidence: dict[str, Any]
    reversal: str
    actor: str
    actor_kind: ActorKind
    decided_at: Micros
    applied_at: Micros | None = None

    @property
    def urn(self) -> str:
        return f"loop/decision/{self.number}"


class DeclareRequest(msgspec.Struct, frozen=True):
    """A declaration with its encoded source bundle (base64 in JSON); `active` puts the loop in charge."""

    name: str
    spec: LoopSpec
    bundle: bytes
    active: bool = False


class TrainRequest(msgspec.Struct, frozen=True):
    """Train a declared model on everything known now."""

    name: str
    reason: str = ""


class DeployRequest(msgspec.Struct, frozen=True):
    """Roll a version (the latest by default) out; `direct` skips shadow and canary.

    `trust` lets a version from outside be read that is stored as a pickle, which runs its writer's code.
    `challenger` never gives all the traffic at once: the version is tried beside the champion by the model's rollout
    policy, or as a shadow where that is `direct`.
    """

    name: str
    version: int | None = None
    direct: bool = False
    lift_quarantine: bool = False
    reason: str = ""
    trust: bool = False
    challenger: bool = False


class PromoteRequest(msgspec.Struct, frozen=True):
    """Promote the candidate of the open rollout."""

    name: str
    reason: str = ""


class AbortRequest(msgspec.Struct, frozen=True):
    """End the open rollout."""

    name: str
    reason: str = ""


class RollbackRequest(msgspec.Struct, frozen=True):
    """Put a warm version back; the last champion by default. `environment` must be the model's, where it is given."""

    name: str
    to: int | None = None
    reason: str = ""
    environment: str | None = None


class RollbackResult(msgspec.Struct, frozen=True):
    """What a rollback did: the version that left, the one that serves, and the decision that says so.

    `ended_candidate` is the candidate of a rollout that was under way and ended with it.
    """

    name: str
    from_version: int
    to_version: int
    revision: int
    decision: Decision
    ended_candidate: int | None = None


class ResumeRequest(msgspec.Struct, frozen=True):
    """Let the loop promote by itself again."""

    name: str
    reason: str = ""


class ListDecisionsRequest(msgspec.Struct, frozen=True):
    """The newest decisions."""

    model: str | None = None
    kind: str | None = None
    limit: int = 200


class GetDecisionRequest(msgspec.Struct, frozen=True):
    """A decision by its number."""

    number: int


class WithoutRetrainingRequest(msgspec.Struct, frozen=True):
    """A model in an environment; `version` is the one that stays (default: the first champion), `from_at` the
    first day that counts (default: all)."""

    name: str
    environment: str = "production"
    version: int | None = None
    from_at: Micros | None = None


class DayWithout(msgspec.Struct, frozen=True):
    """One UTC day: the labelled rows, and the mean loss of what was served and of what the version would have said."""

    day_at: Micros
    rows: int
    served: float
    never: float


class WithoutRetraining(msgspec.Struct, frozen=True):
    """The quality that was served beside that of one version left alone, over the same labelled rows.

    `loop` and `never` are means of `metric` over all rows, `ratio` is loop / never. `ratio_ci95` is its 95%
    interval by the moving-block bootstrap over days in blocks of `block_days`; None where there are too few days.
    `predictions_logged` and `labels_joined` count the whole log, whatever `from_at` says.
    """

    name: str
    environment: str
    version: int
    metric: str
    days: tuple[DayWithout, ...] = ()
    rows: int = 0
    loop: float | None = None
    never: float | None = None
    ratio: float | None = None
    ratio_ci95: tuple[float, float] | None = None
    block_days: int = 0
    predictions_logged: int = 0
    labels_joined: int = 0
