"""The verbs on versions: register, describe, tag, label, delete, search."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from holdfast.base import audit, lineage, urn
from holdfast.base.context import Context
from holdfast.base.errors import InvalidError
from holdfast.base.ledger.protocol import Transaction
from holdfast.base.operations import operation
from holdfast.registry import store as registry_store
from holdfast.registry.catalog import policy, search, store
from holdfast.registry.catalog.records import (
    GATED_ALIASES,
    Entry,
    EntryDraft,
    EntryList,
    ListEntriesRequest,
    Search,
)
from holdfast.registry.catalog.service.changes import (
    TAG_DELETED,
    TAG_SET,
    VERSION_REGISTERED,
    Changes,
    entries_in,
    entry_in,
    lookup_of,
    model_in,
    tagged,
)
from holdfast.registry.errors import UnknownAliasError
from holdfast.registry.records import Transition

_VERSION_ATTRIBUTES = {
    "name": str,
    "version_number": float,
    "version": float,
    "run_id": str,
    "source_path": str,
    "source": str,
    "current_stage": str,
    "creation_timestamp": float,
    "last_updated_timestamp": float,
}
_VERSION_ORDER = ("name", "version_number", "creation_timestamp", "last_updated_timestamp")


class VersionCatalog:
    """Versions as outside clients see them, trained here or not."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    @operation("GET", "/models/{name}/entries", "All versions of a model, those from outside too.")
    def list_entries(self, context: Context, request: ListEntriesRequest) -> EntryList:
        return EntryList(tuple(reversed(self.of_model(context, request.name))))

    def register(self, context: Context, draft: EntryDraft) -> Entry:
        """Adds a version from outside to a model, under its next number.

        Raises:
            NotFoundError: there is no such model.
            InvalidError: a tag is not legal, or there is no source.
        """
        policy.check_tags(draft.tags)
        policy.check_description(draft.description)
        if not draft.source:
            raise InvalidError("a version needs a source", field="source")

        def change(transaction: Transaction) -> Entry:
            model = model_in(transaction, context, draft.name)
            now, number = self._changes.clock.now(), model.latest_version + 1
            registry_store.set_latest_version(transaction, context.project, draft.name, number, now)
            store.insert_entry(transaction, context.project, draft, number, context.actor.name, now)
            step = Transition(
                "trained", now, context.actor.name, context.actor.kind, "registered from outside"
            )
            registry_store.insert_transition(transaction, context.project, draft.name, number, step)
            made = entry_in(transaction, context, model, number)
            if draft.run_id:
                lineage.record_edge(transaction, context, urn.run(draft.run_id), "registered", made.urn, now)
            if draft.logged_model:
                source = urn.logged_model(draft.logged_model)
                lineage.record_edge(transaction, context, source, "registered", made.urn, now)
            detail = {"run_id": draft.run_id, "source": draft.source, "origin": "outside"}
            audit.record(transaction, context, "registry.register", made.urn, detail, now)
            self._changes.emit(transaction, context, VERSION_REGISTERED, _told_of(made))
            return made

        return self._changes.write(change)

    def get(self, context: Context, name: str, version: int) -> Entry:
        """A version by number; `NotFoundError` when there is none."""
        with self._changes.ledger.read() as reader:
            return entry_in(reader, context, model_in(reader, context, name), version)

    def by_alias(self, context: Context, name: str, alias: str) -> Entry:
        """The version an alias stands for; `latest` is the newest.

        Raises:
            NotFoundError: there is no such model.
            UnknownAliasError: it has no such alias.
        """
        with self._changes.ledger.read() as reader:
            model = model_in(reader, context, name)
            if alias.lower() == "latest":
                found = entries_in(reader, context, model)
                if found:
                    return found[-1]
            number = model.aliases.get(alias)
            if number is None:
                hint = "it is set by deploying a version" if alias in GATED_ALIASES else None
                raise UnknownAliasError(
                    f"the model {name!r} has no alias {alias!r}", hint=hint, field="alias"
                )
            return entry_in(reader, context, model, number)

    def of_model(self, context: Context, name: str) -> list[Entry]:
        """All versions of a model, by number."""
        with self._changes.ledger.read() as reader:
            return entries_in(reader, context, model_in(reader, context, name))

    def latest(self, context: Context, name: str, labels: Sequence[str] = ()) -> list[Entry]:
        """The newest version of each label, or of the labels named."""
        wanted = {policy.label(text) for text in labels}
        newest = {item.label: item for item in self.of_model(context, name)}
        return [item for label, item in newest.items() if not wanted or label in wanted]

    def describe(self, context: Context, name: str, version: int, description: str) -> Entry:
        """Replaces a version's description."""
        policy.check_description(description)
        return self._change_version(context, name, version, lambda item: {"description": description})

    def tag(self, context: Context, name: str, version: int, key: str, value: str | None) -> None:
        """Sets a tag of a version; None removes it."""
        if value is not None:
            policy.check_tags({key: value})

        def change(transaction: Transaction) -> None:
            item = entry_in(transaction, context, model_in(transaction, context, name), version)
            tags = tagged(item.tags, key, value)
            store.update_entry(
                transaction, context.project, name, version, self._changes.clock.now(), tags=tags
            )
            told: dict[str, object] = {"name": name, "version": str(version), "key": key, "value": value}
            told["prompt"] = policy.is_prompt(tags)
            self._changes.emit(transaction, context, TAG_DELETED if value is None else TAG_SET, told)

        self._changes.write(change)

    def label(
        self, context: Context, name: str, version: int, text: str, *, archive_others: bool = False
    ) -> Entry:
        """Gives a version a stage in an outside client's words. It is a label: nothing is deployed by it."""
        wanted = policy.label(text)
        if archive_others and wanted not in ("Staging", "Production"):
            raise InvalidError(
                f"existing versions can be archived for Staging and Production, not for {wanted}",
                field="archive_existing_versions",
            )

        def change(transaction: Transaction) -> None:
            model, now = model_in(transaction, context, name), self._changes.clock.now()
            entry_in(transaction, context, model, version)
            for item in entries_in(transaction, context, model) if archive_others else []:
                if item.label == wanted and item.version != version:
                    store.update_entry(
                        transaction, context.project, name, item.version, now, label="Archived"
                    )
            store.update_entry(transaction, context.project, name, version, now, label=wanted)
            detail = {"label": wanted, "archive_others": archive_others}
            audit.record(
                transaction, context, "registry.label", urn.model_version(name, version), detail, now
            )

        self._changes.write(change)
        return self.get(context, name, version)

    def delete(self, context: Context, name: str, version: int) -> None:
        """Deletes a version; its number is never given again.

        Raises:
            InUseError: it is or was deployed.
        """

        def change(transaction: Transaction) -> None:
            model, now = model_in(transaction, context, name), self._changes.clock.now()
            item = entry_in(transaction, context, model, version)
            policy.check_unused("deleted", f"{name}@{version}", [item])
            kept = {alias: number for alias, number in model.aliases.items() if number != version}
            store.update_entry(transaction, context.project, name, version, now, deleted_at=now)
            store.update_model(transaction, context.project, name, now, aliases=kept)
            audit.record(transaction, context, "registry.delete", item.urn, {}, now)

        self._changes.write(change)

    def search(self, context: Context, wanted: Search) -> tuple[list[Entry], str]:
        """A page of versions of all models and the token of the next one; newest first unless ordered."""
        matches = search.parse_filter(wanted.filter, _VERSION_ATTRIBUTES)
        order = search.parse_order(wanted.order_by, _VERSION_ORDER)
        if not order:
            order = [("last_updated_timestamp", False)]
        order += [
            (column, column == "name") for column in ("name", "version_number") if column not in dict(order)
        ]
        with self._changes.ledger.read() as reader:
            models = registry_store.list_models(reader, context.project)
            aliases = {model.name: model.aliases for model in models}
            name = re.fullmatch(r"\s*name\s*=\s*'([^'%\\]+)'\s*", wanted.filter)
            found = store.entries(reader, context.project, aliases, name[1] if name else None)
        kept = [item for item in found if matches(lookup_of(item, _version_value))]
        return search.page(kept, _version_value, order, wanted.limit, wanted.page_token)

    def _change_version(
        self, context: Context, name: str, version: int, columns: Callable[[Entry], dict[str, Any]]
    ) -> Entry:
        def change(transaction: Transaction) -> Entry:
            model = model_in(transaction, context, name)
            item = entry_in(transaction, context, model, version)
            now = self._changes.clock.now()
            store.update_entry(transaction, context.project, name, version, now, **columns(item))
            return entry_in(transaction, context, model, version)

        return self._changes.ledger.write(change)


def _told_of(item: Entry) -> dict[str, Any]:
    told = {"name": item.name, "version": str(item.version), "source": item.source, "run_id": item.run_id}
    prompt = policy.is_prompt(item.tags)
    return told | {"tags": item.tags, "description": item.description, "prompt": prompt}


def _version_value(item: Entry, column: str) -> Any:
    if column in ("version_number", "version"):
        return item.version
    if column in ("source_path", "source"):
        return item.source
    values = {
        "creation_timestamp": item.created_at // 1000,
        "last_updated_timestamp": item.updated_at // 1000,
        "current_stage": item.label,
        "run_id": item.run_id,
        "name": item.name,
    }
    return values[column]
