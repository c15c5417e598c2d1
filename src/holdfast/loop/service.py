"""The verbs on a model as a whole: declare, train, deploy, promote, abort, roll back, resume; and the tick.

People and the loop share the actions below them, so that whoever decides leaves the same trail.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import msgspec

from holdfast.base import bundle, jobs, urn
from holdfast.base.blobs import Blobs
from holdfast.base.clock import Clock
from holdfast.base.context import Actor, Context, system_context
from holdfast.base.errors import InvalidError, NotFoundError
from holdfast.base.jobs import Job, JobService
from holdfast.base.ledger import Ledger, Reader, Transaction
from holdfast.base.operations import operation
from holdfast.loop import store
from holdfast.loop.actions import Actions, Why
from holdfast.loop.candidates import Candidates, challenger_policy, record_declaration
from holdfast.loop.controller import Controller
from holdfast.loop.errors import NotDeployableError, UndeclaredModelError, UntrainableError
from holdfast.loop.records import (
    AbortRequest,
    Decision,
    DecisionKind,
    DeclareRequest,
    DeployRequest,
    GetDecisionRequest,
    ListDecisionsRequest,
    PromoteRequest,
    ResumeRequest,
    RollbackRequest,
    RollbackResult,
    TrainRequest,
)
from holdfast.loop.training_jobs import TRAIN, training_spec
from holdfast.registry.records import ModelVersion
from holdfast.registry.service import RegistryService
from holdfast.rollout.errors import NoRolloutError
from holdfast.rollout.records import Rollout, Verdict
from holdfast.rollout.service import RolloutService
from holdfast.serving.errors import NothingToRollBackToError, QuarantinedError
from holdfast.serving.records import Deployment
from holdfast.serving.service import DeploymentService

_DEPLOYABLE = {"gated", "approved", "retired", "staged", "live"}


class LoopService:
    """Runs declared models as closed loops, and lets people step in."""

    def __init__(
        self,
        ledger: Ledger,
        blobs: Blobs,
        clock: Clock,
        job_service: JobService,
        registry: RegistryService,
        rollouts: RolloutService,
        deployments: DeploymentService,
        actions: Actions,
        controller: Controller,
        rng: Random,
        wake: Callable[[], None],
        candidates: Candidates,
    ) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock
        self._jobs = job_service
        self._registry = registry
        self._rollouts = rollouts
        self._deployments = deployments
        self._actions = actions
        self._controller = controller
        self._rng = rng
        self._wake = wake
        self._candidates = candidates

    @operation("PUT", "/models/{name}/declaration", "Declare a model with its source bundle.")
    def declare(self, context: Context, request: DeclareRequest) -> store.Declaration:
        packed = msgspec.msgpack.decode(request.bundle, type=bundle.SourceBundle)
        if request.name != request.spec.model.name:
            raise InvalidError(f"the declaration is of {request.spec.model.name!r}, not of {request.name!r}")
        declaration = store.Declaration(
            spec=request.spec,
            bundle=self._blobs.put(request.bundle),
            entry=packed.entry,
            active=request.active,
            declared_at=self._clock.now(),
            declared_by=context.actor.name,
        )
        self._ledger.write(lambda tx: record_declaration(tx, context, declaration))
        self._wake()
        return self.declaration(context, request.name)

    @operation("POST", "/models/{name}/train", "Train a declared model now.")
    def train(self, context: Context, request: TrainRequest) -> Job:
        declaration = self.declaration(context, request.name)
        if not declaration.bundle:
            raise UntrainableError(request.name)
        because = request.reason or f"{context.actor.name} asked for it"
        number = self._ledger.write(lambda tx: self._train(tx, context, declaration, because))
        self._wake()
        return self._jobs.get(context, jobs.GetJobRequest(number))

    @operation("POST", "/models/{name}/deploy", "Roll a registered version out.")
    def deploy(self, context: Context, request: DeployRequest) -> Decision:
        version = self._candidates.version(context, request)
        declaration = self._candidates.declaration(context, version)
        self._ledger.write(lambda tx: self._deploy(tx, context, declaration, version, request))
        return self._publish(context, declaration)

    @operation("POST", "/models/{name}/promote", "Promote the candidate of the open rollout now.")
    def promote(self, context: Context, request: PromoteRequest) -> Decision:
        declaration = self.declaration(context, request.name)
        reason = request.reason or f"{context.actor.name} promoted it"

        def change(transaction: Transaction) -> None:
            rollout = self._rollout(transaction, context, declaration)
            verdict, why = Verdict("promote", reason), Why("a person", reason, _last_verdict(rollout))
            self._actions.promote(transaction, context, rollout, verdict, why, self._clock.now())

        self._ledger.write(change)
        return self._publish(context, declaration)

    @operation("POST", "/models/{name}/abort", "End the open rollout; the champion stays.")
    def abort(self, context: Context, request: AbortRequest) -> Decision:
        declaration = self.declaration(context, request.name)
        reason = request.reason or f"{context.actor.name} aborted it"

        def change(transaction: Transaction) -> None:
            rollout = self._rollout(transaction, context, declaration)
            verdict, why = Verdict("give up", reason), Why("a person", reason, _last_verdict(rollout))
            now = self._clock.now()
            self._actions.drop_candidate(transaction, context, rollout, verdict, why, now, quarantine=False)

        self._ledger.write(change)
        return self._publish(context, declaration)

    @operation("POST", "/models/{name}/rollback", "Put the version before back into production.")
    def rollback(self, context: Context, request: RollbackRequest) -> RollbackResult:
        declaration = self.declaration(context, request.name)
        reason = request.reason or f"{context.actor.name} rolled it back"
        environment = request.environment or declaration.spec.environment

        def change(transaction: Transaction) -> tuple[int, int]:
            deployment = self._deployments.require(transaction, context, environment, request.name)
            if request.to is not None:
                self._registry.version_in(transaction, context, request.name, request.to)
            target = _rollback_target(deployment, request.to)
            left = deployment.revision.champion or 0
            why = Why("a person", reason, {"from": left, "to": target})
            self._actions.roll_back(transaction, context, deployment, target, why, self._clock.now())
            return left, target

        with self._ledger.read() as reader:
            rollout = self._rollouts.open_rollout(reader, context, environment, request.name)
        left, target = self._ledger.write(change)
        decision = self._publish(context, declaration)
        with self._ledger.read() as reader:
            deployment = self._deployments.require(reader, context, environment, request.name)
        ended = rollout.candidate if rollout else None
        return RollbackResult(request.name, left, target, deployment.revision.number, decision, ended)

    @operation("POST", "/models/{name}/resume", "Let the loop promote by itself again after a rollback.")
    def resume(self, context: Context, request: ResumeRequest) -> Decision:
        declaration = self.declaration(context, request.name)
        environment = declaration.spec.environment
        reason = request.reason or f"{context.actor.name} resumed automatic promotion"

        def change(transaction: Transaction) -> None:
            deployment = self._deployments.require(transaction, context, environment, request.name)
            if not deployment.frozen:
                raise InvalidError(f"automatic promotion of {request.name} is not frozen")
            self._deployments.set_guards(
                transaction, context, deployment, frozen=False, quarantined=deployment.quarantined
            )
            subject = urn.deployment(environment, request.name)
            why = Why("a person", reason)
            self._actions.decide(
                transaction, context, environment, request.name, "resume", subject, why, "", self._clock.now()
            )

        self._ledger.write(change)
        self._wake()
        return self._last_decision(context, request.name)

    @operation("GET", "/decisions", "The newest decisions, of one model or of all.")
    def list_decisions(self, context: Context, request: ListDecisionsRequest) -> list[Decision]:
        with self._ledger.read() as reader:
            return store.decisions(
                reader, context, request.model, request.kind, max(1, min(request.limit, 1000))
            )

    @operation("GET", "/decisions/{number}", "One decision with its evidence.")
    def get_decision(self, context: Context, request: GetDecisionRequest) -> Decision:
        with self._ledger.read() as reader:
            found = store.get_decision(reader, context, request.number)
        if found is None:
            raise NotFoundError(
                f"there is no decision {request.number}", hint="list them with `holdfast status`"
            )
        return found

    def declaration(self, context: Context, name: str) -> store.Declaration:
        """What was declared under a name.

        Raises:
            UndeclaredModelError: nothing was; the message lists what was.
        """
        with self._ledger.read() as reader:
            found = store.get_declaration(reader, context, name)
            if found is None:
                known = [item.name for item in store.declarations(reader, context)]
                raise UndeclaredModelError(name, known)
        return found

    def declarations(self, context: Context) -> list[store.Declaration]:
        """Everything declared in the project."""
        with self._ledger.read() as reader:
            return store.declarations(reader, context)

    def contexts(self) -> list[Context]:
        """One context for each project in which something is declared."""
        with self._ledger.read() as reader:
            return [system_context(project) for project in store.projects(reader)]

    def has_active_models(self) -> bool:
        """Whether the loop is in charge of anything."""
        return any(item.active for context in self.contexts() for item in self.declarations(context))

    def tick(self, context: Context) -> int:
        """Looks at every declared model of the project once; returns how many decisions were taken."""
        return sum(self._controller.look(context, item) for item in self.declarations(context))

    def adopt_local_changes(self, context: Context) -> int:
        """Takes over rollbacks that were made while the server was down; returns how many."""
        return sum(self._adopt(context, declaration) for declaration in self.declarations(context))

    def _adopt(self, context: Context, declaration: store.Declaration) -> bool:
        with self._ledger.read() as reader:
            deployment = self._deployments.find(
                reader, context, declaration.spec.environment, declaration.name
            )
        file = self._deployments.local_change(context, deployment) if deployment else None
        if deployment is None or file is None:
            return False
        target = next(variant.version for variant in file.variants if variant.role == "champion")
        who = Context(Actor(file.changed_by or "unknown"), context.project)
        reason = f"{who.actor.name} rolled it back while the server was down"
        why = Why("a person", reason, {"from": deployment.revision.champion, "to": target})
        # Who rolls back locally has only the machine's clock, which says nothing in a simulation.
        at = self._clock.now() if self._clock.simulated else file.changed_at

        def change(transaction: Transaction) -> None:
            self._actions.roll_back(transaction, who, deployment, target, why, at, epoch_at_least=file.epoch)

        self._ledger.write(change)
        return True

    def _train(
        self, transaction: Transaction, context: Context, declaration: store.Declaration, because: str
    ) -> int:
        now, name = self._clock.now(), declaration.name
        spec = training_spec(self._rng, name, now, because)
        number = jobs.submit(transaction, context, TRAIN, name, spec, now)
        why = Why("a person", because, {"job": number})
        subject = urn.run(spec["run_id"])
        self._actions.decide(
            transaction, context, declaration.spec.environment, name, "retrain", subject, why, "", now
        )
        return number

    def _deploy(
        self,
        transaction: Transaction,
        context: Context,
        declaration: store.Declaration,
        version: ModelVersion,
        request: DeployRequest,
    ) -> None:
        environment, name, now = declaration.spec.environment, declaration.name, self._clock.now()
        deployment = self._deployments.find(transaction, context, environment, name)
        self._check_deployable(transaction, context, deployment, version, request)
        reason = request.reason or f"{context.actor.name} deployed version {version.version}"
        why = Why("a person", reason, {"metrics": version.metrics})
        policy = declaration.spec.rollout
        if request.challenger:
            champion = deployment.revision.champion if deployment else None
            policy = challenger_policy(policy, name, champion, direct=request.direct)
        if deployment is None or request.direct or policy.strategy == "direct":
            kind: DecisionKind = "deploy" if deployment is None else "promote"
            self._actions.go_live(transaction, context, environment, name, version.version, kind, why, now)
        else:
            self._actions.start_rollout(transaction, context, deployment, version.version, policy, why, now)

    def _check_deployable(
        self,
        transaction: Transaction,
        context: Context,
        deployment: Deployment | None,
        version: ModelVersion,
        request: DeployRequest,
    ) -> None:
        name, number = version.name, version.version
        if deployment is not None and deployment.revision.champion == number:
            raise NotDeployableError(f"version {number} of {name} is live already")
        if deployment is not None and number in deployment.quarantined:
            if not request.lift_quarantine:
                raise QuarantinedError(
                    f"version {number} of {name} is quarantined after a rollback",
                    hint=f"deploy it all the same with `holdfast deploy {name} --version {number} --lift-quarantine`",
                )
            kept = tuple(item for item in deployment.quarantined if item != number)
            self._deployments.set_guards(
                transaction, context, deployment, frozen=deployment.frozen, quarantined=kept
            )
            reason = f"{context.actor.name} lifted the quarantine"
            self._registry.transition(
                transaction, context, name, number, "approved", reason, self._clock.now()
            )
        elif version.stage not in _DEPLOYABLE:
            raise NotDeployableError(
                f"version {number} of {name} is {version.stage}",
                hint=f"see why with `holdfast trace {name} --version {number}`,"
                f" or approve it with `holdfast approve {name} --version {number}`",
            )

    def _rollout(self, reader: Reader, context: Context, declaration: store.Declaration) -> Rollout:
        rollout = self._rollouts.open_rollout(reader, context, declaration.spec.environment, declaration.name)
        if rollout is None:
            raise NoRolloutError(
                f"{declaration.name} has no open rollout",
                hint=f"start one with `holdfast deploy {declaration.name}`",
            )
        return rollout

    def _publish(self, context: Context, declaration: store.Declaration) -> Decision:
        self._deployments.publish(context, declaration.spec.environment, declaration.name)
        self._wake()
        return self._last_decision(context, declaration.name)

    def _last_decision(self, context: Context, name: str) -> Decision:
        with self._ledger.read() as reader:
            return store.decisions(reader, context, name, limit=1)[0]


def _rollback_target(deployment: Deployment, wanted: int | None) -> int:
    warm = [number for number in deployment.revision.warm if number not in deployment.quarantined]
    name = deployment.name
    if wanted is None:
        if not warm:
            raise NothingToRollBackToError(
                f"no earlier version of {name} is warm in {deployment.environment}",
                hint=f"deploy one with `holdfast deploy {name} --version N --direct`",
            )
        return warm[0]
    if wanted == deployment.revision.champion:
        raise NothingToRollBackToError(
            f"version {wanted} of {name} serves already in {deployment.environment}"
        )
    if wanted not in warm:
        have = ", ".join(str(number) for number in warm) or "none"
        raise NothingToRollBackToError(
            f"version {wanted} of {name} is not warm (warm: {have})",
            hint=f"load and switch to it with `holdfast deploy {name} --version {wanted} --direct`",
        )
    return wanted


def _last_verdict(rollout: Rollout) -> dict[str, object]:
    return {"rollout": rollout.number, "said_before": rollout.verdict.reason if rollout.verdict else ""}
