"""MLflow's endpoints for webhooks, and what of the registry's events each webhook is told in MLflow's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from holdfast.base.errors import InvalidError
from holdfast.base.events import Event
from holdfast.registry.catalog.service.changes import (
    ALIAS_DELETED,
    ALIAS_SET,
    MODEL_CREATED,
    TAG_DELETED,
    TAG_SET,
    VERSION_REGISTERED,
)
from holdfast.registry.webhooks.records import Webhook
from holdfast.registry.webhooks.service import WebhookService
from holdfast.wire.mlflow.messages import Int64
from holdfast.wire.mlflow.routing import Call, Route

_PREFIX = "/mlflow/webhooks"
_LIST_MOST = 1_000
_TRAINED = "registry.versioned"
KINDS = frozenset(
    {MODEL_CREATED, VERSION_REGISTERED, TAG_SET, TAG_DELETED, ALIAS_SET, ALIAS_DELETED, _TRAINED}
)

_TAGS = {"example_key": "example_value"}
_PROMPT = {"name": "example_prompt"}
_MODEL = {"name": "example_model"}
_TAG = {"key": "example_key", "value": "example_value"}
# The events there are, each with the example that a test sends.
EXAMPLES: Mapping[str, dict[str, Any]] = {
    "registered_model.created": _MODEL | {"tags": _TAGS, "description": "An example registered model"},
    "model_version.created": _MODEL
    | {"version": "1", "source": "models:/123", "run_id": "abcd1234abcd5678", "tags": _TAGS}
    | {"description": "An example model version"},
    "model_version_tag.set": _MODEL | {"version": "1"} | _TAG,
    "model_version_tag.deleted": _MODEL | {"version": "1", "key": "example_key"},
    "model_version_alias.created": _MODEL | {"alias": "example_alias", "version": "1"},
    "model_version_alias.deleted": _MODEL | {"alias": "example_alias"},
    "prompt.created": _PROMPT | {"tags": _TAGS, "description": "An example prompt"},
    "prompt_version.created": _PROMPT
    | {"version": "1", "template": "Hello {{name}}!", "tags": _TAGS}
    | {"description": "An example prompt version"},
    "prompt_tag.set": _PROMPT | _TAG,
    "prompt_tag.deleted": _PROMPT | {"key": "example_key"},
    "prompt_version_tag.set": _PROMPT | {"version": "1"} | _TAG,
    "prompt_version_tag.deleted": _PROMPT | {"version": "1", "key": "example_key"},
    "prompt_alias.created": _PROMPT | {"alias": "example_alias", "version": "1"},
    "prompt_alias.deleted": _PROMPT | {"alias": "example_alias"},
}
_PROMPT_TEXT = "mlflow.prompt.text"
_PROMPT_MARKS = ("mlflow.prompt.is_prompt", "mlflow.prompt.type", _PROMPT_TEXT, "_mlflow_prompt_type")


class EventName(msgspec.Struct, frozen=True):
    """What happened to what, in MLflow's capitals."""

    entity: str
    action: str

    @property
    def text(self) -> str:
        return f"{self.entity}.{self.action}".lower()


class CreateWebhook(msgspec.Struct, frozen=True):
    """A new webhook."""

    name: str
    url: str
    events: tuple[EventName, ...]
    description: str = ""
    secret: str = ""
    status: str = "ACTIVE"


class UpdateWebhook(msgspec.Struct, frozen=True):
    """Fields of a webhook to replace; those left out stay."""

    webhook_id: str
    name: str | None = None
    description: str | None = None
    url: str | None = None
    events: tuple[EventName, ...] = ()
    secret: str | None = None
    status: str | None = None


class ListWebhooks(msgspec.Struct, frozen=True):
    """A page of webhooks."""

    max_results: Int64 = 100
    page_token: str = ""


class WebhookId(msgspec.Struct, frozen=True):
    """A webhook by its id."""

    webhook_id: str


class TestWebhook(msgspec.Struct, frozen=True):
    """Send an example of an event, by default of the webhook's first."""

    webhook_id: str
    event: EventName | None = None


class Webhooks:
    """Webhooks, by the registry."""

    def __init__(self, webhooks: WebhookService) -> None:
        self._webhooks = webhooks

    def routes(self) -> list[Route]:
        one = f"{_PREFIX}/{{webhook_id}}"
        return [
            Route("POST", _PREFIX, self._create),
            Route("GET", _PREFIX, self._list),
            Route("GET", one, self._get),
            Route("PATCH", one, self._update),
            Route("DELETE", one, self._delete),
            Route("POST", f"{one}/test", self._test),
        ]

    def _create(self, call: Call) -> Any:
        asked = call.read(CreateWebhook)
        made = self._webhooks.create(
            call.context,
            asked.name,
            asked.url,
            tuple(event.text for event in asked.events),
            asked.description,
            asked.secret,
            active=_is_active(asked.status),
        )
        return {"webhook": _message(made)}

    def _list(self, call: Call) -> Any:
        asked = call.read(ListWebhooks)
        if not 0 < asked.max_results <= _LIST_MOST:
            raise InvalidError(f"max_results must be from 1 to {_LIST_MOST}", field="max_results")
        found, token = self._webhooks.list(call.context, asked.max_results, asked.page_token)
        return {"webhooks": [_message(item) for item in found]} | (
            {"next_page_token": token} if token else {}
        )

    def _get(self, call: Call) -> Any:
        return {"webhook": _message(self._webhooks.get(call.context, call.read(WebhookId).webhook_id))}

    def _update(self, call: Call) -> Any:
        asked = call.read(UpdateWebhook)
        fields = ("name", "description", "url", "secret")
        changes: dict[str, Any] = {
            name: getattr(asked, name) for name in fields if getattr(asked, name) is not None
        }
        if asked.events:
            changes["events"] = tuple(event.text for event in asked.events)
        if asked.status is not None:
            changes["active"] = _is_active(asked.status)
        return {"webhook": _message(self._webhooks.update(call.context, asked.webhook_id, **changes))}

    def _delete(self, call: Call) -> Any:
        self._webhooks.delete(call.context, call.read(WebhookId).webhook_id)

    def _test(self, call: Call) -> Any:
        asked = call.read(TestWebhook)
        webhook = self._webhooks.get(call.context, asked.webhook_id)
        name = asked.event.text if asked.event else webhook.events[0]
        if name not in EXAMPLES:
            raise InvalidError(f"{name!r} is not an event of a webhook", field="event")
        answer = self._webhooks.test(call.context, asked.webhook_id, name, EXAMPLES[name])
        result: dict[str, Any] = {"success": answer.accepted}
        if answer.status is not None:
            result |= {"response_status": answer.status, "response_body": answer.body}
        if answer.error:
            result["error_message"] = answer.error
        return {"result": result}


def listener(webhooks: WebhookService) -> Callable[[Event], None]:
    """Queues an event of the registry for the webhooks that want it; for `EventDispatcher.listen` with `KINDS`."""

    def tell(event: Event) -> None:
        translated = translate(event)
        if translated is not None:
            webhooks.queue(event, *translated)

    return tell


def translate(event: Event) -> tuple[str, dict[str, Any]] | None:
    """An event of the registry in MLflow's words; None where MLflow has none for it."""
    told = dict(event.payload)
    prompt = bool(told.pop("prompt", False))
    if event.kind == MODEL_CREATED:
        return ("prompt.created" if prompt else "registered_model.created"), told
    if event.kind == VERSION_REGISTERED:
        return _version_created(told, prompt)
    if event.kind == _TRAINED:
        named = {"name": told["name"], "version": str(told["version"]), "run_id": told["run_id"]}
        source = f"holdfast:/registry/{told['name']}@{told['version']}"
        return "model_version.created", named | {"source": source, "tags": {}, "description": None}
    if event.kind in (TAG_SET, TAG_DELETED):
        return _tag_changed(told, prompt, "set" if event.kind == TAG_SET else "deleted")
    action = "created" if event.kind == ALIAS_SET else "deleted"
    return f"{'prompt' if prompt else 'model_version'}_alias.{action}", told


def _version_created(told: dict[str, Any], prompt: bool) -> tuple[str, dict[str, Any]]:
    description, tags = told["description"] or None, told["tags"]
    common = {"name": told["name"], "version": told["version"], "description": description}
    if not prompt:
        own = {"source": told["source"], "run_id": told["run_id"] or None, "tags": tags}
        return "model_version.created", common | own
    kept = {key: value for key, value in tags.items() if key not in _PROMPT_MARKS}
    return "prompt_version.created", common | {"template": tags.get(_PROMPT_TEXT), "tags": kept}


def _tag_changed(told: dict[str, Any], prompt: bool, action: str) -> tuple[str, dict[str, Any]] | None:
    if action == "deleted":
        told.pop("value", None)
    if "version" in told:
        return f"{'prompt_version' if prompt else 'model_version'}_tag.{action}", told
    # MLflow tells nobody of the tags of a model that is no prompt.
    return (f"prompt_tag.{action}", told) if prompt else None


def _is_active(status: str) -> bool:
    if status not in ("ACTIVE", "DISABLED"):
        raise InvalidError(f"{status!r} is not a status", hint="valid: ACTIVE, DISABLED", field="status")
    return status == "ACTIVE"


def _message(webhook: Webhook) -> dict[str, Any]:
    events = [
        dict(zip(("entity", "action"), name.upper().split("."), strict=True)) for name in webhook.events
    ]
    return {
        "webhook_id": webhook.webhook_id,
        "name": webhook.name,
        "description": webhook.description,
        "url": webhook.url,
        "events": events,
        "status": "ACTIVE" if webhook.active else "DISABLED",
        "creation_timestamp": webhook.created_at // 1000,
        "last_updated_timestamp": webhook.updated_at // 1000,
    }
