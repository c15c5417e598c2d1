"""`status`: every model at a glance, the one in most trouble first."""

from __future__ import annotations

from typing import Literal

import msgspec

from holdfast.base.clock import DAY_US, Clock, Micros
from holdfast.base.context import Context
from holdfast.base.jobs import Job, JobService
from holdfast.base.ledger import Ledger
from holdfast.base.operations import operation
from holdfast.loop import store
from holdfast.loop.records import Decision
from holdfast.monitoring.records import (
    Alert,
    Check,
    ListChecksRequest,
    ModelHealthRequest,
    QualityPoint,
)
from holdfast.monitoring.service import MonitoringService
from holdfast.registry.baseline import DEFAULT_LOSS
from holdfast.registry.records import ModelVersion
from holdfast.registry.service import RegistryService
from holdfast.rollout.records import Rollout, Variant
from holdfast.rollout.service import RolloutService
from holdfast.serving.service import DeploymentService

Health = Literal["alert", "frozen", "rollout", "training", "ok", "insufficient data", "not deployed"]

_WORST_FIRST: tuple[Health, ...] = (
    "alert",
    "frozen",
    "insufficient data",
    "not deployed",
    "rollout",
    "training",
    "ok",
)
_RECENT_US = 7 * DAY_US
_CHECK_KINDS = 4


class StatusRequest(msgspec.Struct, frozen=True):
    """All models, or one."""

    name: str | None = None


class ModelStatus(msgspec.Struct, frozen=True):
    """The state of one model in its environment. Quality is that of the last seven days with labels.

    `health` is `ok` only where the latest checks could have seen a problem; where they could not it says
    `insufficient data`. A version from outside has no baseline: its quality is measured in the loss of its task, with
    its 95% `interval`, and compared with nothing.
    """

    name: str
    environment: str
    health: Health
    message: str
    champion: int | None
    live_since_at: Micros | None
    revision: int | None
    variants: tuple[Variant, ...]
    warm: tuple[int, ...]
    frozen: bool
    metric: str | None
    quality: float | None
    baseline: float | None
    labelled: int
    predictions: int
    alerts: tuple[Alert, ...]
    rollout: Rollout | None
    job: Job | None
    last_decision: Decision | None
    active: bool
    has_baseline: bool = True
    interval: tuple[float, float] | None = None


class Overview(msgspec.Struct, frozen=True):
    """Every model of the project, worst first, at a moment of domain time."""

    now_at: Micros
    simulated: bool
    models: tuple[ModelStatus, ...]


class OverviewService:
    """Gathers what every domain knows of each model."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        job_service: JobService,
        registry: RegistryService,
        rollouts: RolloutService,
        deployments: DeploymentService,
        monitoring: MonitoringService,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._jobs = job_service
        self._registry = registry
        self._rollouts = rollouts
        self._deployments = deployments
        self._monitoring = monitoring

    @operation("GET", "/status", "Every model at a glance, the worst first.")
    def status(self, context: Context, request: StatusRequest) -> Overview:
        with self._ledger.read() as reader:
            declared = store.declarations(reader, context)
        wanted = [item for item in declared if request.name in (None, item.name)]
        models = [self._model(context, item) for item in wanted]
        models.sort(key=lambda item: (_WORST_FIRST.index(item.health), item.name))
        return Overview(self._clock.now(), self._clock.simulated, tuple(models))

    def _model(self, context: Context, declaration: store.Declaration) -> ModelStatus:
        name, environment = declaration.name, declaration.spec.environment
        with self._ledger.read() as reader:
            deployment = self._deployments.find(reader, context, environment, name)
            alerts = tuple(self._monitoring.open_alerts(reader, context, environment, name))
            rollout = self._rollouts.open_rollout(reader, context, environment, name)
            decisions = store.decisions(reader, context, name, limit=1)
        champion = deployment.revision.champion if deployment else None
        variants = deployment.revision.variants if deployment else ()
        local = self._deployments.local_change(context, deployment) if deployment else None
        if local is not None:
            variants = local.variants
            champion = next((item.version for item in variants if item.role == "champion"), champion)
        job = next((item for item in self._jobs.open_jobs(context) if item.exclusive == name), None)
        version = self._registry.version(context, name, champion) if champion is not None else None
        metric, baseline, live_since = self._champion(version)
        has_baseline = version is None or self._monitoring.baseline(version) is not None
        if local is not None:
            live_since = local.changed_at
        quality = self._quality(context, environment, name, champion, live_since)
        interval = None
        if champion is not None and not has_baseline:
            point = self._own_quality(context, environment, name, champion, live_since)
            quality, interval = (point.value, point.labelled, quality[2]), point.interval
        health, message = (
            self._health(context, environment, name, champion, alerts)
            if has_baseline or alerts
            else ("insufficient data", _uncompared(champion, metric, quality[1]))
        )
        if deployment is not None and deployment.frozen and health != "alert":
            health, message = "frozen", f"promotion is frozen after a rollback; `holdfast resume {name}`"
        if local is not None:
            by = local.changed_by or "somebody"
            health, message = (
                "frozen",
                f"{by} rolled back without the server, which will adopt it when it is back",
            )
        elif health == "ok" and rollout is not None:
            health, message = "rollout", f"version {rollout.candidate} is being rolled out ({rollout.state})"
        elif health in ("ok", "not deployed") and job is not None:
            health, message = "training", f"job {job.number} is {job.state}"
        return ModelStatus(
            name=name,
            environment=environment,
            health=health,
            message=message,
            champion=champion,
            live_since_at=live_since,
            revision=deployment.revision.number if deployment else None,
            variants=variants,
            warm=local.warm if local else deployment.revision.warm if deployment else (),
            frozen=local is not None or (deployment.frozen if deployment else False),
            metric=metric,
            quality=quality[0],
            baseline=baseline,
            labelled=quality[1],
            predictions=quality[2],
            alerts=alerts,
            rollout=rollout,
            job=job,
            last_decision=decisions[0] if decisions else None,
            active=declaration.active,
            has_baseline=has_baseline,
            interval=interval,
        )

    def _own_quality(
        self, context: Context, environment: str, name: str, champion: int, live_since: Micros | None
    ) -> QualityPoint:
        """What the champion itself answered in the last seven days, since it is live."""
        since = max(self._clock.now() - _RECENT_US, live_since or 0)
        return self._monitoring.recent_quality(context, environment, name, champion, since)

    def _quality(
        self,
        context: Context,
        environment: str,
        name: str,
        champion: int | None,
        live_since: Micros | None,
    ) -> tuple[float | None, int, int]:
        """Metric and labels of the champion since it is live, and rows of all, in the last seven days.

        Days on which another version answered most do not count for it; the metric is weighted by labels.
        """
        since = self._clock.now() - _RECENT_US
        points = self._monitoring.quality(context, ModelHealthRequest(name, environment))
        recent = [point for point in points if point.day_at >= since]
        first_day = (live_since or 0) // DAY_US * DAY_US
        own = [point for point in recent if point.version == champion and point.day_at >= first_day]
        labelled = [point for point in own if point.labelled and point.value is not None]
        count = sum(point.labelled for point in labelled)
        total = sum((point.value or 0.0) * point.labelled for point in labelled)
        return (total / count if count else None), count, sum(point.rows for point in recent)

    def _champion(self, version: ModelVersion | None) -> tuple[str | None, float | None, Micros | None]:
        if version is None:
            return None, None, None
        live = [step.at for step in version.transitions if step.stage == "live"]
        baseline = self._monitoring.baseline(version)
        losses = baseline.losses if baseline else None
        return (
            losses.metric if losses else DEFAULT_LOSS.get(version.task),
            version.metrics.get(losses.metric) if losses else None,
            live[-1] if live else None,
        )

    def _health(
        self, context: Context, environment: str, name: str, champion: int | None, alerts: tuple[Alert, ...]
    ) -> tuple[Health, str]:
        if champion is None:
            return "not deployed", f"nothing is deployed; `holdfast deploy {name}`"
        if alerts:
            return "alert", alerts[0].message
        checks = self._latest_checks(context, environment, name, champion)
        if not checks:
            return (
                "insufficient data",
                f"no check of version {champion} has run yet; `hf.monitor(every=…)` sets how often",
            )
        unsure = [check for check in checks if check.state == "insufficient data"]
        if unsure:
            return "insufficient data", f"{unsure[0].kind}: {unsure[0].message}"
        return "ok", "; ".join(f"{check.kind} ok" for check in checks if check.state == "ok")

    def _latest_checks(self, context: Context, environment: str, name: str, champion: int) -> list[Check]:
        """The checks of the champion that were made together last."""
        request = ListChecksRequest(model=name, environment=environment, limit=_CHECK_KINDS)
        checks = [item for item in self._monitoring.list_checks(context, request) if item.version == champion]
        return [item for item in checks if item.checked_at == checks[0].checked_at]


def _uncompared(champion: int | None, metric: str | None, labelled: int) -> str:
    """What is known of a version that training left no baseline of."""
    why = f"version {champion} was registered from outside, so there is no baseline to compare with"
    if not labelled:
        return f"{why}; no label of the last 7 days has arrived yet"
    return f"{why}; its {metric} is measured over {labelled} labels"
