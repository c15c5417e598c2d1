"""The nouns of tracking: experiment, run, metric, artifact, and the snapshots a run captures."""

from __future__ import annotations

from typing import Literal

import msgspec

from holdfast.base.clock import Micros

RunStatus = Literal["running", "finished", "failed", "killed"]


class CodeSnapshot(msgspec.Struct, frozen=True):
    """The code of a run: always the source bundle, and the git commit and diff where there is a checkout."""

    bundle: str
    entry: str
    git_commit: str | None = None
    git_diff: str | None = None
    git_remote: str | None = None


class EnvironmentSnapshot(msgspec.Struct, frozen=True):
    """Python, platform and installed packages of the process that trained."""

    python: str
    platform: str
    cpu_count: int
    packages: dict[str, str]


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
    metrics: dict[str, float] = {}
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


class ListRunsRequest(msgspec.Struct, frozen=True):
    """Runs, newest first, of one experiment or of all; `after` continues behind a page's `next_after`."""

    experiment: str | None = None
    limit: int = 50
    after: str | None = None


class RunPage(msgspec.Struct, frozen=True):
    """One page of runs; `next_after` asks for the next one, None on the last."""

    runs: tuple[Run, ...]
    next_after: str | None = None
