"""The verbs of rollout. It records what was decided; `loop` applies it to the traffic through `serving`.

The methods that take a transaction are for callers that record several domains atomically; without `at` they
take the time from the clock.
"""

from __future__ import annotations

import msgspec

from holdfast.base import audit, lineage, urn
from holdfast.base.clock import Clock, Micros
from holdfast.base.context import Context
from holdfast.base.events import emit
from holdfast.base.ledger.protocol import Ledger, Reader, Transaction
from holdfast.base.operations import operation
from holdfast.rollout import store
from holdfast.rollout.errors import NoRolloutError, RolloutOpenError, RolloutStateError
from holdfast.rollout.records import Rollout, RolloutPolicy, RolloutState, Verdict

_ENDS: tuple[RolloutState, ...] = ("promoted", "rolled back", "aborted")


class ListRolloutsRequest(msgspec.Struct, frozen=True):
    """Of one model or of all; `before` is the number after which the page before ended."""

    model: str | None = None
    environment: str | None = None
    before: int | None = None
    limit: int = 100


class GetRolloutRequest(msgspec.Struct, frozen=True):
    """A rollout by its number."""

    number: int


class TimedVerdict(msgspec.Struct, frozen=True):
    """What was said of a rollout, and when."""

    decided_at: Micros
    verdict: Verdict


class RolloutHistory(msgspec.Struct, frozen=True):
    """A rollout and every verdict on it, oldest first: its evidence over time."""

    rollout: Rollout
    verdicts: tuple[TimedVerdict, ...]


class RolloutService:
    """Records rollouts: at most one is open for a model in an environment."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    @operation("GET", "/rollouts", "List rollouts, newest first.")
    def list_rollouts(self, context: Context, request: ListRolloutsRequest) -> list[Rollout]:
        with self._ledger.read() as reader:
            return store.list_rollouts(
                reader, context.project, request.model, request.environment, request.before, request.limit
            )

    @operation("GET", "/rollouts/{number}", "Show a rollout with the verdicts on it.")
    def get_rollout(self, context: Context, request: GetRolloutRequest) -> RolloutHistory:
        with self._ledger.read() as reader:
            rollout = self._existing(reader, context, request.number)
            verdicts = store.list_verdicts(reader, context.project, request.number)
        return RolloutHistory(rollout, tuple(TimedVerdict(at, verdict) for at, verdict in verdicts))

    def open_rollout(self, reader: Reader, context: Context, environment: str, model: str) -> Rollout | None:
        """The rollout of a model that has not ended, or None."""
        return store.find_open_rollout(reader, context.project, environment, model)

    def start(
        self,
        transaction: Transaction,
        context: Context,
        *,
        model: str,
        environment: str,
        candidate: int,
        champion: int | None,
        policy: RolloutPolicy,
        at: Micros | None = None,
    ) -> Rollout:
        """Opens a rollout in its first stage: a shadow, or the first canary step.

        Raises:
            RolloutOpenError: when the model has an open rollout in this environment.
        """
        at = self._clock.now() if at is None else at
        present = store.find_open_rollout(transaction, context.project, environment, model)
        if present is not None:
            raise RolloutOpenError(
                f"version {present.candidate} of {model} is already being rolled out in {environment}"
                f" (rollout {present.number})",
                hint="wait for its end, or put the version before back with "
                f"`holdfast rollback {model} --environment {environment}`",
            )
        shadowed = policy.strategy == "shadow_then_switch" and champion is not None
        state: RolloutState = "shadow" if shadowed else "canary"
        rollout = Rollout(0, model, environment, candidate, champion, policy, state, 0, at, at, stages=(at,))
        number = store.insert_rollout(transaction, context.project, rollout)
        rollout = msgspec.structs.replace(rollout, number=number)
        lineage.record_edge(
            transaction, context, urn.model_version(model, candidate), "rolled out by", rollout.urn, at
        )
        self._announce(transaction, context, "rollout.started", rollout, policy.strategy, at)
        return rollout

    def advance(
        self,
        transaction: Transaction,
        context: Context,
        number: int,
        verdict: Verdict,
        at: Micros | None = None,
    ) -> Rollout:
        """Moves an open canary to its next step.

        Raises:
            RolloutStateError: when it has ended, or has no step left.
        """
        at = self._clock.now() if at is None else at
        rollout = self._open(transaction, context, number)
        if rollout.state != "canary" or rollout.step + 1 >= len(rollout.policy.steps):
            raise RolloutStateError(
                f"rollout {number} has no canary step left", hint="promote the version or abort the rollout"
            )
        moved = msgspec.structs.replace(
            rollout,
            step=rollout.step + 1,
            stage_started_at=at,
            stages=(*rollout.stages, at),
            verdict=verdict,
        )
        store.update_rollout(transaction, context.project, moved)
        store.insert_verdict(transaction, context.project, number, verdict, at)
        self._announce(transaction, context, "rollout.advanced", moved, verdict.reason, at)
        return moved

    def finish(
        self,
        transaction: Transaction,
        context: Context,
        number: int,
        state: RolloutState,
        verdict: Verdict,
        at: Micros | None = None,
    ) -> Rollout:
        """Ends an open rollout as promoted, rolled back or aborted.

        Raises:
            RolloutStateError: when it has ended already.
        """
        assert state in _ENDS, f"{state} is not an end"
        at = self._clock.now() if at is None else at
        rollout = self._open(transaction, context, number)
        ended = msgspec.structs.replace(rollout, state=state, ended_at=at, verdict=verdict)
        store.update_rollout(transaction, context.project, ended)
        store.insert_verdict(transaction, context.project, number, verdict, at)
        self._announce(transaction, context, "rollout.ended", ended, verdict.reason, at)
        return ended

    def record_verdict(
        self,
        transaction: Transaction,
        context: Context,
        number: int,
        verdict: Verdict,
        at: Micros | None = None,
    ) -> Rollout:
        """Keeps what was said of an open rollout that goes on as it is."""
        at = self._clock.now() if at is None else at
        rollout = msgspec.structs.replace(self._open(transaction, context, number), verdict=verdict)
        store.update_rollout(transaction, context.project, rollout)
        store.insert_verdict(transaction, context.project, number, verdict, at)
        return rollout

    def _existing(self, reader: Reader, context: Context, number: int) -> Rollout:
        rollout = store.find_rollout(reader, context.project, number)
        if rollout is None:
            raise NoRolloutError(f"there is no rollout {number}", hint="list them with `holdfast status`")
        return rollout

    def _open(self, transaction: Transaction, context: Context, number: int) -> Rollout:
        rollout = self._existing(transaction, context, number)
        if rollout.ended_at is not None:
            raise RolloutStateError(
                f"rollout {number} has ended ({rollout.state})", hint="start another by deploying the version"
            )
        return rollout

    def _announce(
        self, transaction: Transaction, context: Context, kind: str, rollout: Rollout, reason: str, at: Micros
    ) -> None:
        payload = {
            "rollout": rollout.number,
            "model": rollout.model,
            "environment": rollout.environment,
            "candidate": rollout.candidate,
            "state": rollout.state,
            "step": rollout.step,
        }
        emit(transaction, context, kind, payload, at)
        audit.record(transaction, context, kind, rollout.urn, {**payload, "reason": reason}, at)
