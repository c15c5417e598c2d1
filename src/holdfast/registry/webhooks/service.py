"""The verbs on webhooks: create, look up, change, delete, test, and queue what happened for those that want it."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any
from uuid import UUID

import msgspec

from holdfast.base import audit
from holdfast.base.clock import Clock, Micros, format_time
from holdfast.base.context import Context
from holdfast.base.encoding import to_json
from holdfast.base.errors import InvalidError, NotFoundError
from holdfast.base.events import Event
from holdfast.base.ledger.protocol import Ledger, Transaction
from holdfast.registry.webhooks import policy, store
from holdfast.registry.webhooks.records import Answer, Delivery, Webhook
from holdfast.registry.webhooks.sender import WebhookSender, post

_EVERY = 1_000_000


class WebhookService:
    """Webhooks of one ledger. `known` are the events there are."""

    def __init__(
        self, ledger: Ledger, clock: Clock, rng: Random, sender: WebhookSender, known: tuple[str, ...]
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._rng = rng
        self._sender = sender
        self._known = known

    def create(
        self,
        context: Context,
        name: str,
        url: str,
        events: tuple[str, ...],
        description: str = "",
        secret: str = "",
        *,
        active: bool = True,
    ) -> Webhook:
        """Adds a webhook.

        Raises:
            InvalidError: the name, the address or an event is not legal.
        """
        policy.check_webhook(name, url, events, self._known)
        now = self._clock.now()
        made = Webhook(self._new_id(), name, url, events, now, now, description, secret, active)
        self._ledger.write(lambda tx: self._put(tx, context, made, "webhook.create"))
        return made

    def get(self, context: Context, webhook_id: str) -> Webhook:
        """A webhook by its id; `NotFoundError` when there is none."""
        with self._ledger.read() as reader:
            found = store.find_webhook(reader, context.project, webhook_id)
        if found is None:
            raise NotFoundError(f"there is no webhook {webhook_id!r}", field="webhook_id")
        return found

    def list(self, context: Context, limit: int, token: str = "") -> tuple[list[Webhook], str]:
        """A page of webhooks, the oldest first, and the token of the next one."""
        with self._ledger.read() as reader:
            found = store.webhooks(reader, context.project, _read_token(token), limit + 1)
        page = found[:limit]
        return page, f"{page[-1].created_at}-{page[-1].webhook_id}" if len(found) > limit else ""

    def update(self, context: Context, webhook_id: str, **changes: Any) -> Webhook:
        """Replaces fields of a webhook."""
        changed = msgspec.structs.replace(
            self.get(context, webhook_id), **changes, updated_at=self._clock.now()
        )
        policy.check_webhook(changed.name, changed.url, changed.events, self._known)
        self._ledger.write(lambda tx: self._put(tx, context, changed, "webhook.update"))
        return changed

    def delete(self, context: Context, webhook_id: str) -> None:
        """Deletes a webhook; what was still to be delivered to it is dropped."""
        self.get(context, webhook_id)

        def change(transaction: Transaction) -> None:
            store.delete_webhook(transaction, context.project, webhook_id)
            now = self._clock.now()
            audit.record(transaction, context, "webhook.delete", f"registry/webhook/{webhook_id}", {}, now)

        self._ledger.write(change)

    def test(self, context: Context, webhook_id: str, name: str, data: Mapping[str, Any]) -> Answer:
        """Sends an example at once, without trying again, and returns what came back."""
        webhook = self.get(context, webhook_id)
        return post(webhook, self._new_id(), _body(name, data, self._clock.now()))

    def queue(self, event: Event, name: str, data: Mapping[str, Any]) -> int:
        """Queues what happened for every webhook that wants it; queueing again does nothing more."""

        def change(transaction: Transaction) -> int:
            found = store.webhooks(transaction, event.project, None, _EVERY)
            # What was waiting to be told when a webhook was made is older than the webhook.
            wanting = [
                item
                for item in found
                if item.active and name in item.events and item.created_at <= event.created_at
            ]
            body = _body(name, data, event.created_at)
            for item in wanting:
                made = Delivery(
                    event.project, item.webhook_id, event.number, self._new_id(), body, "queued", 0, ""
                )
                store.queue(transaction, made, self._clock.now())
            return len(wanting)

        count = self._ledger.write(change)
        if count:
            self._sender.wake()
        return count

    def _put(self, transaction: Transaction, context: Context, webhook: Webhook, what: str) -> None:
        store.put_webhook(transaction, context.project, webhook)
        detail = {"url": webhook.url, "events": list(webhook.events), "active": webhook.active}
        subject = f"registry/webhook/{webhook.webhook_id}"
        audit.record(transaction, context, what, subject, detail, webhook.updated_at)

    def _new_id(self) -> str:
        return str(UUID(int=self._rng.getrandbits(128), version=4))


def _body(name: str, data: Mapping[str, Any], at: Micros) -> str:
    entity, _, action = name.partition(".")
    return to_json({"entity": entity, "action": action, "timestamp": format_time(at), "data": dict(data)})


def _read_token(token: str) -> tuple[Micros, str] | None:
    if not token:
        return None
    at, _, webhook_id = token.partition("-")
    if not at.isdecimal() or not webhook_id:
        raise InvalidError("the page token is not one of an answer before", field="page_token")
    return int(at), webhook_id
