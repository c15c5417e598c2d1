"""What the pages read from: the services of a server, handed over by whoever composes it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from holdfast.base.clock import Clock
    from holdfast.base.context import Context
    from holdfast.base.jobs import JobService
    from holdfast.base.ledger import Ledger
    from holdfast.data.service import DataService
    from holdfast.features.service import FeatureService
    from holdfast.loop.overview import OverviewService
    from holdfast.loop.records import WithoutRetraining, WithoutRetrainingRequest
    from holdfast.loop.service import LoopService
    from holdfast.loop.trace import TraceService
    from holdfast.monitoring.service import MonitoringService
    from holdfast.registry.catalog.service.aliases import AliasCatalog
    from holdfast.registry.catalog.service.versions import VersionCatalog
    from holdfast.registry.outside.source import SourceFiles
    from holdfast.registry.service import RegistryService
    from holdfast.rollout.service import RolloutService
    from holdfast.serving.service import DeploymentService
    from holdfast.tracking.service import (
        ArtifactService,
        LoggedModelService,
        MetricService,
        RunCatalog,
        RunService,
        TrackingService,
    )
    from holdfast.ui.experiment_counts import ExperimentCounts


class Counterfactual(Protocol):
    """Answers what the quality would have been had the first version never been replaced."""

    def without_retraining(self, context: Context, request: WithoutRetrainingRequest) -> WithoutRetraining:
        """The served quality beside that of one version left alone, over the same labelled rows."""
        ...


@dataclass(frozen=True)
class PageServices:
    """The services that pages read and whose verbs their forms call."""

    clock: Clock
    jobs: JobService
    tracking: TrackingService
    runs: RunCatalog
    logged_runs: RunService
    curves: MetricService
    logged_models: LoggedModelService
    artifacts: ArtifactService
    data: DataService
    features: FeatureService
    registry: RegistryService
    versions: VersionCatalog
    aliases: AliasCatalog
    sources: SourceFiles
    rollouts: RolloutService
    deployments: DeploymentService
    monitoring: MonitoringService
    loop: LoopService
    ledger: Ledger
    counterfactual: Counterfactual | None = None

    @cached_property
    def experiments(self) -> ExperimentCounts:
        """Experiments with how many runs they have, for the lists that name them."""
        from holdfast.ui.experiment_counts import ExperimentCounts

        return ExperimentCounts(self.runs.experiments)

    @property
    def overview(self) -> OverviewService:
        """`holdfast status`, so that page and command say the same."""
        from holdfast.loop.overview import OverviewService

        return OverviewService(
            self.ledger,
            self.clock,
            self.jobs,
            self.registry,
            self.rollouts,
            self.deployments,
            self.monitoring,
        )

    @property
    def trace(self) -> TraceService:
        """`holdfast trace`, so that page and command say the same."""
        from holdfast.loop.trace import TraceService

        return TraceService(
            self.ledger, self.tracking, self.data, self.features, self.registry, self.deployments
        )
