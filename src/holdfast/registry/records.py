"""The nouns of the registry: model, model version, signature, gate, transition."""

from __future__ import annotations

from typing import Literal

import msgspec

from holdfast.base.clock import Micros
from holdfast.base.context import ActorKind

Task = Literal["regression", "binary"]
GateKind = Literal["at_most", "at_least", "no_worse_than_production"]
GateState = Literal["passed", "failed", "insufficient data"]
VersionStage = Literal["trained", "gated", "rejected", "approved", "staged", "live", "retired", "quarantined"]
ModelFormat = Literal["skops", "onnx", "lightgbm", "linear"]


class GateSpec(msgspec.Struct, frozen=True):
    """A condition that a version must meet before it may be deployed.

    `threshold` belongs to `at_most` and `at_least`; `margin` (relative, 0.02 is 2%) to
    `no_worse_than_production`. With `by` each slice of that column with at least `min_rows` rows is judged.
    """

    kind: GateKind
    metric: str
    threshold: float | None = None
    margin: float = 0.0
    by: str | None = None
    min_rows: int = 30

    def __str__(self) -> str:
        by = f" by {self.by}" if self.by else ""
        if self.kind == "no_worse_than_production":
            margin = f" (margin {self.margin:.1%})" if self.margin else ""
            return f"{self.metric} no worse than production{margin}{by}"
        return f"{self.metric} {'≤' if self.kind == 'at_most' else '≥'} {self.threshold:g}{by}"


class SliceResult(msgspec.Struct, frozen=True):
    """How one slice did; `value` is None where there were too few rows to say."""

    slice: str
    rows: int
    state: GateState
    value: float | None = None


class GateResult(msgspec.Struct, frozen=True):
    """What a gate said, with its evidence in one sentence."""

    gate: str
    spec: GateSpec
    state: GateState
    message: str
    value: float | None = None
    reference: float | None = None
    interval: tuple[float, float] | None = None
    rows: int = 0
    slices: tuple[SliceResult, ...] = ()


class SignatureColumn(msgspec.Struct, frozen=True):
    """One input column of the model, in the order of the model's matrix.

    `view` names the feature view it is looked up from; None means that the request carries it. Categories are
    encoded by their position; a category never seen in training and a null are NaN.
    """

    name: str
    type: str
    view: str | None = None
    categories: tuple[str, ...] | None = None


class Signature(msgspec.Struct, frozen=True):
    """Inputs and output of a model version."""

    columns: tuple[SignatureColumn, ...]
    task: Task
    output: str


class ModelFile(msgspec.Struct, frozen=True):
    """One stored form of the model. `role` native is what was trained; compiled agrees with it and is faster."""

    format: ModelFormat
    role: Literal["native", "compiled"]
    digest: str
    size_bytes: int
    agreement: str = ""


class Transition(msgspec.Struct, frozen=True):
    """When a version reached a stage, and whether a person or the loop did it."""

    stage: VersionStage
    at: Micros
    actor: str
    actor_kind: ActorKind
    reason: str = ""


class ModelVersion(msgspec.Struct, frozen=True):
    """An immutable trained model with everything that it came from.

    `profile` is the blob of the training profile (inputs, prediction and, as reference, the held-out losses),
    the baseline that monitoring starts from.
    """

    name: str
    version: int
    run_id: str
    stage: VersionStage
    task: Task
    signature: Signature
    files: tuple[ModelFile, ...]
    metrics: dict[str, float]
    dataset: str
    contract_digest: str
    profile: str
    bundle: str
    spec: str
    created_at: Micros
    created_by: str
    feature_views: tuple[str, ...] = ()
    history: str | None = None
    gates: tuple[GateResult, ...] = ()
    transitions: tuple[Transition, ...] = ()
    trained_because: str = ""
    entry: str = ""

    @property
    def urn(self) -> str:
        return f"registry/{self.name}@{self.version}"

    @property
    def gates_passed(self) -> bool:
        """Whether no gate failed (a gate that could not say does not pass)."""
        return all(result.state == "passed" for result in self.gates)


class Model(msgspec.Struct, frozen=True):
    """A named model; its aliases champion and challenger are derived from what is deployed, others are free.

    `task` is None until a version that can be served has shown it.
    """

    name: str
    task: Task | None
    created_at: Micros
    created_by: str
    latest_version: int
    aliases: dict[str, int] = {}
    description: str = ""
    tags: dict[str, str] = {}
    updated_at: Micros = 0


class VersionDraft(msgspec.Struct, frozen=True):
    """A trained model as a run hands it to the registry, before it has a number."""

    name: str
    run_id: str
    task: Task
    signature: Signature
    files: tuple[ModelFile, ...]
    metrics: dict[str, float]
    dataset: str
    contract_digest: str
    profile: str
    bundle: str
    spec: str
    feature_views: tuple[str, ...] = ()
    history: str | None = None
    gates: tuple[GateResult, ...] = ()
    trained_because: str = ""
    entry: str = ""


class DailyLoss(msgspec.Struct, frozen=True, array_like=True):
    """Sums over the held-out losses of one UTC day: mergeable, and enough for means and scatter."""

    day_at: Micros
    count: int
    sum: float
    sum_of_squares: float


class ListModelsRequest(msgspec.Struct, frozen=True):
    """All models of the project."""


class ModelList(msgspec.Struct, frozen=True):
    """Models by name."""

    models: tuple[Model, ...]


class GetModelRequest(msgspec.Struct, frozen=True):
    """One model by name."""

    name: str


class ListVersionsRequest(msgspec.Struct, frozen=True):
    """The versions of a model, newest first; `before` continues below that version number."""

    name: str
    before: int | None = None
    limit: int = 50


class VersionPage(msgspec.Struct, frozen=True):
    """One page of versions; `next_before` is the `before` of the next page, None on the last."""

    versions: tuple[ModelVersion, ...]
    next_before: int | None = None


class GetVersionRequest(msgspec.Struct, frozen=True):
    """One version, by number, by an alias such as champion, or `latest`."""

    name: str
    version: str


class ApproveRequest(msgspec.Struct, frozen=True):
    """Approval by a person. `force` with a reason approves in spite of a failed gate or a quarantine."""

    name: str
    version: int
    reason: str = ""
    force: bool = False
