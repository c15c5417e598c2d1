"""The nouns of tracking: experiment, run, metric, artifact, and the snapshots a run captures."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from holdfast.base.clock import Micros

RunStatus = Literal["running", "scheduled", "finished", "failed", "killed"]
Lifecycle = Literal["active", "deleted"]
View = Literal["active", "deleted", "all"]
# JSON has no NaN and no infinity: a value that is not finite travels as the text that `float` reads back.
Measured = float | Literal["NaN", "Infinity", "-Infinity"]


def measured(value: float) -> Measured:
    """A value as it travels; `float` of it is the value again.

    Example:
        >>> measured(0.5), measured(float("nan")), float(measured(float("-inf")))
        (0.5, 'NaN', -inf)
    """
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


class CodeSnapshot(msgspec.Struct, frozen=True):
    """The code of a run: always the source bundle, and the git commit and diff where there is a checkout."""

    bundle: str
    entry: str
    git_commit: str | None = None
    git_diff: str | None = None
    git_remote: str | None = None


class EnvironmentSnapshot(msgspec.Struct, frozen=True):
    """Python, platform and installed packages of the process that trained.

    `hardware` says what it ran on: host, processor, memory, GPUs.
    """

    python: str
    platform: str
    cpu_count: int
    packages: dict[str, str]
    hardware: dict[str, str] = {}


class Artifact(msgspec.Struct, frozen=True):
    """A named blob of a run."""

    path: str
    digest: str
    size_bytes: int


class Run(msgspec.Struct, frozen=True):
    """One execution of a training function. `run_id` is 32 hexadecimal digits."""

    run_id: str
    experiment: str
    name: str
    status: RunStatus
    started_at: Micros
    created_by: str
    ended_at: Micros | None = None
    seed: int | None = None
    parameters: dict[str, str] = {}
    metrics: dict[str, Measured] = {}
    tags: dict[str, str] = {}
    datasets: tuple[str, ...] = ()
    code: CodeSnapshot | None = None
    environment: EnvironmentSnapshot | None = None
    artifacts: tuple[Artifact, ...] = ()
    error: str | None = None

    @property
    def urn(self) -> str:
        return f"tracking/run/{self.run_id}"


class MetricPoint(msgspec.Struct, frozen=True):
    """One value of a metric; `at` is when it was measured."""

    key: str
    value: float
    at: Micros
    step: int = 0


class RunResult(msgspec.Struct, frozen=True):
    """What a run captured, handed over when it has finished. `datasets` are URNs of dataset versions."""

    metrics: dict[str, float] = {}
    parameters: dict[str, str] = {}
    datasets: tuple[str, ...] = ()
    code: CodeSnapshot | None = None
    environment: EnvironmentSnapshot | None = None
    artifacts: tuple[Artifact, ...] = ()
    tags: dict[str, str] = {}


class GetRunRequest(msgspec.Struct, frozen=True):
    """One run by its id."""

    run_id: str


class Experiment(msgspec.Struct, frozen=True):
    """A named set of runs. `artifact_location` is where the artifacts of its runs go."""

    number: int
    experiment_id: str
    name: str
    artifact_location: str
    lifecycle: Lifecycle
    created_at: Micros
    updated_at: Micros
    tags: dict[str, str] = {}


class LatestMetric(msgspec.Struct, frozen=True):
    """The latest point of a metric: the largest (step, time, value)."""

    key: str
    value: float
    at: Micros
    step: int


class DatasetUsed(msgspec.Struct, frozen=True):
    """A dataset as the client that logged it describes it."""

    name: str
    digest: str
    source_type: str = ""
    source: str = ""
    schema: str | None = None
    profile: str | None = None


class RunInput(msgspec.Struct, frozen=True):
    """A dataset that a run read; `tags` say what for (`mlflow.data.context`)."""

    dataset: DatasetUsed
    tags: dict[str, str] = {}


class ModelLink(msgspec.Struct, frozen=True):
    """A logged model that a run read or wrote."""

    model_id: str
    step: int = 0


class LoggedRun(msgspec.Struct, frozen=True):
    """A run as tracking clients see it."""

    number: int
    run_id: str
    experiment_id: str
    name: str
    status: RunStatus
    lifecycle: Lifecycle
    started_at: Micros
    ended_at: Micros | None
    user: str
    artifact_root: str
    parameters: dict[str, str] = {}
    tags: dict[str, str] = {}
    metrics: tuple[LatestMetric, ...] = ()
    inputs: tuple[RunInput, ...] = ()
    model_inputs: tuple[ModelLink, ...] = ()
    model_outputs: tuple[ModelLink, ...] = ()


class RunHead(msgspec.Struct, frozen=True):
    """What the verbs that log need to know of a run."""

    number: int
    experiment_number: int
    lifecycle: Lifecycle
    status: RunStatus


class LoggedPoint(msgspec.Struct, frozen=True):
    """A metric point as a client sends it, perhaps about a logged model and a dataset."""

    key: str
    value: float
    at: Micros
    step: int = 0
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


ModelStatus = Literal["unspecified", "pending", "ready", "upload_failed"]


class ModelMetric(msgspec.Struct, frozen=True):
    """The latest value of a metric of a logged model, on a dataset, as a run measured it."""

    key: str
    value: float
    at: Micros
    step: int
    run_id: str
    dataset_name: str = ""
    dataset_digest: str = ""


class LoggedModel(msgspec.Struct, frozen=True):
    """A model that a run wrote, before anyone registered it."""

    number: int
    model_id: str
    experiment_id: str
    name: str
    model_type: str
    source_run_id: str
    status: ModelStatus
    lifecycle: Lifecycle
    artifact_location: str
    created_at: Micros
    updated_at: Micros
    parameters: dict[str, str] = {}
    tags: dict[str, str] = {}
    metrics: tuple[ModelMetric, ...] = ()


class StoredArtifact(msgspec.Struct, frozen=True):
    """A file of the artifact store, or a folder of it (without a digest)."""

    path: str
    is_folder: bool
    size_bytes: int = 0
    digest: str = ""
