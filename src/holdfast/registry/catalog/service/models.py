"""The verbs on models: create, describe, tag, rename, delete, search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from holdfast.base import audit, lineage, urn
from holdfast.base.context import Context
from holdfast.base.ledger.protocol import Transaction
from holdfast.registry import store as registry_store
from holdfast.registry.catalog import policy, search, store
from holdfast.registry.catalog.records import Search
from holdfast.registry.catalog.service.changes import (
    MODEL_CREATED,
    TAG_DELETED,
    TAG_SET,
    Changes,
    entries_in,
    lookup_of,
    model_in,
    tagged,
)
from holdfast.registry.errors import AlreadyRegisteredError
from holdfast.registry.records import Model

_MODEL_ATTRIBUTES = {"name": str, "creation_timestamp": float, "last_updated_timestamp": float}


class ModelCatalog:
    """Models as outside clients see them."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def create(self, context: Context, name: str, description: str, tags: dict[str, str]) -> Model:
        """Adds a model without versions.

        Raises:
            InvalidError: the name or a tag is not legal.
            AlreadyRegisteredError: there is one of the name.
        """
        policy.check_model_name(name)
        policy.check_tags(tags)
        policy.check_description(description)

        def change(transaction: Transaction) -> Model:
            if registry_store.find_model(transaction, context.project, name) is not None:
                raise AlreadyRegisteredError(f"the model {name!r} exists already")
            now = self._changes.clock.now()
            number = registry_store.last_number(transaction, context.project, name) or 0
            made = Model(name, None, now, context.actor.name, number, {}, description, tags, now)
            registry_store.insert_model(transaction, context.project, made)
            audit.record(transaction, context, "registry.create", urn.model(name), {}, now)
            told = {"name": name, "tags": tags, "description": description, "prompt": policy.is_prompt(tags)}
            self._changes.emit(transaction, context, MODEL_CREATED, told)
            return made

        return self._changes.write(change)

    def get(self, context: Context, name: str) -> Model:
        """A model by name; `NotFoundError` when there is none."""
        with self._changes.ledger.read() as reader:
            return model_in(reader, context, name)

    def describe(self, context: Context, name: str, description: str) -> Model:
        """Replaces a model's description."""
        policy.check_description(description)
        return self._change_model(context, name, lambda model: {"description": description})

    def rename(self, context: Context, name: str, new_name: str) -> Model:
        """Gives a model another name. Versions that were made ready to serve are made ready again when deployed.

        Raises:
            InUseError: a version of it is or was deployed, or was trained here.
            AlreadyRegisteredError: the new name is taken.
        """
        policy.check_model_name(new_name)

        def change(transaction: Transaction) -> Model:
            model = model_in(transaction, context, name)
            policy.check_unused("renamed", name, entries_in(transaction, context, model))
            if any(item.origin == "trained" for item in entries_in(transaction, context, model)):
                raise policy.trained_here(name)
            if registry_store.find_model(transaction, context.project, new_name) is not None:
                raise AlreadyRegisteredError(f"the model {new_name!r} exists already")
            return self._rename(transaction, context, model, new_name)

        return self._changes.write(change)

    def delete(self, context: Context, name: str) -> None:
        """Deletes a model with its versions; their numbers are never given again under the name.

        Raises:
            InUseError: a version of it is or was deployed.
        """

        def change(transaction: Transaction) -> None:
            model = model_in(transaction, context, name)
            found = entries_in(transaction, context, model)
            policy.check_unused("deleted", name, found)
            now = self._changes.clock.now()
            for item in found:
                store.update_entry(transaction, context.project, name, item.version, now, deleted_at=now)
            store.update_model(transaction, context.project, name, now, deleted_at=now)
            audit.record(
                transaction, context, "registry.delete", urn.model(name), {"versions": len(found)}, now
            )

        self._changes.write(change)

    def tag(self, context: Context, name: str, key: str, value: str | None) -> None:
        """Sets a tag of a model; None removes it."""
        if value is not None:
            policy.check_tags({key: value})
        told: dict[str, object] = {"name": name, "key": key, "value": value}

        def change(transaction: Transaction) -> None:
            model = model_in(transaction, context, name)
            tags = tagged(model.tags, key, value)
            store.update_model(transaction, context.project, name, self._changes.clock.now(), tags=tags)
            told["prompt"] = policy.is_prompt(tags)
            self._changes.emit(transaction, context, TAG_DELETED if value is None else TAG_SET, told)

        self._changes.write(change)

    def search(self, context: Context, wanted: Search) -> tuple[list[Model], str]:
        """A page of models and the token of the next one."""
        matches = search.parse_filter(wanted.filter, _MODEL_ATTRIBUTES)
        order = search.parse_order(wanted.order_by, tuple(_MODEL_ATTRIBUTES))
        order += [("name", True)] if "name" not in dict(order) else []
        with self._changes.ledger.read() as reader:
            found = registry_store.list_models(reader, context.project)
        kept = [model for model in found if matches(lookup_of(model, _model_value))]
        return search.page(kept, _model_value, order, wanted.limit, wanted.page_token)

    def _rename(self, transaction: Transaction, context: Context, model: Model, new_name: str) -> Model:
        now, project = self._changes.clock.now(), context.project
        number = max(model.latest_version, registry_store.last_number(transaction, project, new_name) or 0)
        renamed = msgspec.structs.replace(model, name=new_name, latest_version=number, updated_at=now)
        for item in entries_in(transaction, context, model):
            # The record that serving reads carries the name, so it is made anew when it is needed.
            store.update_entry(
                transaction, project, model.name, item.version, now, record="", stage="trained"
            )
            if item.run_id:
                target = urn.model_version(new_name, item.version)
                lineage.record_edge(transaction, context, urn.run(item.run_id), "registered", target, now)
        registry_store.insert_model(transaction, project, renamed)
        store.rename(transaction, project, model.name, new_name)
        store.update_model(transaction, project, model.name, now, deleted_at=now)
        audit.record(transaction, context, "registry.rename", urn.model(new_name), {"from": model.name}, now)
        return renamed

    def _change_model(self, context: Context, name: str, columns: Callable[[Model], dict[str, Any]]) -> Model:
        def change(transaction: Transaction) -> Model:
            model = model_in(transaction, context, name)
            store.update_model(
                transaction, context.project, name, self._changes.clock.now(), **columns(model)
            )
            return model_in(transaction, context, name)

        return self._changes.ledger.write(change)


def _model_value(model: Model, column: str) -> Any:
    values = {
        "creation_timestamp": model.created_at // 1000,
        "last_updated_timestamp": model.updated_at // 1000,
    }
    return model.name if column == "name" else values[column]
