"""What the page of a run shows, as data."""

from __future__ import annotations

import msgspec

from holdfast.base import lineage
from holdfast.registry.catalog.records import Entry
from holdfast.registry.records import ModelVersion
from holdfast.tracking.records import LoggedModel, LoggedRun, StoredArtifact
from holdfast.tracking.run_records import RunCurve, RunDescription


class RunData(msgspec.Struct, frozen=True):
    """A run's page as data. `described` is what `holdfast runs show` prints."""

    described: RunDescription
    version: ModelVersion | None
    curves: list[RunCurve]
    system: list[RunCurve]
    parent: LoggedRun | None
    models: tuple[LoggedModel, ...]
    registered: tuple[Entry, ...]
    files: tuple[StoredArtifact, ...]
    lineage: lineage.LineageGraph
