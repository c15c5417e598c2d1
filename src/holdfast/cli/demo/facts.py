"""What happened, read back through the API: from the ledger and the prediction log, not from what the driver did."""

from __future__ import annotations

from typing import Any

import msgspec

from holdfast.base.clock import Micros, format_time
from holdfast.cli.demo.driver import Driver
from holdfast.cli.demo.processes import Processes
from holdfast.cli.demo.rollback import RollbackTiming
from holdfast.cli.demo.scene import Scene
from holdfast.loop.counterfactual import CounterfactualService
from holdfast.loop.records import Decision, ListDecisionsRequest, WithoutRetraining, WithoutRetrainingRequest
from holdfast.loop.service import LoopService
from holdfast.monitoring.records import Alert, ListAlertsRequest
from holdfast.monitoring.service import MonitoringService
from holdfast.registry.records import ListVersionsRequest, ModelVersion
from holdfast.registry.service import RegistryService

_MOST = 1000
_PAGE = 100


class Facts(msgspec.Struct, frozen=True):
    """One run of the demo. Decisions, alerts and versions are oldest first."""

    scene: str
    model: str
    simulated: bool
    seed: int
    decisions: tuple[Decision, ...]
    alerts: tuple[Alert, ...]
    versions: tuple[ModelVersion, ...]
    quality: WithoutRetraining
    predictions_sent: int
    labels_sent: int
    rollback: RollbackTiming | None

    def of_kind(self, *kinds: str) -> list[Decision]:
        """The decisions of some kinds."""
        return [item for item in self.decisions if item.kind in kinds]

    def retrainings(self) -> list[Decision]:
        """The trainings that the loop decided, without the first, which a person asked for."""
        return [item for item in self.of_kind("retrain") if item.actor_kind == "loop"]

    def version_of_run(self, run: str) -> ModelVersion | None:
        """The version that came of a training, by the URN of its run."""
        return next((item for item in self.versions if f"tracking/run/{item.run_id}" == run), None)

    def champions(self) -> list[tuple[Micros, int]]:
        """Since when which version answered, in order."""
        found: list[tuple[Micros, int]] = []
        for item in self.decisions:
            version = champion_after(item)
            if version is not None:
                found.append((item.decided_at, version))
        return found


def champion_after(decision: Decision) -> int | None:
    """The version that a decision made the champion; None where it left the champion alone."""
    if decision.kind in ("deploy", "promote"):
        return int(decision.subject.rpartition("@")[2])
    target = decision.evidence.get("to") if decision.kind == "roll back" else None
    return target if isinstance(target, int) else None


def gather(
    processes: Processes, scene: Scene, seed: int, driver: Driver, rollback: RollbackTiming | None
) -> Facts:
    """Asks the server for everything that the story tells."""
    model = scene.model
    decisions = processes.call(LoopService.list_decisions, ListDecisionsRequest(model, limit=_MOST))
    return Facts(
        scene=scene.name,
        model=model,
        simulated=scene.simulated,
        seed=seed,
        decisions=tuple(reversed(decisions)),
        alerts=tuple(reversed(_alerts(processes, model))),
        versions=tuple(reversed(_versions(processes, model))),
        quality=processes.call(
            CounterfactualService.without_retraining, WithoutRetrainingRequest(model, from_at=scene.start_at)
        ),
        predictions_sent=driver.predictions,
        labels_sent=driver.labels,
        rollback=rollback,
    )


def as_json(facts: Facts, wall_s: float) -> dict[str, Any]:
    """The object that `--json` prints."""
    quality = facts.quality
    return {
        "world": facts.scene,
        "simulated": facts.simulated,
        "seed": facts.seed,
        "model": facts.model,
        "champion_versions": [version for _, version in facts.champions()],
        "retrainings": len(facts.retrainings()),
        "promotions": len(facts.of_kind("promote")),
        "rejections": len(facts.of_kind("reject")),
        "rollbacks": len(facts.of_kind("roll back")),
        "alerts": len(facts.alerts),
        f"{quality.metric}_loop": quality.loop,
        f"{quality.metric}_never": quality.never,
        "ratio": quality.ratio,
        "ratio_ci95": quality.ratio_ci95,
        "predictions_sent": facts.predictions_sent,
        "predictions_logged": quality.predictions_logged,
        "labels_sent": facts.labels_sent,
        "labels_joined": quality.labels_joined,
        "rollback_ms": facts.rollback.first_ms if facts.rollback else None,
        "rollback": msgspec.to_builtins(facts.rollback),
        "wall_s": round(wall_s, 1),
        "decisions": [
            (item.kind, item.subject, format_time(item.decided_at), item.rule) for item in facts.decisions
        ],
    }


def _alerts(processes: Processes, model: str) -> list[Alert]:
    found: list[Alert] = []
    while True:
        before = found[-1].number if found else None
        request = ListAlertsRequest(model=model, before=before, limit=_PAGE)
        page = processes.call(MonitoringService.list_alerts, request)
        found += page
        if len(page) < _PAGE:
            return found


def _versions(processes: Processes, model: str) -> list[ModelVersion]:
    found: list[ModelVersion] = []
    before: int | None = None
    while True:
        page = processes.call(RegistryService.list_versions, ListVersionsRequest(model, before, _PAGE))
        found += page.versions
        before = page.next_before
        if before is None:
            return found
