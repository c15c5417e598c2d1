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
