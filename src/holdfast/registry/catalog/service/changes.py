"""What the catalog's services share: writing with events, and looking things up in a snapshot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from holdfast.base import events
from holdfast.base.clock import Clock
from holdfast.base.context import Context
from holdfast.base.errors import NotFoundError
from holdfast.base.ledger.protocol import Ledger, Reader, Transaction
from holdfast.registry import store as registry_store
from holdfast.registry.catalog import store
from holdfast.registry.catalog.records import Entry
from holdfast.registry.catalog.search import Lookup
from holdfast.registry.records import Model

T = TypeVar("T")

MODEL_CREATED = "registry.model_created"
VERSION_REGISTERED = "registry.version_registered"
TAG_SET, TAG_DELETED = "registry.tag_set", "registry.tag_deleted"
ALIAS_SET, ALIAS_DELETED = "registry.alias_set", "registry.alias_deleted"
ALIAS_REQUESTED = "registry.alias_requested"


class Changes:
    """Writes to the ledger and tells that events are waiting."""

    def __init__(self, ledger: Ledger, clock: Clock, wake: Callable[[], None]) -> None:
        self.ledger = ledger
        self.clock = clock
        self._wake = wake

    def write(self, change: Callable[[Transaction], T]) -> T:
        """Runs a change that emits events, and wakes whoever delivers them."""
        result = self.ledger.write(change)
        self._wake()
        return result

    def emit(self, transaction: Transaction, context: Context, kind: str, told: dict[str, Any]) -> None:
        """Records an event in the transaction of its change."""
        events.emit(transaction, context, kind, told, self.clock.now())


def model_in(reader: Reader, context: Context, name: str) -> Model:
    found = registry_store.find_model(reader, context.project, name)
    if found is None:
        raise NotFoundError(f"there is no registered model {name!r}", field="name")
    return found


def entry_in(reader: Reader, context: Context, model: Model, version: int) -> Entry:
    found = store.entry(reader, context.project, model, version)
    if found is None:
        raise NotFoundError(f"the model {model.name!r} has no version {version}", field="version")
    return found


def entries_in(reader: Reader, context: Context, model: Model) -> list[Entry]:
    return store.entries(reader, context.project, {model.name: model.aliases}, model.name)


def tagged(tags: dict[str, str], key: str, value: str | None) -> dict[str, str]:
    kept = {name: text for name, text in tags.items() if name != key}
    return kept if value is None else kept | {key: value}


def lookup_of(item: T, value: Callable[[T, str], Any]) -> Lookup:
    tags: dict[str, str] = item.tags  # type: ignore[attr-defined]
    return lambda kind, key: tags.get(key) if kind == "tag" else value(item, key)
