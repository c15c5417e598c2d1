"""The verbs on aliases. `champion` and `challenger` follow what is deployed; all others are free.

Setting one of the two from outside files a request, which deploying that version grants.
"""

from __future__ import annotations

from holdfast.base import audit, urn
from holdfast.base.context import Context
from holdfast.base.errors import ConflictError, NotFoundError
from holdfast.base.ledger.protocol import Transaction
from holdfast.base.operations import operation
from holdfast.registry.catalog import policy, store
from holdfast.registry.catalog.records import (
    GATED_ALIASES,
    AliasRequest,
    AliasRequestList,
    DeclineAliasRequest,
    Entry,
    ListAliasRequestsRequest,
)
from holdfast.registry.catalog.service.changes import (
    ALIAS_DELETED,
    ALIAS_REQUESTED,
    ALIAS_SET,
    Changes,
    entry_in,
    model_in,
)
from holdfast.registry.errors import GatedAliasError


class AliasCatalog:
    """Aliases, and the requests for those that are gated."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    @operation("GET", "/alias-requests", "Requests for champion or challenger from outside.")
    def list_requests(self, context: Context, request: ListAliasRequestsRequest) -> AliasRequestList:
        with self._changes.ledger.read() as reader:
            return AliasRequestList(
                tuple(store.requests(reader, context.project, request.name, request.state))
            )

    @operation("POST", "/alias-requests/{number}/decline", "Decline a request for champion or challenger.")
    def decline(self, context: Context, request: DeclineAliasRequest) -> AliasRequest:
        def change(transaction: Transaction) -> AliasRequest:
            found = store.find_request(transaction, context.project, request.number)
            if found is None:
                raise NotFoundError(f"there is no alias request {request.number}")
            if found.state != "open":
                raise ConflictError(f"the alias request {found.number} is {found.state}")
            now, name = self._changes.clock.now(), context.actor.name
            store.decline_request(transaction, context.project, found.number, name, now, request.reason)
            detail = {"alias": found.alias, "version": found.version, "reason": request.reason}
            audit.record(transaction, context, "registry.alias_declined", urn.model(found.name), detail, now)
            return store.find_request(transaction, context.project, found.number) or found

        return self._changes.ledger.write(change)

    def set(self, context: Context, name: str, alias: str, version: int) -> None:
        """Points an alias at a version.

        Raises:
            GatedAliasError: it is champion or challenger and something else is deployed; a request was filed.
        """
        policy.check_alias(alias)

        def change(transaction: Transaction) -> int | None:
            model, now = model_in(transaction, context, name), self._changes.clock.now()
            item = entry_in(transaction, context, model, version)
            if model.aliases.get(alias) == version:
                return None
            if alias in GATED_ALIASES and not policy.is_prompt(model.tags):
                return self._request(transaction, context, item, alias)
            aliases = model.aliases | {alias: version}
            store.update_model(transaction, context.project, name, now, aliases=aliases)
            detail = {"alias": alias, "version": version}
            audit.record(transaction, context, "registry.alias", urn.model(name), detail, now)
            told = {
                "name": name,
                "alias": alias,
                "version": str(version),
                "prompt": policy.is_prompt(model.tags),
            }
            self._changes.emit(transaction, context, ALIAS_SET, told)
            return None

        request = self._changes.write(change)
        if request is not None:
            beside = " --challenger" if alias == "challenger" else ""
            raise GatedAliasError(
                f"{alias} of {name} says what is deployed, so it was not set; version {version} was asked for in"
                f" request {request}",
                hint=f"deploy it with `holdfast deploy {name} --version {version}{beside}`, which sets the alias",
            )

    def delete(self, context: Context, name: str, alias: str) -> None:
        """Removes an alias; one that is not there stays away.

        Raises:
            GatedAliasError: it is champion or challenger and a version is deployed.
        """

        def change(transaction: Transaction) -> None:
            model, now = model_in(transaction, context, name), self._changes.clock.now()
            if alias not in model.aliases:
                return
            if alias in GATED_ALIASES and not policy.is_prompt(model.tags):
                raise GatedAliasError(
                    f"{alias} of {name} says what is deployed and cannot be deleted",
                    hint=f"deploy another version with `holdfast deploy {name} --version N`",
                )
            kept = {key: number for key, number in model.aliases.items() if key != alias}
            store.update_model(transaction, context.project, name, now, aliases=kept)
            audit.record(transaction, context, "registry.alias", urn.model(name), {alias: None}, now)
            told = {"name": name, "alias": alias, "prompt": policy.is_prompt(model.tags)}
            self._changes.emit(transaction, context, ALIAS_DELETED, told)

        self._changes.write(change)

    def _request(self, transaction: Transaction, context: Context, item: Entry, alias: str) -> int:
        now = self._changes.clock.now()
        number = store.add_request(
            transaction, context.project, item.name, alias, item.version, context.actor.name, now
        )
        detail = {"alias": alias, "request": number}
        audit.record(transaction, context, "registry.alias_requested", item.urn, detail, now)
        told = {"name": item.name, "version": item.version, "alias": alias, "request": number}
        self._changes.emit(transaction, context, ALIAS_REQUESTED, told)
        return number
