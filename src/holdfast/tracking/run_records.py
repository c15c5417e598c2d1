"""Runs and experiments as our own doors show them: found by a search, described whole, and asked for."""

from __future__ import annotations

import msgspec

from holdfast.base.clock import Micros
from holdfast.tracking.records import (
    Artifact,
    CodeSnapshot,
    EnvironmentSnapshot,
    Lifecycle,
    Measured,
    ModelLink,
    RunInput,
    RunStatus,
    View,
)


class RunSummary(msgspec.Struct, frozen=True):
    """A run in a list: its parameters, tags and the latest value of each metric.

    `experiment` is the name of its experiment; `deleted_at` is None unless `lifecycle` is `deleted`.
    """

    run_id: str
    name: str
    experiment: str
    experiment_id: str
    status: RunStatus
    lifecycle: Lifecycle
    started_at: Micros
    ended_at: Micros | None
    created_by: str
    deleted_at: Micros | None = None
    parameters: dict[str, str] = {}
    metrics: dict[str, Measured] = {}
    tags: dict[str, str] = {}
    inputs: tuple[RunInput, ...] = ()

    @property
    def urn(self) -> str:
        return f"tracking/run/{self.run_id}"


class RunSearch(msgspec.Struct, frozen=True):
    """A search of runs.

    Attributes:
        filter: a condition, e.g. `metrics.mae < 3 AND (params.depth = '4' OR tags.team = 'rides')`.
        order_by: keys to sort by, e.g. `metrics.mae ASC`; by default the runs that started last come first.
        experiments: names or ids; by default every experiment.
        view: `active`, `deleted` or `all`.
        limit: runs a page, 1 to 1,000.
        after: the `next_after` of the page before.
    """

    filter: str = ""
    order_by: tuple[str, ...] = ()
    experiments: tuple[str, ...] = ()
    view: View = "active"
    limit: int = 50
    after: str | None = None


class RunsFound(msgspec.Struct, frozen=True):
    """One page of a search; `next_after` asks for the next one, None on the last."""

    runs: tuple[RunSummary, ...]
    next_after: str | None = None


class RunRequest(msgspec.Struct, frozen=True):
    """One run by its id, or by so much of the beginning of it as no other run has."""

    run_id: str


class LatestValue(msgspec.Struct, frozen=True):
    """The latest value of a metric, and where in the run it stands."""

    key: str
    value: Measured
    step: int
    at: Micros


class RunDescription(msgspec.Struct, frozen=True):
    """Everything of one run but its curves.

    `artifacts` are the first thousand, with `artifact_count` of them in all; `children` are runs that name this one
    as their parent, the first started first; `datasets` are URNs of dataset versions, `inputs` what clients logged.
    """

    run: RunSummary
    metrics: tuple[LatestValue, ...] = ()
    seed: int | None = None
    error: str | None = None
    datasets: tuple[str, ...] = ()
    code: CodeSnapshot | None = None
    environment: EnvironmentSnapshot | None = None
    artifacts: tuple[Artifact, ...] = ()
    artifact_count: int = 0
    model_inputs: tuple[ModelLink, ...] = ()
    model_outputs: tuple[ModelLink, ...] = ()
    parent: str | None = None
    children: tuple[RunSummary, ...] = ()


class ListExperiments(msgspec.Struct, frozen=True):
    """Experiments, those with the latest run first."""

    view: View = "active"


class ExperimentSummary(msgspec.Struct, frozen=True):
    """An experiment and how many runs it has."""

    experiment_id: str
    name: str
    lifecycle: Lifecycle
    created_at: Micros
    updated_at: Micros
    runs: int = 0
    runs_running: int = 0
    runs_deleted: int = 0
    last_started_at: Micros | None = None
    tags: dict[str, str] = {}


class ExperimentsFound(msgspec.Struct, frozen=True):
    """Every experiment of a view."""

    experiments: tuple[ExperimentSummary, ...]


class CurvesRequest(msgspec.Struct, frozen=True):
    """Curves of one run; by default those of every metric, `most` points each at most (2 to 10,000)."""

    run_id: str
    metrics: tuple[str, ...] = ()
    most: int = 2000


class RunCurve(msgspec.Struct, frozen=True):
    """A metric of a run by step, thinned so that no spike is lost."""

    run_id: str
    key: str
    steps: tuple[int, ...]
    times: tuple[Micros, ...]
    values: tuple[Measured, ...]


class CurvesFound(msgspec.Struct, frozen=True):
    """Curves in the order of their metrics."""

    curves: tuple[RunCurve, ...]


class CompareRuns(msgspec.Struct, frozen=True):
    """Runs to compare, 2 to 50 of them, by id or beginning of one.

    Attributes:
        runs: the first is what the others are compared with.
        metrics: whose curves are wanted; by default the first twelve that two points or more were logged of.
        most: points a curve, 2 to 10,000.
    """

    runs: tuple[str, ...]
    metrics: tuple[str, ...] = ()
    most: int = 2000
