"""What an MLflow store holds, in MLflow's own words: times are milliseconds since 1970, ids and statuses are texts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import IO, Literal, Protocol

import msgspec

Point = tuple[int, int, float]


class SourceExperiment(msgspec.Struct, frozen=True):
    """An experiment."""

    experiment_id: str
    name: str
    lifecycle: str
    created_ms: int
    updated_ms: int
    artifact_location: str = ""
    tags: dict[str, str] = {}


class SourceInput(msgspec.Struct, frozen=True):
    """A dataset that a run read."""

    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None = None
    profile: str | None = None
    tags: dict[str, str] = {}


class SourceRun(msgspec.Struct, frozen=True):
    """A run without its curves. `metrics` maps each metric to something that changes when its curve does.

    `beside` is the folder next to the run where its artifacts may lie in spite of `artifact_uri`.
    """

    run_id: str
    experiment_id: str
    name: str
    status: str
    lifecycle: str
    started_ms: int
    ended_ms: int | None
    user: str
    artifact_uri: str
    beside: str = ""
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    metrics: dict[str, str] = {}
    inputs: tuple[SourceInput, ...] = ()
    model_inputs: tuple[str, ...] = ()
    model_outputs: tuple[tuple[str, int], ...] = ()


class SourceModelMetric(msgspec.Struct, frozen=True):
    """A value of a metric of a logged model."""

    key: str
    value: float
    at_ms: int
    step: int
    run_id: str
    dataset_name: str = ""
    dataset_digest: str = ""


class SourceLoggedModel(msgspec.Struct, frozen=True):
    """A logged model of MLflow 3."""

    model_id: str
    experiment_id: str
    name: str
    status: str
    lifecycle: str
    created_ms: int
    updated_ms: int
    model_type: str
    source_run_id: str
    artifact_uri: str
    beside: str = ""
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    metrics: tuple[SourceModelMetric, ...] = ()


class SourceVersion(msgspec.Struct, frozen=True):
    """A version of a registered model. `storage` is where its files lie, `source` how it was registered."""

    name: str
    version: int
    created_ms: int
    updated_ms: int
    source: str
    run_id: str
    storage: str = ""
    user: str = ""
    description: str = ""
    stage: str = "None"
    run_link: str = ""
    model_id: str = ""
    tags: dict[str, str] = {}


class SourceModel(msgspec.Struct, frozen=True):
    """A registered model with its versions and aliases."""

    name: str
    created_ms: int
    updated_ms: int
    description: str
    tags: dict[str, str]
    aliases: dict[str, int]
    versions: tuple[SourceVersion, ...]


class SourceFile(msgspec.Struct, frozen=True):
    """A file of an artifact folder. `stamp` changes when its bytes do, as far as the store tells."""

    path: str
    size_bytes: int
    stamp: str = ""


class Folder(msgspec.Struct, frozen=True):
    """Whose artifacts are meant, and where they lie: of a `run`, or of a `logged_model`."""

    kind: Literal["run", "logged_model"]
    owner: str
    uri: str
    beside: str = ""


class Source(Protocol):
    """An MLflow store, to be read only.

    Raises (all methods):
        SourceError: the store cannot be read, and why.
    """

    @property
    def name(self) -> str:
        """What the store is called in tags and marks: its address without anything secret."""
        ...

    @property
    def is_local(self) -> bool:
        """Whether its files lie on this machine, so that reading one again costs little."""
        ...

    def experiments(self) -> list[SourceExperiment]:
        """All experiments, deleted ones too."""
        ...

    def run_count(self, experiment_id: str) -> int | None:
        """How many runs an experiment has; None where only reading them all would tell."""
        ...

    def run_pages(self, experiment_id: str) -> Iterator[list[SourceRun]]:
        """The runs of an experiment, deleted ones too, oldest first, some at a time."""
        ...

    def curves(self, runs: list[SourceRun]) -> Iterator[tuple[str, str, list[Point]]]:
        """(run id, metric, points) of some runs; a long curve comes in several parts. A point is step, time, value."""
        ...

    def logged_models(self, experiment_id: str) -> Iterator[SourceLoggedModel]:
        """The logged models of an experiment."""
        ...

    def models(self) -> Iterator[SourceModel]:
        """The registered models, prompts too."""
        ...

    def files(self, folder: Folder) -> list[SourceFile]:
        """Every file below an artifact folder; `ElsewhereError` where the store's files cannot be reached."""
        ...

    def open(self, folder: Folder, file: SourceFile) -> AbstractContextManager[IO[bytes]]:
        """A file, to be read a piece at a time."""
        ...

    def close(self) -> None:
        """Lets go of the store."""
        ...
