"""The nouns of webhooks: webhook, delivery."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from holdfast.base.clock import Micros

DeliveryState = Literal["queued", "delivered", "failed"]


class Webhook(msgspec.Struct, frozen=True):
    """An address that is told of the named events, e.g. `model_version.created`.

    With a `secret` every delivery is signed; it is left out wherever a webhook is printed. An inactive webhook is
    told nothing.
    """

    webhook_id: str
    name: str
    url: str
    events: tuple[str, ...]
    created_at: Micros
    updated_at: Micros
    description: str = ""
    secret: str = ""
    active: bool = True

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """What a log or a traceback shows of it; `repr` asks this too."""
        return [(name, getattr(self, name)) for name in self.__struct_fields__ if name != "secret"]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"Webhook({shown})"


class Delivery(msgspec.Struct, frozen=True):
    """One message for one webhook; `event` is the number of the ledger's event it tells of."""

    project: str
    webhook_id: str
    event: int
    delivery_id: str
    body: str
    state: DeliveryState
    attempts: int
    detail: str


class Answer(msgspec.Struct, frozen=True):
    """What the address answered; `status` is None and `error` says why where nothing answered."""

    status: int | None
    body: str = ""
    error: str = ""

    @property
    def accepted(self) -> bool:
        return self.status is not None and self.status < 300

    @property
    def worth_retrying(self) -> bool:
        """Whether a later attempt may fare better: nobody answered, or the trouble is on the other side."""
        return self.status is None or self.status == 429 or self.status >= 500
