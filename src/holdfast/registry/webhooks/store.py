"""The SQL of webhooks over the registry's tables."""

from __future__ import annotations

from holdfast.base.clock import Micros
from holdfast.base.encoding import from_json, to_json
from holdfast.base.ledger.protocol import Reader, Row, Transaction
from holdfast.registry.webhooks.records import Delivery, Webhook


def put_webhook(transaction: Transaction, project: str, webhook: Webhook) -> None:
    """Adds or replaces a webhook."""
    transaction.execute(
        "INSERT INTO webhook (project, webhook_id, name, description, url, events, secret, active, created_at,"
        " updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (project, webhook_id) DO UPDATE SET"
        " name = excluded.name, description = excluded.description, url = excluded.url,"
        " events = excluded.events, secret = excluded.secret, active = excluded.active,"
        " updated_at = excluded.updated_at",
        (
            project,
            webhook.webhook_id,
            webhook.name,
            webhook.description,
            webhook.url,
            to_json(webhook.events),
            webhook.secret,
            int(webhook.active),
            webhook.created_at,
            webhook.updated_at,
        ),
    )


def find_webhook(reader: Reader, project: str, webhook_id: str) -> Webhook | None:
    row = reader.one("SELECT * FROM webhook WHERE project = ? AND webhook_id = ?", (project, webhook_id))
    return None if row is None else _webhook(row)


def webhooks(reader: Reader, project: str, after: tuple[Micros, str] | None, limit: int) -> list[Webhook]:
    """The oldest first; `after` is the (created_at, webhook_id) of the last of the page before."""
    condition, parameters = (" AND (created_at, webhook_id) > (?, ?)", after) if after else ("", ())
    rows = reader.query(
        f"SELECT * FROM webhook WHERE project = ?{condition} ORDER BY created_at, webhook_id LIMIT ?",
        (project, *parameters, limit),
    )
    return [_webhook(row) for row in rows]


def delete_webhook(transaction: Transaction, project: str, webhook_id: str) -> None:
    """Deletes a webhook with what was still to be delivered to it."""
    for table in ("webhook", "webhook_delivery"):
        transaction.execute(
            f"DELETE FROM {table} WHERE project = ? AND webhook_id = ?", (project, webhook_id)
        )


def queue(transaction: Transaction, delivery: Delivery, at: Micros) -> None:
    """Queues a delivery; one of the same event to the same webhook is queued once."""
    transaction.execute(
        "INSERT INTO webhook_delivery (project, webhook_id, event, delivery_id, body, state, attempts, detail,"
        " queued_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            delivery.project,
            delivery.webhook_id,
            delivery.event,
            delivery.delivery_id,
            delivery.body,
            delivery.state,
            delivery.attempts,
            delivery.detail,
            at,
        ),
    )


def queued(reader: Reader, limit: int) -> list[Delivery]:
    """What is still to be delivered in all projects, in the order of the events."""
    rows = reader.query(
        "SELECT * FROM webhook_delivery WHERE state = 'queued' ORDER BY event LIMIT ?", (limit,)
    )
    return [Delivery(**{field: row[field] for field in Delivery.__struct_fields__}) for row in rows]


def set_delivery(transaction: Transaction, delivery: Delivery) -> None:
    """Writes how an attempt ended."""
    transaction.execute(
        "UPDATE webhook_delivery SET state = ?, attempts = ?, detail = ?"
        " WHERE project = ? AND webhook_id = ? AND event = ?",
        (
            delivery.state,
            delivery.attempts,
            delivery.detail,
            delivery.project,
            delivery.webhook_id,
            delivery.event,
        ),
    )


def _webhook(row: Row) -> Webhook:
    return Webhook(
        webhook_id=row["webhook_id"],
        name=row["name"],
        url=row["url"],
        events=from_json(row["events"], tuple[str, ...]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        description=row["description"],
        secret=row["secret"],
        active=bool(row["active"]),
    )
