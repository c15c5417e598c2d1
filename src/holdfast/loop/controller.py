"""One look at one model: gather evidence, decide by pure rules, apply. Called at every tick of the clock.

The order matters. Rollouts come first, because they may be hurting someone; then versions that wait for their
rollout; then monitoring; then the question whether to train again.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from holdfast.base import jobs, urn
from holdfast.base.clock import Clock, Micros
from holdfast.base.context import Context
from holdfast.base.ledger import Ledger, Transaction
from holdfast.loop import store
from holdfast.loop.actions import Actions, Why, evidence_of
from holdfast.loop.log_follower import LogFollower
from holdfast.loop.policy import RetrainReason, RetrainState, decide_retraining, wants_retraining
from holdfast.loop.records import LoopSpec
from holdfast.loop.training_jobs import TRAIN, training_spec
from holdfast.monitoring.service import MonitoringService
from holdfast.registry.records import ModelVersion
from holdfast.registry.service import RegistryService
from holdfast.rollout.policy import decide
from holdfast.rollout.records import Rollout, Verdict
from holdfast.rollout.service import RolloutService
from holdfast.serving.records import Deployment, DeploymentKey
from holdfast.serving.service import DeploymentService

if TYPE_CHECKING:
    from holdfast.serving.log import PredictionLog


class Controller:
    """Looks at one declared model at a time and returns how many decisions it took."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        registry: RegistryService,
        rollouts: RolloutService,
        deployments: DeploymentService,
        log: PredictionLog,
        monitoring: MonitoringService,
        actions: Actions,
        rng: Random,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._registry = registry
        self._rollouts = rollouts
        self._deployments = deployments
        self._log = log
        self._follower = LogFollower(log)
        self._monitoring = monitoring
        self._actions = actions
        self._rng = rng

    def look(self, context: Context, declaration: store.Declaration) -> int:
        """Decides what is due for one model now."""
        spec, now = declaration.spec, self._clock.now()
        with self._ledger.read() as reader:
            deployment = self._deployments.find(reader, context, spec.environment, declaration.name)
        if deployment is not None:
            self._monitor(context, spec, deployment, now)
            rollout = self._follow(context, deployment)
            if rollout is not None and self._judge_rollout(context, rollout, now):
                return 1
        if declaration.active and self._take_up(context, spec, deployment, now):
            return 1
        if declaration.active and deployment is not None:
            return int(self._retrain(context, declaration, deployment, now))
        return 0

    def _monitor(self, context: Context, spec: LoopSpec, deployment: Deployment, now: Micros) -> None:
        champion = deployment.revision.champion
        if champion is None:
            return
        version = self._registry.version(context, deployment.name, champion)
        self._monitoring.watch(context, deployment.environment, version, spec.monitor, now)
        self._log.ship(DeploymentKey(context.project, deployment.environment, deployment.name))

    def _follow(self, context: Context, deployment: Deployment) -> Rollout | None:
        """Takes in what is new in the log; returns the open rollout."""
        with self._ledger.read() as reader:
            rollout = self._rollouts.open_rollout(reader, context, deployment.environment, deployment.name)
            trained_at = store.last_training_at(reader, context, deployment.name)
        key = DeploymentKey(context.project, deployment.environment, deployment.name)
        self._follower.follow(key, rollout, trained_at or 0)
        return rollout

    def _judge_rollout(self, context: Context, rollout: Rollout, now: Micros) -> bool:
        verdict, why = self._verdict(context, rollout, now)
        if verdict.action == "hold" and _same(verdict, rollout.verdict):
            return False

        def apply(transaction: Transaction) -> bool:
            return self._apply(transaction, context, rollout, verdict, why, now)

        changed = self._ledger.write(apply)
        if changed:
            self._deployments.publish(context, rollout.environment, rollout.model)
        return changed

    def _verdict(self, context: Context, rollout: Rollout, now: Micros) -> tuple[Verdict, Why]:
        from holdfast.rollout.evidence import gather

        candidate = self._registry.version(context, rollout.model, rollout.candidate)
        key = DeploymentKey(context.project, rollout.environment, rollout.model)
        evidence = gather(
            *self._follower.evidence(key),
            rollout,
            self._metric(rollout, candidate),
            candidate.task,
            now,
        )
        verdict = decide(rollout.policy, rollout, evidence)
        return verdict, Why(
            rollout.policy.strategy,
            verdict.reason,
            {"verdict": evidence_of(verdict), "evidence": evidence_of(evidence)},
        )

    def _metric(self, rollout: Rollout, candidate: ModelVersion) -> str:
        return rollout.policy.metric or ("mae" if candidate.task == "regression" else "log_loss")

    def _apply(
        self,
        transaction: Transaction,
        context: Context,
        rollout: Rollout,
        verdict: Verdict,
        why: Why,
        now: Micros,
    ) -> bool:
        loop = context.as_loop()
        if verdict.action == "hold":
            self._rollouts.record_verdict(transaction, loop, rollout.number, verdict, now)
            return False
        if verdict.action == "advance":
            self._actions.advance(transaction, loop, rollout, verdict, why, now)
        elif verdict.action == "promote":
            self._actions.promote(transaction, loop, rollout, verdict, why, now)
        else:
            harmful = verdict.action == "roll back"
            self._actions.drop_candidate(transaction, loop, rollout, verdict, why, now, quarantine=harmful)
        return True

    def _take_up(self, context: Context, spec: LoopSpec, deployment: Deployment | None, now: Micros) -> bool:
        """Starts the rollout of the newest version that waits for one, or rejects it."""
        loop, name = context.as_loop(), spec.model.name
        version = self._registry.latest(context, name)
        if version is None or version.stage not in ("gated", "approved", "rejected"):
            return False
        if version.stage == "rejected":
            return self._reject(loop, spec, version, now)
        if deployment is None:
            why = Why(
                "first version", f"version {version.version} is the first whose gates passed", _gates(version)
            )
            self._ledger.write(
                lambda tx: self._actions.go_live(
                    tx, loop, spec.environment, name, version.version, "deploy", why, now
                )
            )
        else:
            if deployment.frozen or self._open_rollout(context, deployment) is not None:
                return False
            present = deployment
            why = Why(spec.rollout.strategy, f"version {version.version} passed its gates", _gates(version))
            if spec.rollout.strategy == "direct":
                self._ledger.write(
                    lambda tx: self._actions.go_live(
                        tx, loop, spec.environment, name, version.version, "promote", why, now
                    )
                )
            else:
                self._ledger.write(
                    lambda tx: self._actions.start_rollout(
                        tx, loop, present, version.version, spec.rollout, why, now
                    )
                )
        self._deployments.publish(context, spec.environment, name)
        return True

    def _reject(self, loop: Context, spec: LoopSpec, version: ModelVersion, now: Micros) -> bool:
        failed = [gate for gate in version.gates if gate.state != "passed"]
        reason = failed[0].message if failed else "its gates did not pass"
        why = Why("gates", f"version {version.version} stays out of production: {reason}", _gates(version))

        def apply(transaction: Transaction) -> bool:
            if store.decided(transaction, loop, "reject", version.urn):
                return False
            self._actions.reject(transaction, loop, spec.environment, version.name, version.version, why, now)
            return True

        return self._ledger.write(apply)

    def _open_rollout(self, context: Context, deployment: Deployment) -> Rollout | None:
        with self._ledger.read() as reader:
            return self._rollouts.open_rollout(reader, context, deployment.environment, deployment.name)

    def _retrain(
        self, context: Context, declaration: store.Declaration, deployment: Deployment, now: Micros
    ) -> bool:
        spec, name = declaration.spec, declaration.name
        state = self._retrain_state(context, spec, deployment, now)
        if wants_retraining(spec.retrain, state) is None:
            return False
        key = DeploymentKey(context.project, spec.environment, name)
        labels = self._follower.labelled_since(key, state.last_trained_at, now)
        reason = decide_retraining(
            spec.retrain,
            RetrainState(now, state.last_trained_at, labels, state.open_alerts, state.busy),
        )
        if reason is None:
            return False
        self._ledger.write(lambda tx: self._request(tx, context.as_loop(), spec, reason, labels, now))
        return True

    def _retrain_state(
        self, context: Context, spec: LoopSpec, deployment: Deployment, now: Micros
    ) -> RetrainState:
        name = spec.model.name
        with self._ledger.read() as reader:
            trained_at = store.last_training_at(reader, context, name)
            rollout = self._rollouts.open_rollout(reader, context, spec.environment, name)
            training = jobs.find_open(reader, context, TRAIN, name)
            alerts = self._monitoring.open_alerts(reader, context, spec.environment, name)
        busy = None
        if deployment.frozen:
            busy = "automatic promotion is frozen"
        elif rollout is not None:
            busy = f"rollout {rollout.number} is under way"
        elif training is not None:
            busy = f"job {training} is training"
        return RetrainState(now, trained_at or 0, 0, tuple(alerts), busy)

    def _request(
        self,
        transaction: Transaction,
        loop: Context,
        spec: LoopSpec,
        reason: RetrainReason,
        labels: int,
        now: Micros,
    ) -> None:
        name = spec.model.name
        request = training_spec(self._rng, name, now, f"{reason.rule}: {reason.reason}")
        job = jobs.submit(transaction, loop, TRAIN, name, request, now)
        store.add_decision(
            transaction,
            loop,
            model=name,
            environment=spec.environment,
            kind="retrain",
            subject=urn.run(request["run_id"]),
            rule=reason.rule,
            reason=reason.reason,
            evidence={"alerts": list(reason.alerts), "new_labels": labels, "job": job},
            reversal="",
            at=now,
        )


def _gates(version: ModelVersion) -> dict[str, object]:
    return {"gates": [evidence_of(gate) for gate in version.gates], "metrics": version.metrics}


def _same(verdict: Verdict, before: Verdict | None) -> bool:
    """Whether a verdict says what the one before it said, so that an idle rollout does not fill the ledger."""
    return before is not None and verdict.action == before.action and verdict.rows == before.rows
