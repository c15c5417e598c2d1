"""Delivers queued messages over HTTP and tries again: one thread looks, a few post, each webhook in order.

Pauses and time-outs are real time whatever the domain's clock says, and so is the time that is signed: a receiver
compares it with its own. What was not delivered when the server ended is in the ledger and goes out when it is back.
"""

from __future__ import annotations

import http.client
import logging
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import msgspec

from holdfast.base.clock import SECOND_US, SystemClock
from holdfast.base.ledger.protocol import Ledger
from holdfast.base.version import VERSION
from holdfast.registry.webhooks import store
from holdfast.registry.webhooks.policy import ATTEMPTS_MOST, is_allowed, pause_s, signature
from holdfast.registry.webhooks.records import Answer, Delivery, Webhook

logger = logging.getLogger(__name__)

SIGNATURE_HEADER = "X-MLflow-Signature"
TIMESTAMP_HEADER = "X-MLflow-Timestamp"
DELIVERY_HEADER = "X-MLflow-Delivery-Id"

_TIMEOUT_S = 30.0
_ANSWER_BYTES_MOST = 10_000
_BATCH = 500
_WORKERS = 4

Key = tuple[str, str]


class WebhookSender:
    """Sends what is queued. `pause_scale` stretches the pauses between attempts."""

    def __init__(self, ledger: Ledger, *, pause_scale: float = 1.0) -> None:
        self._ledger = ledger
        self._pause_scale = pause_scale
        self._not_before: dict[Key, float] = {}
        self._busy: set[Key] = set()
        self._changed = threading.Condition()
        self._stopped = True
        self._woken = True
        self._thread: threading.Thread | None = None
        self._pool: ThreadPoolExecutor

    @property
    def running(self) -> bool:
        """Whether it delivers."""
        return not self._stopped

    def start(self) -> None:
        """Begins to deliver, first of all what is left from before; one that does already goes on."""
        if self.running:
            return
        self._stopped, self._woken = False, True
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="webhook")
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Something was queued."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def stop(self) -> None:
        """Ends the thread; a delivery under way is made again at the next start unless it was answered.

        A server that leads no more stops, so that no message goes out twice; it may start again.
        """
        if not self.running:
            return
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout=5)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._woken, self._next_pause_s())
                if self._stopped:
                    return
                self._woken = False
            try:
                self._send_due()
            except Exception:
                logger.exception("webhooks could not be looked at; they are at the next change")

    def _next_pause_s(self) -> float | None:
        waiting = [at for key, at in self._not_before.items() if key not in self._busy]
        return max(0.0, min(waiting) - time.monotonic()) if waiting else None

    def _send_due(self) -> None:
        with self._ledger.read() as reader:
            found = store.queued(reader, _BATCH)
        by_webhook: dict[Key, list[Delivery]] = {}
        for delivery in found:
            by_webhook.setdefault((delivery.project, delivery.webhook_id), []).append(delivery)
        now = time.monotonic()
        with self._changed:
            due = [
                key for key in by_webhook if key not in self._busy and self._not_before.get(key, 0.0) <= now
            ]
            for key in due:
                self._not_before.pop(key, None)
            self._busy.update(due)
        for key in due:
            self._pool.submit(self._send_all, key, by_webhook[key])

    def _send_all(self, key: Key, deliveries: list[Delivery]) -> None:
        """In order: one that must be tried again keeps those behind it waiting."""
        pause: float | None = None
        try:
            with self._ledger.read() as reader:
                webhook = store.find_webhook(reader, *key)
            for delivery in deliveries if webhook is not None else []:
                assert webhook is not None
                if self._stopped:
                    return
                sent = _outcome(delivery, post(webhook, delivery.delivery_id, delivery.body))
                self._ledger.write(lambda tx, sent=sent: store.set_delivery(tx, sent))  # type: ignore[misc]
                if sent.state == "queued":
                    pause = pause_s(sent.attempts) * self._pause_scale
                    return
        except Exception:
            logger.exception("webhook %s could not be told; it is tried again", key[1])
            pause = pause_s(1) * self._pause_scale
        finally:
            with self._changed:
                self._busy.discard(key)
                if pause is not None:
                    self._not_before[key] = time.monotonic() + pause
                self._woken = True
                self._changed.notify()


def post(webhook: Webhook, delivery_id: str, body: str) -> Answer:
    """Posts one message, signed where there is a secret; whatever goes wrong is the answer's `error`."""
    timestamp = str(SystemClock().now() // SECOND_US)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"holdfast/{VERSION}",
        DELIVERY_HEADER: delivery_id,
        TIMESTAMP_HEADER: timestamp,
    }
    if webhook.secret:
        headers[SIGNATURE_HEADER] = signature(webhook.secret, delivery_id, timestamp, body)
    parts = urlsplit(webhook.url)
    connection = _connection(parts.scheme, parts.hostname or "", parts.port)
    try:
        connection.connect()
        # The address is judged on the connection itself: a name may resolve to another one than when it was checked.
        if not is_allowed(connection.sock.getpeername()[0]):
            return Answer(None, error=f"{parts.hostname} resolves to a link-local address")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, body.encode(), headers)
        response = connection.getresponse()
        return Answer(response.status, response.read(_ANSWER_BYTES_MOST).decode(errors="replace"))
    except (OSError, http.client.HTTPException) as error:
        return Answer(None, error=f"{type(error).__name__}: {error}")
    finally:
        connection.close()


def _connection(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme == "https":
        return http.client.HTTPSConnection(
            host, port, timeout=_TIMEOUT_S, context=ssl.create_default_context()
        )
    return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)


def _outcome(delivery: Delivery, answer: Answer) -> Delivery:
    attempts = delivery.attempts + 1
    detail = answer.error or f"answered {answer.status}"
    if answer.accepted:
        return msgspec.structs.replace(delivery, state="delivered", attempts=attempts, detail=detail)
    again = answer.worth_retrying and attempts < ATTEMPTS_MOST
    logger.warning(
        "webhook %s: %s%s", delivery.webhook_id, detail, "; it is tried again" if again else "; given up"
    )
    return msgspec.structs.replace(
        delivery, state="queued" if again else "failed", attempts=attempts, detail=detail
    )
