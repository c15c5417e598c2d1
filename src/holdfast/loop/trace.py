"""`trace`: where a model version came from, and who or what put it where it is. Question 3 of the five."""

from __future__ import annotations

import msgspec

from holdfast.base import lineage
from holdfast.base.clock import Micros
from holdfast.base.context import Context
from holdfast.base.errors import NotFoundError
from holdfast.base.ledger import Ledger, Reader
from holdfast.base.operations import operation
from holdfast.data.records import DatasetVersion
from holdfast.data.service import DataService
from holdfast.features.records import FeatureView
from holdfast.features.service import FeatureService
from holdfast.loop import store
from holdfast.loop.records import Decision
from holdfast.registry.records import ModelVersion
from holdfast.registry.service import RegistryService
from holdfast.serving.service import DeploymentService
from holdfast.tracking.records import Run, RunInput
from holdfast.tracking.service import TrackingService

_GOING_LIVE = ("deploy", "promote", "roll back")


class TraceRequest(msgspec.Struct, frozen=True):
    """A version of a model: by number, or the one in production."""

    name: str
    version: int | None = None
    environment: str = "production"


class DatasetTrace(msgspec.Struct, frozen=True):
    """The data a version was trained on."""

    urn: str
    fingerprint: str
    rows: int
    as_of_at: Micros
    source: str | None
    source_digest: str | None
    parents: tuple[str, ...]


class Trace(msgspec.Struct, frozen=True):
    """Everything that led to a version, and the decisions about it, oldest first.

    A version from outside has no dataset of ours, and a run only where its client named one that is here; `inputs` are
    the datasets that the client said its run read.
    """

    model: ModelVersion
    environment: str
    in_production: bool
    dataset: DatasetTrace | None
    features: tuple[FeatureView, ...]
    run: Run | None
    decisions: tuple[Decision, ...]
    live_because: Decision | None
    lineage: lineage.LineageGraph
    inputs: tuple[RunInput, ...] = ()


class TraceService:
    """Reads one version's whole story from the ledger."""

    def __init__(
        self,
        ledger: Ledger,
        tracking: TrackingService,
        data: DataService,
        features: FeatureService,
        registry: RegistryService,
        deployments: DeploymentService,
    ) -> None:
        self._ledger = ledger
        self._tracking = tracking
        self._data = data
        self._features = features
        self._registry = registry
        self._deployments = deployments

    @operation(
        "GET", "/models/{name}/trace", "Data, features, code, environment and people behind a version."
    )
    def trace(self, context: Context, request: TraceRequest) -> Trace:
        with self._ledger.read() as reader:
            self._registry.model_in(reader, context, request.name)
            deployment = self._deployments.find(reader, context, request.environment, request.name)
            champion = deployment.revision.champion if deployment else None
            number = request.version if request.version is not None else champion
            if number is None:
                raise NotFoundError(
                    f"no version of {request.name} is in {request.environment}",
                    hint=f"name one with --version, or deploy one with `holdfast deploy {request.name}`",
                )
            version = self._registry.version_in(reader, context, request.name, number)
            decisions = self._decisions(reader, context, version)
            run = self._run(reader, context, version)
            live = [item for item in decisions if item.kind in _GOING_LIVE and _made_live(item, version)]
            return Trace(
                model=version,
                environment=request.environment,
                in_production=number == champion,
                dataset=self._dataset(reader, context, version) if version.dataset else None,
                features=tuple(self._features.view(context, urn) for urn in version.feature_views),
                run=run,
                decisions=decisions,
                live_because=live[-1] if live else None,
                lineage=lineage.graph(reader, context, version.urn),
                inputs=self._tracking.inputs_in(reader, context, run.run_id) if run else (),
            )

    def _run(self, reader: Reader, context: Context, version: ModelVersion) -> Run | None:
        try:
            return self._tracking.run_in(reader, context, version.run_id)
        except NotFoundError:
            # An outside client may name a run of another server, or none.
            if version.dataset:
                raise
            return None

    def _decisions(self, reader: Reader, context: Context, version: ModelVersion) -> tuple[Decision, ...]:
        """Those about the version or its run, and rollbacks that brought it back."""
        found = store.decisions(reader, context, version.name, limit=1000)
        about = {version.urn, f"tracking/run/{version.run_id}"}
        kept = [item for item in found if item.subject in about or _made_live(item, version)]
        return tuple(reversed(kept))

    def _dataset(self, reader: Reader, context: Context, version: ModelVersion) -> DatasetTrace:
        table, _, number = version.dataset.removeprefix("data/").rpartition("@")
        found = self._data.dataset(reader, context, table, int(number))
        parents = tuple(f"data/{table}@{item.version}" for item in self._ancestors(reader, context, found))
        return DatasetTrace(
            found.urn,
            found.fingerprint,
            found.rows,
            found.as_of_at,
            found.source,
            found.source_digest,
            parents,
        )

    def _ancestors(self, reader: Reader, context: Context, found: DatasetVersion) -> list[DatasetVersion]:
        line: list[DatasetVersion] = []
        while found.parent is not None:
            parent = self._data.find(reader, context, found.table, found.parent)
            if parent is None:
                break  # It was deleted; its files are part of what grew from it.
            found = parent
            line.append(found)
        return line


def _made_live(decision: Decision, version: ModelVersion) -> bool:
    if decision.kind == "roll back":
        return decision.evidence.get("to") == version.version
    return decision.kind in _GOING_LIVE and decision.subject == version.urn
