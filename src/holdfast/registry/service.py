"""The registry's verbs: register, move, approve, look up. Nothing is deployed that did not come through here."""

from __future__ import annotations

import msgspec

from holdfast.base import audit, events, lineage, urn
from holdfast.base.blobs import Blobs
from holdfast.base.clock import Clock, Micros
from holdfast.base.context import Context
from holdfast.base.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from holdfast.base.ledger.protocol import Ledger, Reader, Transaction
from holdfast.base.operations import operation
from holdfast.registry import store
from holdfast.registry.errors import NotReadyError, StageConflictError
from holdfast.registry.records import (
    ApproveRequest,
    GetModelRequest,
    GetVersionRequest,
    ListModelsRequest,
    ListVersionsRequest,
    Model,
    ModelList,
    ModelVersion,
    Task,
    Transition,
    VersionDraft,
    VersionPage,
    VersionStage,
)
from holdfast.registry.stages import may_follow, next_stages, stage_after_gates

_PAGE_MOST = 500


class RegistryService:
    """Models and their versions in one ledger."""

    def __init__(self, ledger: Ledger, blobs: Blobs, clock: Clock) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock

    @operation("GET", "/models", "List the models of the project.")
    def list_models(self, context: Context, request: ListModelsRequest) -> ModelList:
        with self._ledger.read() as reader:
            return ModelList(tuple(store.list_models(reader, context.project)))

    @operation("GET", "/models/{name}", "Show a model with its aliases.")
    def get_model(self, context: Context, request: GetModelRequest) -> Model:
        with self._ledger.read() as reader:
            return self.model_in(reader, context, request.name)

    @operation("GET", "/models/{name}/versions", "List a model's versions, newest first.")
    def list_versions(self, context: Context, request: ListVersionsRequest) -> VersionPage:
        limit = max(1, min(request.limit, _PAGE_MOST))
        with self._ledger.read() as reader:
            self.model_in(reader, context, request.name)
            found = store.list_versions(reader, context.project, request.name, request.before, limit + 1)
        more = len(found) > limit
        return VersionPage(tuple(found[:limit]), found[limit - 1].version if more else None)

    @operation("GET", "/models/{name}/versions/{version}", "Show one version, by number or alias.")
    def get_version(self, context: Context, request: GetVersionRequest) -> ModelVersion:
        with self._ledger.read() as reader:
            number = self._resolve(self.model_in(reader, context, request.name), request.version)
            return self.version_in(reader, context, request.name, number)

    @operation("POST", "/models/{name}/versions/{version}/approve", "Approve a version as a person.")
    def approve(self, context: Context, request: ApproveRequest) -> ModelVersion:
        if context.actor.kind != "person":
            raise ForbiddenError(
                f"{context.actor.name} is not a person", hint="approval is what the loop waits for from you"
            )
        return self._ledger.write(lambda transaction: self._approve(transaction, context, request))

    def version(self, context: Context, name: str, version: int) -> ModelVersion:
        """A version by its number; `NotFoundError` when there is none."""
        with self._ledger.read() as reader:
            return self.version_in(reader, context, name, version)

    def latest(self, context: Context, name: str) -> ModelVersion | None:
        """The newest version of a model, or None where nothing was registered under the name."""
        with self._ledger.read() as reader:
            return next(iter(store.list_versions(reader, context.project, name, None, 1)), None)

    def register(
        self, transaction: Transaction, context: Context, draft: VersionDraft, at: Micros
    ) -> ModelVersion:
        """Makes a run's model the next version; for a run that is registered already, returns that version.

        Raises:
            InvalidError: the name is not a name.
            ConflictError: the model exists with another task.
        """
        urn.check_name(draft.name, "model")
        known = store.find_version_of_run(transaction, context.project, draft.run_id)
        if known is not None:
            return known
        version = _first_record(draft, self._next_number(transaction, context, draft, at), context, at)
        store.insert_version(transaction, context.project, version)
        lineage.record_edge(transaction, context, urn.run(draft.run_id), "registered", version.urn, at)
        self._append(transaction, context, version, "trained", draft.trained_because, at)
        stage, reason = stage_after_gates(draft.gates)
        self._append(transaction, context, version, stage, reason, at)
        detail = {"run_id": draft.run_id, "stage": stage, "because": draft.trained_because}
        audit.record(transaction, context, "registry.register", version.urn, detail, at)
        told = {"name": version.name, "version": version.version, "run_id": draft.run_id, "stage": stage}
        events.emit(transaction, context, "registry.versioned", told, at)
        return self.version_in(transaction, context, version.name, version.version)

    def make_ready(
        self, transaction: Transaction, context: Context, version: ModelVersion, reason: str, at: Micros
    ) -> ModelVersion:
        """Gives a version from outside the record that it can be served by; one that has it stays as it is.

        Raises:
            NotFoundError: there is no such version.
            ConflictError: the model has another task.
        """
        known = store.find_version(transaction, context.project, version.name, version.version)
        if known is not None:
            return known
        if not store.is_registered(transaction, context.project, version.name, version.version):
            raise NotFoundError(f"{version.name} has no version {version.version}")
        model = self.model_in(transaction, context, version.name)
        self.agree_on_task(transaction, context, model, version.task)
        store.set_record(transaction, context.project, version)
        detail = {"reason": reason, "files": [file.digest for file in version.files]}
        audit.record(transaction, context, "registry.make_ready", version.urn, detail, at)
        return self.transition(transaction, context, version.name, version.version, "gated", reason, at)

    def transition(
        self,
        transaction: Transaction,
        context: Context,
        name: str,
        version: int,
        stage: VersionStage,
        reason: str,
        at: Micros,
    ) -> ModelVersion:
        """Moves a version to a stage; being there already changes nothing.

        Raises:
            NotFoundError: there is no such version.
            StageConflictError: the stage cannot follow the present one.
        """
        present = self.version_in(transaction, context, name, version)
        if present.stage == stage:
            return present
        if not may_follow(present.stage, stage):
            raise StageConflictError(
                f"{name}@{version} is {present.stage} and cannot become {stage}", hint=_way_out(present)
            )
        self._append(transaction, context, present, stage, reason, at)
        detail = {"from": present.stage, "to": stage, "reason": reason}
        audit.record(transaction, context, "registry.transition", present.urn, detail, at)
        told = {"name": name, "version": version, "stage": stage}
        events.emit(transaction, context, "registry.transitioned", told, at)
        return self.version_in(transaction, context, name, version)

    def derive_aliases(
        self,
        transaction: Transaction,
        context: Context,
        name: str,
        champion: int | None,
        challenger: int | None,
    ) -> Model:
        """Sets `champion` and `challenger` to what is deployed; None removes an alias."""
        model = self.model_in(transaction, context, name)
        derived = {"champion": champion, "challenger": challenger}
        kept = {alias: number for alias, number in model.aliases.items() if alias not in derived}
        aliases = kept | {alias: number for alias, number in derived.items() if number is not None}
        if aliases == model.aliases:
            return model
        store.set_aliases(transaction, context.project, name, aliases)
        store.grant_alias_requests(
            transaction, context.project, name, derived, context.actor.name, self._clock.now()
        )
        now = self._clock.now()
        audit.record(transaction, context, "registry.alias", urn.model(name), derived, now)
        for alias, number in aliases.items():
            if model.aliases.get(alias) != number:
                told = {"name": name, "alias": alias, "version": str(number), "prompt": False}
                events.emit(transaction, context, "registry.alias_set", told, now)
        return msgspec.structs.replace(model, aliases=aliases)

    def agree_on_task(self, transaction: Transaction, context: Context, model: Model, task: Task) -> None:
        """All served versions of a model have one task; the first of them decides it.

        Raises:
            ConflictError: the model exists with another task.
        """
        if model.task is None:
            store.set_task(transaction, context.project, model.name, task)
        elif model.task != task:
            raise ConflictError(
                f"the model {model.name} is {model.task}, and this run trained for {task}",
                hint="give the new model another name",
            )

    def model_in(self, reader: Reader, context: Context, name: str) -> Model:
        """A model as a snapshot or transaction sees it; `NotFoundError` when there is none."""
        found = store.find_model(reader, context.project, name)
        if found is None:
            raise NotFoundError(f"there is no model {name!r}", hint="list the models with `holdfast status`")
        return found

    def version_in(self, reader: Reader, context: Context, name: str, version: int) -> ModelVersion:
        """A version as a snapshot or transaction sees it; `NotFoundError` when there is none."""
        found = store.find_version(reader, context.project, name, version)
        if found is None:
            latest = self.model_in(reader, context, name).latest_version
            if store.is_registered(reader, context.project, name, version):
                raise NotReadyError(
                    f"{name}@{version} was registered by an outside client and has not been made ready to serve",
                    hint=f"type `holdfast deploy {name} --version {version}`",
                )
            raise NotFoundError(f"{name} has no version {version}", hint=f"its latest version is {latest}")
        return found

    def version_of_run_in(self, reader: Reader, context: Context, run_id: str) -> ModelVersion | None:
        """The version that a run was registered as, or None."""
        return store.find_version_of_run(reader, context.project, run_id)

    def _approve(self, transaction: Transaction, context: Context, request: ApproveRequest) -> ModelVersion:
        version = self.version_in(transaction, context, request.name, request.version)
        obstacle = _obstacle(version)
        if obstacle and not (request.force and request.reason.strip()):
            raise ConflictError(
                f"{request.name}@{request.version} {obstacle}",
                hint="approve it all the same with --force and a --reason, which the audit trail keeps",
            )
        if obstacle:
            detail = {"obstacle": obstacle, "reason": request.reason}
            audit.record(
                transaction, context, "registry.force_approval", version.urn, detail, self._clock.now()
            )
        reason = request.reason or f"approved by {context.actor.name}"
        return self.transition(
            transaction, context, request.name, request.version, "approved", reason, self._clock.now()
        )

    def _next_number(
        self, transaction: Transaction, context: Context, draft: VersionDraft, at: Micros
    ) -> int:
        model = store.find_model(transaction, context.project, draft.name)
        if model is None:
            number = (store.last_number(transaction, context.project, draft.name) or 0) + 1
            first = Model(draft.name, draft.task, at, context.actor.name, number)
            store.insert_model(transaction, context.project, first)
            return number
        self.agree_on_task(transaction, context, model, draft.task)
        store.set_latest_version(transaction, context.project, draft.name, model.latest_version + 1, at)
        return model.latest_version + 1

    def _append(
        self,
        transaction: Transaction,
        context: Context,
        version: ModelVersion,
        stage: VersionStage,
        reason: str,
        at: Micros,
    ) -> None:
        step = Transition(stage, at, context.actor.name, context.actor.kind, reason)
        store.insert_transition(transaction, context.project, version.name, version.version, step)

    def _resolve(self, model: Model, wanted: str) -> int:
        if wanted.isdecimal():
            return int(wanted)
        numbers = {"latest": model.latest_version, **model.aliases}
        if wanted not in numbers:
            raise InvalidError(
                f"{wanted!r} is neither a version nor an alias of {model.name}",
                hint=f"name a number or one of: {', '.join(sorted(numbers))}",
                field="version",
            )
        return numbers[wanted]


def _first_record(draft: VersionDraft, number: int, context: Context, at: Micros) -> ModelVersion:
    fields = {name: getattr(draft, name) for name in draft.__struct_fields__}
    return ModelVersion(
        **fields, version=number, stage="trained", created_at=at, created_by=context.actor.name
    )


def _obstacle(version: ModelVersion) -> str:
    """What stands against a plain approval; empty when nothing does."""
    failed = [result.gate for result in version.gates if result.state == "failed"]
    if failed:
        return f"failed its gates ({', '.join(failed)})"
    return "is quarantined after a rollback" if version.stage == "quarantined" else ""


def _way_out(version: ModelVersion) -> str:
    if version.stage in ("rejected", "quarantined"):
        return f"a person can approve it: `holdfast approve {version.name} --version {version.version}`"
    return f"from here it can become: {', '.join(next_stages(version.stage))}"
