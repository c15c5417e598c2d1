"""`/alias-requests`: who outside wants champion or challenger on which version, to be granted by deploying it."""

from __future__ import annotations

import msgspec

from holdfast.base.context import Context
from holdfast.base.errors import NotFoundError
from holdfast.registry.catalog.records import AliasRequest, ListAliasRequestsRequest, RequestState
from holdfast.ui import urls
from holdfast.ui.flash import Flash
from holdfast.ui.kit import Column, Row, badge, render_table
from holdfast.ui.kit.format import MISSING, time_tag
from holdfast.ui.outside import Outside, look
from holdfast.ui.page import PageRequest, View, head
from holdfast.ui.services import PageServices
from holdfast.ui.words import by, counted

_DECIDED_SHOWN = 50
_WORDS: dict[RequestState, str] = {"open": "pending", "granted": "approved", "declined": "rejected"}


class RequestsData(msgspec.Struct, frozen=True):
    """All requests as data, newest first, and what deploying the open ones would take."""

    requests: tuple[AliasRequest, ...]
    outlooks: dict[int, Outside | None]


def open_requests(
    services: PageServices, context: Context, model: str | None = None
) -> tuple[AliasRequest, ...]:
    """What waits for a person, of one model or of all."""
    return services.aliases.list_requests(context, ListAliasRequestsRequest(model, "open")).requests


def show(services: PageServices, context: Context, request: PageRequest) -> View:
    """Open requests with their two buttons, and what became of the others."""
    everything = services.aliases.list_requests(context, ListAliasRequestsRequest(state=None)).requests
    waiting = [one for one in everything if one.state == "open"]
    outlooks = {one.number: _look(services, context, one) for one in waiting}
    page = head(
        services,
        request,
        "Alias requests",
        tab="Overview",
        subtitle=f"{counted(len(waiting), 'request')} {'waits' if len(waiting) == 1 else 'wait'} for a person."
        if waiting
        else "",
        command="holdfast requests list",
        crumbs=(("Overview", urls.OVERVIEW),),
    )
    parts = {
        "flash": _flash(everything, request),
        "waiting": [(one, outlooks[one.number]) for one in waiting],
        "decided": _decided(everything, page.now_at),
        "any": bool(everything),
    }
    return View("alias_requests.html", page, RequestsData(everything, outlooks), parts)


def _look(services: PageServices, context: Context, one: AliasRequest) -> Outside | None:
    """What deploying its version would take; None where the version is gone."""
    try:
        return look(services, context, services.versions.get(context, one.name, one.version))
    except NotFoundError:
        return None


def find(services: PageServices, context: Context, number: int) -> AliasRequest | None:
    """A request by its number."""
    found = services.aliases.list_requests(context, ListAliasRequestsRequest(state=None)).requests
    return next((one for one in found if one.number == number), None)


def _decided(everything: tuple[AliasRequest, ...], now: int) -> str:
    columns = (
        Column("request", "Request", sortable=False),
        Column("state", "State", sortable=False, formatter=lambda state: badge(_WORDS[state], state)),
        Column("wish", "Wish", sortable=False),
        Column("asked", "Asked by", sortable=False, formatter=by),
        Column("decided", "Decided by", sortable=False, formatter=by),
        Column("reason", "Reason", sortable=False),
        Column("at", "Decided", align="right", sortable=False, formatter=lambda at: time_tag(at, now)),
    )
    rows = [
        Row(
            {
                "request": f"Request {one.number}",
                "state": one.state,
                "wish": f"{one.alias} of {one.name} on version {one.version}",
                "asked": one.requested_by,
                "decided": one.decided_by,
                "reason": one.reason or MISSING,
                "at": one.decided_at,
            },
            urls.version(one.name, one.version),
            f"request-{one.number}",
        )
        for one in everything
        if one.state != "open"
    ]
    return render_table(columns, rows[:_DECIDED_SHOWN], caption="Decided requests") if rows else ""


def _flash(everything: tuple[AliasRequest, ...], request: PageRequest) -> Flash | None:
    """What became of the request that a form on this page decided; the words come from the ledger, not from the URL."""
    number = request.query.get("decided", "")
    found = next((one for one in everything if str(one.number) == number), None)
    if found is None:
        return None
    what = f"{found.alias} of {found.name} on version {found.version}"
    if found.state == "granted" and found.alias == "challenger":
        told = f"Version {found.version} of {found.name} was put beside the champion."
        return Flash("good", f"Request {number} is granted", told, urls.model(found.name), found.name)
    if found.state == "granted":
        return Flash(
            "good", f"Request {number} is granted", f"{what} is deployed.", urls.model(found.name), found.name
        )
    if found.state == "declined":
        return Flash("info", f"Request {number} is declined", f"{what} was not set.")
    text = f"Version {found.version} is on its way; the request is granted once it is {found.alias}."
    return Flash("info", f"Request {number} is open", text, urls.model(found.name), f"See {found.name}")
