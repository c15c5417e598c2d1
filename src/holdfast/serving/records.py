"""The nouns of serving: deployment file, revision, prediction, label, and the frames of the spool."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from holdfast.base.clock import Micros
from holdfast.base.context import ActorKind
from holdfast.data.records import Contract
from holdfast.features.records import FeatureView
from holdfast.registry.records import ModelFile, Signature
from holdfast.rollout.records import Variant

FORMAT = 1


class ServedVersion(msgspec.Struct, frozen=True):
    """All that a serving worker needs to load one model version: blobs by digest, nothing from the ledger.

    `bundle` is the source bundle whose feature functions this version pins; `history` the Parquet blob of recent
    labelled rows from which its table features continue.
    """

    version: int
    signature: Signature
    files: tuple[ModelFile, ...]
    contract: Contract
    label: str | None
    time: str = ""
    key: tuple[str, ...] = ()
    views: tuple[FeatureView, ...] = ()
    bundle: str | None = None
    entry: str | None = None
    history: str | None = None


class DeploymentFile(msgspec.Struct, frozen=True):
    """`serving/deployments/<project>/<environment>/<name>.json`: what a serving process runs from.

    Replaced atomically. `epoch` grows with every change, whoever makes it; a local rollback (control plane down)
    writes `origin="local"`, and the server adopts it when it returns. `warm` versions stay loaded for rollback;
    the first of them is where a rollback goes. `changed_by` names who rolled back locally.
    """

    format: int
    project: str
    environment: str
    name: str
    revision: int
    epoch: int
    variants: tuple[Variant, ...]
    versions: tuple[ServedVersion, ...]
    warm: tuple[int, ...]
    salt: str
    changed_at: Micros
    origin: Literal["server", "local"] = "server"
    quarantined: tuple[int, ...] = ()
    changed_by: str = ""


class Revision(msgspec.Struct, frozen=True):
    """An immutable state of a deployment: which versions, what traffic, why and by whom."""

    name: str
    environment: str
    number: int
    epoch: int
    variants: tuple[Variant, ...]
    warm: tuple[int, ...]
    reason: str
    created_at: Micros
    created_by: str
    actor_kind: ActorKind

    @property
    def urn(self) -> str:
        return f"serving/{self.environment}/{self.name}@{self.number}"

    @property
    def champion(self) -> int | None:
        """The version that answers (most of) the traffic."""
        return next((variant.version for variant in self.variants if variant.role == "champion"), None)


class Deployment(msgspec.Struct, frozen=True):
    """A served name in an environment with its present revision. `frozen`: automatic promotion waits for a person."""

    name: str
    environment: str
    revision: Revision
    frozen: bool = False
    quarantined: tuple[int, ...] = ()


class PredictionFrame(msgspec.Struct, frozen=True, array_like=True, tag="p"):
    """One answered (or failed) request in the spool: rows share everything but inputs, features and outputs.

    `inputs` holds, per request field of the contract in order, the column of raw values; `features` the matrix
    as served (rows × signature columns); `shadow` marks an answer nobody saw. Prediction ids are
    `p_<request_id>.<row>`, the same for the shadow's answers to the same request, so that they pair. `times`
    holds the event time of each row where it is not `at`, so that a label by entity and time finds its row.
    """

    request_id: str
    at: Micros
    received_at: Micros
    revision: int
    version: int
    role: str
    propensity: float
    inputs: list[list[Any]]
    features: list[list[float | None]]
    outputs: list[float | None]
    latency_us: int
    shadow: bool = False
    flags: list[str] = []
    error: str | None = None
    times: list[Micros] = []


class SchemaFrame(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """Names the columns of the prediction frames of one version; precedes the first of them in each segment.

    `key` are the inputs that name the entity of a row.
    """

    version: int
    inputs: list[str]
    features: list[str]
    key: list[str] = []


class LabelFrame(msgspec.Struct, frozen=True, array_like=True, tag="l"):
    """Labels as they were accepted: prediction ids, values, and when each became known.

    A label given by entity and time carries the id `e_<time in µs>_<JSON list of the key's values>`.
    """

    at: Micros
    received_at: Micros
    ids: list[str]
    values: list[float]
    known_at: list[Micros]


class RejectionFrame(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    """A request that was refused for a reason the caller must mend; monitored like everything else."""

    request_id: str
    at: Micros
    received_at: Micros
    code: str
    message: str
    field: str | None = None


Frame = PredictionFrame | LabelFrame | RejectionFrame | SchemaFrame


class DeploymentKey(msgspec.Struct, frozen=True):
    """What names a deployment everywhere: its project, its environment and its name."""

    project: str
    environment: str
    name: str


class SegmentManifest(msgspec.Struct, frozen=True):
    """What a shipped segment holds. `raw_bytes` is the length of the spool file it was made of, so that a cursor
    into that file keeps its meaning."""

    project: str
    environment: str
    name: str
    segment: str
    raw_bytes: int
    predictions: int
    labels: int
    rejections: int
    schemas: tuple[SchemaFrame, ...] = ()
    first_at: Micros | None = None
    last_at: Micros | None = None
