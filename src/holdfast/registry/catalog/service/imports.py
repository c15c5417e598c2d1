"""The verbs of an import on the registry: models and versions of another store, and what their aliases ask for."""

from __future__ import annotations

from typing import Protocol

from holdfast.base import audit, lineage, urn
from holdfast.base.context import Context
from holdfast.base.errors import InvalidError, NotFoundError
from holdfast.base.ledger.protocol import Reader, Transaction
from holdfast.base.operations import operation
from holdfast.registry import store as registry_store
from holdfast.registry.catalog import policy, store
from holdfast.registry.catalog.import_records import (
    ImportAliasRequest,
    ImportedAlias,
    ImportedModel,
    ImportedVersion,
    ImportModelRequest,
    ImportVersionRequest,
)
from holdfast.registry.catalog.records import Entry, EntryDraft
from holdfast.registry.catalog.service.aliases import AliasCatalog
from holdfast.registry.catalog.service.changes import Changes, entries_in, model_in
from holdfast.registry.errors import GatedAliasError
from holdfast.registry.records import Model, Transition

SOURCE_TAG = "holdfast.source"
VERSION_TAG = "holdfast.source.version"
ADDRESS_TAG = "holdfast.source.address"


class Places(Protocol):
    """What is needed of tracking."""

    def location_of_run(self, context: Context, run_id: str, path: str) -> str:
        """Where an artifact of a run lies; `NotFoundError` when there is no such run."""
        ...


class ModelImports:
    """Takes up registered models of other stores.

    Each verb may be called twice with the same content. Webhooks are told of none of it: what was registered long ago
    is not registered now. An alias is set as anybody sets one, so `champion` and `challenger` become requests.
    """

    def __init__(self, changes: Changes, aliases: AliasCatalog, places: Places) -> None:
        self._changes = changes
        self._aliases = aliases
        self._places = places

    @operation("POST", "/imports/models", "Take up a registered model of another store, by its name.")
    def model(self, context: Context, request: ImportModelRequest) -> ImportedModel:
        policy.check_model_name(request.name)
        policy.check_tags(request.tags)
        tags = {**request.tags, SOURCE_TAG: request.source}

        def change(transaction: Transaction) -> ImportedModel:
            project = context.project
            known = registry_store.find_model(transaction, project, request.name)
            if known is not None:
                changes: dict[str, object] = {"tags": known.tags | request.tags}
                changes |= {"description": request.description} if request.description else {}
                store.update_model(transaction, project, request.name, self._changes.clock.now(), **changes)
                return ImportedModel(request.name, False)
            made = Model(
                name=request.name,
                task=None,
                created_at=request.created_at,
                created_by=context.actor.name,
                latest_version=registry_store.last_number(transaction, project, request.name) or 0,
                description=request.description,
                tags=tags,
                updated_at=request.updated_at,
            )
            registry_store.insert_model(transaction, project, made)
            now, detail = self._changes.clock.now(), {"source": request.source}
            audit.record(transaction, context, "registry.import", urn.model(request.name), detail, now)
            return ImportedModel(request.name, True)

        return self._changes.ledger.write(change)

    @operation("POST", "/imports/model-versions", "Take up a version of another store, under its number.")
    def version(self, context: Context, request: ImportVersionRequest) -> ImportedVersion:
        policy.check_tags(request.tags)
        if request.version < 1:
            raise InvalidError(f"{request.version} is not the number of a version", field="version")
        label = policy.label(request.label)
        located = self._located(context, request)

        def change(transaction: Transaction) -> ImportedVersion:
            model = model_in(transaction, context, request.name)
            known = _known(entries_in(transaction, context, model), request)
            if known is None:
                number = self._insert(transaction, context, model, request, located)
            else:
                number = known.version
            tags = _tags(request) if known is None else known.tags | request.tags
            columns = {"description": request.description, "label": label, "tags": tags}
            store.update_entry(
                transaction, context.project, request.name, number, request.updated_at, **columns
            )
            return ImportedVersion(request.name, number, known is None)

        return self._changes.ledger.write(change)

    @operation("POST", "/imports/aliases", "Take up an alias of another store; champion becomes a request.")
    def alias(self, context: Context, request: ImportAliasRequest) -> ImportedAlias:
        name, alias, version = request.name, request.alias, request.version
        with self._changes.ledger.read() as reader:
            if model_in(reader, context, name).aliases.get(alias) == version:
                return ImportedAlias(name, alias, version, "kept")
        try:
            self._aliases.set(context, name, alias, version)
        except GatedAliasError as error:
            return ImportedAlias(name, alias, version, "requested", str(error))
        return ImportedAlias(name, alias, version, "set")

    def _located(self, context: Context, request: ImportVersionRequest) -> str:
        """The address of the files as this server's clients can open it."""
        scheme, _, rest = request.located.partition(":/")
        run_id, _, path = rest.strip("/").partition("/")
        if scheme != "runs" or not path:
            return request.located or request.original
        try:
            return self._places.location_of_run(context, run_id, path)
        except NotFoundError:
            # The run was left behind; the address still says where the model came from.
            return request.located

    def _insert(
        self,
        transaction: Transaction,
        context: Context,
        model: Model,
        request: ImportVersionRequest,
        located: str,
    ) -> int:
        project, now = context.project, self._changes.clock.now()
        number = request.version
        if _is_taken(transaction, project, request.name, number):
            number = model.latest_version + 1
        latest = max(model.latest_version, number)
        registry_store.set_latest_version(transaction, project, request.name, latest, now)
        draft = EntryDraft(
            name=request.name,
            source=located,
            run_id=request.run_id,
            logged_model=request.logged_model,
            run_link=request.run_link,
        )
        creator = request.created_by or context.actor.name
        store.insert_entry(transaction, project, draft, number, creator, request.created_at)
        reason = f"imported from {request.source} (version {request.version} there)"
        step = Transition("trained", now, context.actor.name, context.actor.kind, reason)
        registry_store.insert_transition(transaction, project, request.name, number, step)
        target = urn.model_version(request.name, number)
        _trace(transaction, context, request, target)
        detail = {"source": request.source, "version": request.version, "address": request.original}
        audit.record(transaction, context, "registry.import", target, detail, now)
        return number


def _known(entries: list[Entry], request: ImportVersionRequest) -> Entry | None:
    """The version as it was taken up before, whatever number it got."""
    for item in entries:
        told = (item.tags.get(SOURCE_TAG), item.tags.get(VERSION_TAG))
        if told == (request.source, str(request.version)):
            return item
        # The same store under another address.
        if item.version == request.version and item.tags.get(ADDRESS_TAG) == request.original:
            return item
    return None


def _tags(request: ImportVersionRequest) -> dict[str, str]:
    return {
        **request.tags,
        SOURCE_TAG: request.source,
        VERSION_TAG: str(request.version),
        ADDRESS_TAG: request.original,
    }


def _is_taken(reader: Reader, project: str, name: str, number: int) -> bool:
    """Whether the number stands for a version or ever did: numbers never come back."""
    row = reader.one(
        "SELECT version FROM model_version WHERE project = ? AND name = ? AND version = ?",
        (project, name, number),
    )
    return row is not None


def _trace(transaction: Transaction, context: Context, request: ImportVersionRequest, target: str) -> None:
    at = request.created_at
    if request.run_id:
        lineage.record_edge(transaction, context, urn.run(request.run_id), "registered", target, at)
    if request.logged_model:
        source = urn.logged_model(request.logged_model)
        lineage.record_edge(transaction, context, source, "registered", target, at)
