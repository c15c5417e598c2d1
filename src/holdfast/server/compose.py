"""Wires everything: each service receives what it needs, and nothing reaches for more."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from holdfast.base import audit, events, jobs, lineage, simulation
from holdfast.base.audit_service import AuditService
from holdfast.base.blobs import Blobs
from holdfast.base.clock import Clock
from holdfast.base.context import system_context
from holdfast.base.events import Event, EventDispatcher
from holdfast.base.garbage import references_in_files
from holdfast.base.home import Home
from holdfast.base.jobs import JobService
from holdfast.base.ledger import Ledger, Migration, Reader
from holdfast.base.simulation import ClockService
from holdfast.data import store as data_store
from holdfast.data.retention import RetentionService
from holdfast.data.service import DataService
from holdfast.features import store as features_store
from holdfast.features.catalog import FeatureCatalog
from holdfast.features.online_features import OnlineFeatures
from holdfast.features.service import FeatureService
from holdfast.loop import store as loop_store
from holdfast.loop.actions import Actions
from holdfast.loop.candidates import Candidates
from holdfast.loop.controller import Controller
from holdfast.loop.counterfactual import CounterfactualService
from holdfast.loop.garbage import COLLECT, GarbageService
from holdfast.loop.overview import OverviewService
from holdfast.loop.service import LoopService
from holdfast.loop.trace import TraceService
from holdfast.loop.training_jobs import TRAIN, TrainingJobs
from holdfast.monitoring import store as monitoring_store
from holdfast.monitoring.service import MonitoringService
from holdfast.registry import store as registry_store
from holdfast.registry.catalog.service.aliases import AliasCatalog
from holdfast.registry.catalog.service.changes import Changes
from holdfast.registry.catalog.service.imports import ModelImports
from holdfast.registry.catalog.service.models import ModelCatalog
from holdfast.registry.catalog.service.versions import VersionCatalog
from holdfast.registry.outside.service import OutsideService
from holdfast.registry.outside.source import SourceFiles
from holdfast.registry.outside.tree import TrackedArtifacts
from holdfast.registry.service import RegistryService
from holdfast.registry.webhooks.sender import WebhookSender
from holdfast.registry.webhooks.service import WebhookService
from holdfast.rollout import store as rollout_store
from holdfast.rollout.service import RolloutService
from holdfast.serving import store as serving_store
from holdfast.serving.service import REVISED, DeploymentService
from holdfast.tracking import store as tracking_store
from holdfast.tracking.service import (
    ArtifactService,
    ExperimentService,
    ImportService,
    LoggedModelService,
    MetricService,
    RunCatalog,
    RunLogService,
    RunService,
    TrackingService,
)
from holdfast.tracking.service.garbage import RunCollector
from holdfast.training.launcher import Launcher
from holdfast.training.service import TrainingService
from holdfast.ui.services import PageServices
from holdfast.wire.mlflow import webhooks as mlflow_webhooks
from holdfast.wire.mlflow.endpoints import TrackingDoors
from holdfast.wire.mlflow.model_folders import ModelFolders

MIGRATIONS: tuple[Migration, ...] = (
    *events.MIGRATIONS,
    *lineage.MIGRATIONS,
    *audit.MIGRATIONS,
    *jobs.MIGRATIONS,
    *simulation.MIGRATIONS,
    *tracking_store.MIGRATIONS,
    *data_store.MIGRATIONS,
    *features_store.MIGRATIONS,
    *registry_store.MIGRATIONS,
    *rollout_store.MIGRATIONS,
    *serving_store.MIGRATIONS,
    *monitoring_store.MIGRATIONS,
    *loop_store.MIGRATIONS,
)

# The services that have operations, for whoever describes the API without a ledger.
SERVICE_TYPES: tuple[type, ...] = (
    JobService,
    ClockService,
    TrackingService,
    RunCatalog,
    RunLogService,
    DataService,
    RetentionService,
    FeatureService,
    FeatureCatalog,
    OnlineFeatures,
    RegistryService,
    VersionCatalog,
    AliasCatalog,
    ImportService,
    ModelImports,
    RolloutService,
    DeploymentService,
    MonitoringService,
    LoopService,
    OverviewService,
    TraceService,
    CounterfactualService,
    GarbageService,
    AuditService,
)


@dataclass(frozen=True)
class Services:
    """Every service of a server, and what drives them."""

    ledger: Ledger
    events: EventDispatcher
    jobs: JobService
    clock: ClockService
    tracking: TrackingService
    runs: RunCatalog
    run_log: RunLogService
    logging: TrackingDoors
    data: DataService
    retention: RetentionService
    features: FeatureService
    feature_catalog: FeatureCatalog
    online_features: OnlineFeatures
    registry: RegistryService
    models: ModelCatalog
    versions: VersionCatalog
    sources: SourceFiles
    model_folders: ModelFolders
    aliases: AliasCatalog
    imports: ImportService
    model_imports: ModelImports
    webhooks: WebhookService
    webhook_sender: WebhookSender
    rollouts: RolloutService
    deployments: DeploymentService
    monitoring: MonitoringService
    loop: LoopService
    overview: OverviewService
    trace: TraceService
    counterfactual: CounterfactualService
    garbage: GarbageService
    audit: AuditService
    launcher: Launcher

    def doors(self) -> list[Any]:
        """The services whose operations the API serves."""
        return [value for value in vars(self).values() if isinstance(value, SERVICE_TYPES)]

    def pages(self, clock: Clock, ledger: Ledger) -> PageServices:
        """What the pages read from."""
        return PageServices(
            clock=clock,
            jobs=self.jobs,
            tracking=self.tracking,
            runs=self.runs,
            logged_runs=self.logging.runs,
            curves=self.logging.metrics,
            logged_models=self.logging.models,
            artifacts=self.logging.artifacts,
            data=self.data,
            features=self.features,
            registry=self.registry,
            versions=self.versions,
            aliases=self.aliases,
            sources=self.sources,
            rollouts=self.rollouts,
            deployments=self.deployments,
            monitoring=self.monitoring,
            loop=self.loop,
            ledger=ledger,
            counterfactual=self.counterfactual,
        )


def compose(
    home: Home,
    ledger: Ledger,
    clock: Clock,
    *,
    settle: Callable[[], bool],
    wake: Callable[[], None],
    rng: Random | None = None,
) -> Services:
    """Builds the services of a home.

    Args:
        settle: decides and does what is due now, for a simulated clock.
        wake: tells the runtime that something was submitted.
        rng: where ids and salts come from; by default seeded from the operating system.
    """
    from holdfast.serving.log import PredictionLog

    rng = rng or Random(os.urandom(16))
    blobs = Blobs(home.blobs)
    log = PredictionLog(home)
    job_service = JobService(ledger, clock)
    launcher = Launcher(max(1, (os.cpu_count() or 2) // 2), standby=True)
    tracking = TrackingService(ledger)
    logging = _logging(home, ledger, blobs, clock)
    data = DataService(ledger, blobs, clock)
    features = FeatureService(ledger)
    registry = RegistryService(ledger, blobs, clock)
    changes = Changes(ledger, clock, wake)
    versions = VersionCatalog(changes)
    tree = TrackedArtifacts(logging.artifacts, logging.runs, logging.models)
    sources = SourceFiles(tree, versions)
    aliases = AliasCatalog(changes)
    outside = OutsideService(ledger, blobs, clock, home, registry, sources)
    sender = WebhookSender(ledger)
    webhooks = WebhookService(ledger, clock, Random(os.urandom(16)), sender, tuple(mlflow_webhooks.EXAMPLES))
    training = TrainingService(ledger, blobs, clock, home, data, features, tracking, registry, launcher)
    rollouts = RolloutService(ledger, clock)
    deployments = DeploymentService(ledger, blobs, clock, home, registry, features, rng)
    monitoring = MonitoringService(ledger, blobs, clock, registry, log)
    actions = Actions(registry, rollouts, deployments)
    controller = Controller(ledger, clock, registry, rollouts, deployments, log, monitoring, actions, rng)
    candidates = Candidates(ledger, clock, registry, versions, outside)
    loop = LoopService(
        ledger,
        blobs,
        clock,
        job_service,
        registry,
        rollouts,
        deployments,
        actions,
        controller,
        rng,
        wake,
        candidates,
    )
    job_service.handle(TRAIN, TrainingJobs(ledger, data, training, deployments, log))
    garbage = _garbage(home, ledger, blobs, clock, job_service, logging, wake)
    job_service.handle(COLLECT, garbage.run)
    return Services(
        ledger=ledger,
        events=_listen(EventDispatcher(ledger), deployments, webhooks),
        jobs=job_service,
        clock=ClockService(ledger, clock, settle),
        tracking=tracking,
        runs=RunCatalog(ledger, logging.runs, logging.metrics),
        run_log=RunLogService(ledger, blobs, logging.experiments, logging.runs, tracking, logging.artifacts),
        logging=logging,
        data=data,
        retention=RetentionService(ledger, clock, data),
        features=features,
        feature_catalog=FeatureCatalog(ledger, blobs, clock, features),
        online_features=OnlineFeatures(ledger, clock, home, features),
        registry=registry,
        models=ModelCatalog(changes),
        versions=versions,
        sources=sources,
        model_folders=ModelFolders(registry.version, blobs),
        aliases=aliases,
        imports=ImportService(ledger, clock, logging.experiments, logging.artifacts),
        model_imports=ModelImports(changes, aliases, tree),
        webhooks=webhooks,
        webhook_sender=sender,
        rollouts=rollouts,
        deployments=deployments,
        monitoring=monitoring,
        loop=loop,
        overview=OverviewService(ledger, clock, job_service, registry, rollouts, deployments, monitoring),
        trace=TraceService(ledger, tracking, data, features, registry, deployments),
        counterfactual=CounterfactualService(ledger, blobs, registry, log),
        garbage=garbage,
        audit=AuditService(ledger),
        launcher=launcher,
    )


def _logging(home: Home, ledger: Ledger, blobs: Blobs, clock: Clock) -> TrackingDoors:
    """What outside clients log to. Their ids never come from the seed: a simulation must not depend on them."""
    ids = Random(os.urandom(16))
    experiments = ExperimentService(ledger, clock)
    artifacts = ArtifactService(ledger, blobs, clock, home.tmp / "uploads", ids)
    return TrackingDoors(
        experiments=experiments,
        runs=RunService(ledger, clock, experiments, ids),
        metrics=MetricService(ledger),
        models=LoggedModelService(ledger, clock, experiments, ids),
        artifacts=artifacts,
    )


def _garbage(
    home: Home, ledger: Ledger, blobs: Blobs, clock: Clock, job_service: JobService, logging: TrackingDoors,
    wake: Callable[[], None],
) -> GarbageService:  # fmt: skip
    """What refers to runs and to blobs, a source a domain: a domain that begins to do so is added here."""

    def uploads(reader: Reader, project: str) -> Iterator[tuple[str, str]]:
        for path in logging.artifacts.uploads_under_way(project):
            yield f"the upload of {path}", path

    stores = (jobs, data_store, features_store, registry_store, loop_store, serving_store)
    named = [store.blobs_named for store in stores]
    collector = RunCollector(ledger, clock, (registry_store.origins, jobs.claims, uploads))
    deployed = references_in_files(home.deployments)
    return GarbageService(ledger, blobs, clock, job_service, collector, (*named, deployed), wake)


def seeded(ledger: Ledger, seed: int) -> Random:
    """Where ids and salts come from in a simulation that must repeat.

    Whatever takes an id is a decision. So a server that is started again on the same ledger, with one decision
    more, does not give the same ids a second time.
    """
    with ledger.read() as reader:
        return Random(f"{seed}:{loop_store.count_decisions(reader)}")


def _listen(
    dispatcher: EventDispatcher, deployments: DeploymentService, webhooks: WebhookService
) -> EventDispatcher:
    """Whatever revises a deployment, its file follows, after a crash in between too; webhooks are told of the rest."""

    def publish(event: Event) -> None:
        context = system_context(event.project)
        deployments.publish(context, event.payload["environment"], event.payload["name"])

    dispatcher.listen("publish-deployment", {REVISED}, publish)
    dispatcher.listen("webhooks", set(mlflow_webhooks.KINDS), mlflow_webhooks.listener(webhooks))
    return dispatcher
