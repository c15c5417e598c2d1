"""What an import hands over: experiments, runs with their curves, logged models, and marks of what was brought.

Times are microseconds since 1970. An importer sends the same thing again when it cannot know whether it arrived; the
server then changes nothing that is there already.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from holdfast.base.clock import Micros
from holdfast.tracking.records import Lifecycle, ModelLink, ModelStatus, RunInput, RunStatus

MarkKind = Literal["run", "logged_model", "model", "version", "alias"]


class ImportExperimentRequest(msgspec.Struct, frozen=True):
    """An experiment of another store. One of the same name here takes it up; otherwise it gets the next id.

    `source` says which store it is, `source_id` the experiment's id there; both are kept as tags.
    """

    source: str
    source_id: str
    name: str
    lifecycle: Lifecycle
    created_at: Micros
    updated_at: Micros
    artifact_location: str = ""
    tags: dict[str, str] = {}


class ImportedExperiment(msgspec.Struct, frozen=True):
    """Where an experiment went: its id here, where its artifacts go, and whether it is new."""

    experiment_id: str
    artifact_location: str
    created: bool


class ImportedCurve(msgspec.Struct, frozen=True):
    """Points of one metric, or a part of them. NaN and the infinities are the texts NaN, Infinity and -Infinity."""

    key: str
    steps: list[int]
    times: list[Micros]
    values: list[float | str]


class ImportedRun(msgspec.Struct, frozen=True):
    """A run of another store under its own id; its points come after it."""

    run_id: str
    experiment_id: str
    name: str
    status: RunStatus
    lifecycle: Lifecycle
    started_at: Micros
    ended_at: Micros | None
    user: str
    parameters: dict[str, str] = {}
    tags: dict[str, str] = {}
    inputs: tuple[RunInput, ...] = ()
    model_inputs: tuple[ModelLink, ...] = ()
    model_outputs: tuple[ModelLink, ...] = ()


class ImportRunsRequest(msgspec.Struct, frozen=True):
    """Runs, all of them or none."""

    runs: tuple[ImportedRun, ...]


class ImportPointsRequest(msgspec.Struct, frozen=True):
    """Points of runs that were imported, by run id, all of them or none."""

    curves: dict[str, list[ImportedCurve]]


class ImportOutcome(msgspec.Struct, frozen=True):
    """How many of what was sent were new, and how many were there already."""

    created: int = 0
    known: int = 0


class ImportedModelMetric(msgspec.Struct, frozen=True):
    """A value of a metric of a logged model; NaN and the infinities as in a curve."""

    key: str
    value: float | str
    at: Micros
    step: int
    run_id: str
    dataset_name: str = ""
    dataset_digest: str = ""


class ImportedLoggedModel(msgspec.Struct, frozen=True):
    """A logged model of another store under its own id."""

    model_id: str
    experiment_id: str
    name: str
    status: ModelStatus
    lifecycle: Lifecycle
    created_at: Micros
    updated_at: Micros
    model_type: str = ""
    source_run_id: str = ""
    parameters: dict[str, str] = {}
    tags: dict[str, str] = {}
    metrics: tuple[ImportedModelMetric, ...] = ()


class ImportLoggedModelsRequest(msgspec.Struct, frozen=True):
    """Logged models, all of them or none."""

    models: tuple[ImportedLoggedModel, ...]


class ListStoredRequest(msgspec.Struct, frozen=True):
    """Every file below a folder of the artifact store."""

    folder: str


class StoredFile(msgspec.Struct, frozen=True):
    """A file below a folder: its path in the folder, its size and the blake3 of its bytes."""

    path: str
    size_bytes: int
    digest: str


class StoredFiles(msgspec.Struct, frozen=True):
    """Files by path."""

    files: tuple[StoredFile, ...]


class FindMarksRequest(msgspec.Struct, frozen=True):
    """Which of these things of a source were brought before, and in what state."""

    source: str
    kind: MarkKind
    keys: tuple[str, ...]


class Marks(msgspec.Struct, frozen=True):
    """The mark of each thing that has one: a fingerprint of it as it was when it was brought whole."""

    marks: dict[str, str]


class SetMarksRequest(msgspec.Struct, frozen=True):
    """Notes that things of a source were brought whole."""

    source: str
    kind: MarkKind
    marks: dict[str, str]


class FinishImportRequest(msgspec.Struct, frozen=True):
    """Notes in the audit trail what an import brought."""

    source: str
    brought: dict[str, int]


def number(value: float | str) -> float:
    """The number that a value stands for.

    Raises:
        ValueError: it stands for none.

    Example:
        >>> number("-Infinity"), number(0.5)
        (-inf, 0.5)
    """
    return float(value)


def carried(value: float) -> float | str:
    """A number as JSON can carry it.

    Example:
        >>> carried(0.5), carried(float("nan")), carried(float("-inf"))
        (0.5, 'NaN', '-Infinity')
    """
    if math.isfinite(value):
        return value
    return "NaN" if value != value else ("Infinity" if value > 0 else "-Infinity")
