"""What decisions do: each changes rollout, deployment, registry and decision log in one transaction.

The loop and people use the same actions, so a promotion leaves the same trail whoever decided it. The caller
publishes the deployment file afterwards.
"""

from __future__ import annotations

from typing import Any

import msgspec

from holdfast.base import audit, urn
from holdfast.base.clock import Micros
from holdfast.base.context import Context
from holdfast.base.encoding import to_json
from holdfast.base.ledger import Transaction
from holdfast.loop import store
from holdfast.loop.records import DecisionKind
from holdfast.registry.service import RegistryService
from holdfast.rollout.policy import variants_of
from holdfast.rollout.records import Rollout, RolloutPolicy, Variant, Verdict
from holdfast.rollout.service import RolloutService
from holdfast.serving.records import Deployment
from holdfast.serving.service import DeploymentService


class Why(msgspec.Struct, frozen=True):
    """The rule, the reason in one sentence, and the evidence of a decision."""

    rule: str
    reason: str
    evidence: dict[str, Any] = {}


class Actions:
    """The effects of decisions on a model in an environment."""

    def __init__(
        self, registry: RegistryService, rollouts: RolloutService, deployments: DeploymentService
    ) -> None:
        self._registry = registry
        self._rollouts = rollouts
        self._deployments = deployments

    def go_live(
        self,
        transaction: Transaction,
        context: Context,
        environment: str,
        model: str,
        version: int,
        kind: DecisionKind,
        why: Why,
        at: Micros,
    ) -> int:
        """Gives a version all the traffic; the champion before it stays warm."""
        before = self._deployments.find(transaction, context, environment, model)
        champion = before.revision.champion if before else None
        self._revise(
            transaction, context, environment, model, (Variant(version, "champion", 100),), why.reason, at
        )
        if champion is not None and champion != version:
            self._registry.transition(
                transaction, context, model, champion, "retired", f"version {version} took over", at
            )
        self._registry.transition(transaction, context, model, version, "live", why.reason, at)
        self._registry.derive_aliases(transaction, context, model, version, None)
        undo = f"holdfast rollback {model}" if champion is not None else ""
        subject = urn.model_version(model, version)
        return self.decide(transaction, context, environment, model, kind, subject, why, undo, at)

    def start_rollout(
        self,
        transaction: Transaction,
        context: Context,
        deployment: Deployment,
        candidate: int,
        policy: RolloutPolicy,
        why: Why,
        at: Micros,
    ) -> Rollout:
        """Puts a candidate beside the champion: unseen as a shadow, or with the first share of a canary."""
        model, environment = deployment.name, deployment.environment
        champion = deployment.revision.champion
        assert champion is not None
        rollout = self._rollouts.start(
            transaction,
            context,
            model=model,
            environment=environment,
            candidate=candidate,
            champion=champion,
            policy=policy,
            at=at,
        )
        self._revise(transaction, context, environment, model, variants_of(rollout), why.reason, at)
        self._registry.transition(transaction, context, model, candidate, "staged", why.reason, at)
        self._registry.derive_aliases(transaction, context, model, champion, candidate)
        subject = urn.model_version(model, candidate)
        undo = f"holdfast abort {model}"
        self.decide(transaction, context, environment, model, "start rollout", subject, why, undo, at)
        return rollout

    def advance(
        self,
        transaction: Transaction,
        context: Context,
        rollout: Rollout,
        verdict: Verdict,
        why: Why,
        at: Micros,
    ) -> None:
        """Gives a canary its next share of the traffic."""
        moved = self._rollouts.advance(transaction, context, rollout.number, verdict, at)
        self._revise(
            transaction, context, rollout.environment, rollout.model, variants_of(moved), why.reason, at
        )
        subject = urn.model_version(rollout.model, rollout.candidate)
        undo = f"holdfast abort {rollout.model}"
        self.decide(
            transaction, context, rollout.environment, rollout.model, "advance", subject, why, undo, at
        )

    def promote(
        self,
        transaction: Transaction,
        context: Context,
        rollout: Rollout,
        verdict: Verdict,
        why: Why,
        at: Micros,
    ) -> None:
        """Ends a rollout with its candidate in production."""
        self._rollouts.finish(transaction, context, rollout.number, "promoted", verdict, at)
        self.go_live(
            transaction, context, rollout.environment, rollout.model, rollout.candidate, "promote", why, at
        )

    def drop_candidate(
        self,
        transaction: Transaction,
        context: Context,
        rollout: Rollout,
        verdict: Verdict,
        why: Why,
        at: Micros,
        *,
        quarantine: bool,
    ) -> None:
        """Ends a rollout with the champion alone; a candidate that did harm is quarantined."""
        self._rollouts.finish(
            transaction, context, rollout.number, "rolled back" if quarantine else "aborted", verdict, at
        )
        deployment = self._deployments.require(transaction, context, rollout.environment, rollout.model)
        if quarantine:
            self._quarantine(transaction, context, deployment, rollout.candidate, why.reason, at, frozen=None)
        else:
            self._registry.transition(
                transaction, context, rollout.model, rollout.candidate, "retired", why.reason, at
            )
        assert rollout.champion is not None
        variants = (Variant(rollout.champion, "champion", 100),)
        self._revise(transaction, context, rollout.environment, rollout.model, variants, why.reason, at)
        self._registry.derive_aliases(transaction, context, rollout.model, rollout.champion, None)
        kind: DecisionKind = "roll back" if quarantine else "give up"
        subject = urn.model_version(rollout.model, rollout.candidate)
        undo = f"holdfast deploy {rollout.model} --version {rollout.candidate}"
        self.decide(transaction, context, rollout.environment, rollout.model, kind, subject, why, undo, at)

    def roll_back(
        self,
        transaction: Transaction,
        context: Context,
        deployment: Deployment,
        target: int,
        why: Why,
        at: Micros,
        *,
        epoch_at_least: int = 0,
    ) -> int:
        """Puts an earlier version back; the one that leaves is quarantined and promotion frozen."""
        model, environment = deployment.name, deployment.environment
        champion = deployment.revision.champion
        assert champion is not None
        rollout = self._rollouts.open_rollout(transaction, context, environment, model)
        if rollout is not None:
            verdict = Verdict("roll back", why.reason)
            self._rollouts.finish(transaction, context, rollout.number, "aborted", verdict, at)
            self._registry.transition(
                transaction, context, model, rollout.candidate, "retired", why.reason, at
            )
        self._quarantine(transaction, context, deployment, champion, why.reason, at, frozen=True)
        variants = (Variant(target, "champion", 100),)
        self._deployments.revise(
            transaction,
            context,
            environment,
            model,
            variants,
            why.reason,
            at,
            epoch_at_least=epoch_at_least,
        )
        self._registry.transition(transaction, context, model, target, "live", why.reason, at)
        self._registry.derive_aliases(transaction, context, model, target, None)
        undo = f"holdfast deploy {model} --version {champion} --lift-quarantine"
        subject = urn.model_version(model, champion)
        return self.decide(transaction, context, environment, model, "roll back", subject, why, undo, at)

    def reject(
        self,
        transaction: Transaction,
        context: Context,
        environment: str,
        model: str,
        version: int,
        why: Why,
        at: Micros,
    ) -> None:
        """Records that a version stays out of production because its gates did not pass."""
        subject = urn.model_version(model, version)
        undo = f"holdfast approve {model} --version {version}"
        self.decide(transaction, context, environment, model, "reject", subject, why, undo, at)

    def _quarantine(
        self,
        transaction: Transaction,
        context: Context,
        deployment: Deployment,
        version: int,
        reason: str,
        at: Micros,
        *,
        frozen: bool | None,
    ) -> None:
        self._deployments.set_guards(
            transaction,
            context,
            deployment,
            frozen=deployment.frozen if frozen is None else frozen,
            quarantined=(*deployment.quarantined, version),
        )
        self._registry.transition(transaction, context, deployment.name, version, "quarantined", reason, at)

    def _revise(
        self,
        transaction: Transaction,
        context: Context,
        environment: str,
        model: str,
        variants: tuple[Variant, ...],
        reason: str,
        at: Micros,
    ) -> None:
        self._deployments.revise(transaction, context, environment, model, variants, reason, at)

    def decide(
        self,
        transaction: Transaction,
        context: Context,
        environment: str,
        model: str,
        kind: DecisionKind,
        subject: str,
        why: Why,
        reversal: str,
        at: Micros,
    ) -> int:
        """Records a decision, in the decision log and the audit trail, and returns its number."""
        number = store.add_decision(
            transaction,
            context,
            model=model,
            environment=environment,
            kind=kind,
            subject=subject,
            rule=why.rule,
            reason=why.reason,
            evidence=why.evidence,
            reversal=reversal,
            at=at,
        )
        detail = {"rule": why.rule, "reason": why.reason, "decision": number, "environment": environment}
        audit.record(transaction, context, kind, subject, detail, at)
        return number


def evidence_of(value: Any) -> dict[str, Any]:
    """A record as the plain JSON object that a decision keeps."""
    found: dict[str, Any] = msgspec.json.decode(to_json(value))
    return found
