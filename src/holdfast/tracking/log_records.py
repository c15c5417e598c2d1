"""What a script sends about its own run: its beginning, batches of what it logged, what it read, its end.

JSON has no NaN and no infinity, so a value that is not finite travels as the text that `float` reads back.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from holdfast.base.clock import Micros
from holdfast.tracking.records import EnvironmentSnapshot, Measured, RunInput, RunStatus

EndStatus = Literal["finished", "failed", "killed"]


class CodeGiven(msgspec.Struct, frozen=True):
    """The code of a script: a source bundle as `base/bundle.py` encodes it, and where it stood in git."""

    entry: str
    bundle: bytes
    git_commit: str | None = None
    git_diff: str | None = None
    git_remote: str | None = None


class BeginRun(msgspec.Struct, frozen=True):
    """A run that begins.

    Attributes:
        run_id: 32 hexadecimal digits, chosen by the client, so that a beginning sent twice is one run.
        experiment: the name of its experiment, which is created where there is none.
        name: what people call the run; made of experiment and id by default.
        started_at: when it began, by the client's clock.
        parent: the id of the run that this one is a part of.
    """

    run_id: str
    experiment: str
    started_at: Micros
    name: str = ""
    seed: int | None = None
    parameters: dict[str, str] = {}
    tags: dict[str, str] = {}
    parent: str | None = None
    code: CodeGiven | None = None
    environment: EnvironmentSnapshot | None = None


class PointGiven(msgspec.Struct, frozen=True, array_like=True):
    """One value of a metric, as `[key, value, at, step]`."""

    key: str
    value: Measured
    at: Micros
    step: int = 0


class LogToRun(msgspec.Struct, frozen=True):
    """Points, parameters and tags for a run, all or none of them; the limits are those of MLflow's batches."""

    run_id: str
    points: tuple[PointGiven, ...] = ()
    parameters: dict[str, str] = {}
    tags: dict[str, str] = {}


class NoteInputs(msgspec.Struct, frozen=True):
    """Datasets that a run read."""

    run_id: str
    inputs: tuple[RunInput, ...]


class EndRun(msgspec.Struct, frozen=True):
    """The end of a run; `error` is the sentence that says why it failed or was killed."""

    run_id: str
    ended_at: Micros
    status: EndStatus = "finished"
    error: str = ""


class ResumeRun(msgspec.Struct, frozen=True):
    """A run that goes on."""

    run_id: str


class RunState(msgspec.Struct, frozen=True):
    """Where a run is; everything else of it is described elsewhere."""

    run_id: str
    experiment: str
    name: str
    status: RunStatus
