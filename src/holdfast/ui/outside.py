"""Versions that outside clients registered: where they come from, whether they can be deployed, and what to type."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import msgspec
from markupsafe import Markup

from holdfast.base import lineage
from holdfast.base.clock import Micros
from holdfast.base.context import Context
from holdfast.base.errors import HoldfastError, NotFoundError
from holdfast.registry.catalog.policy import is_prompt
from holdfast.registry.catalog.records import AliasRequest, Entry, ListAliasRequestsRequest
from holdfast.registry.outside.outlook import TEXT_BYTES_MOST, Outlook, outlook
from holdfast.ui import urls
from holdfast.ui.cells import link, long_text
from holdfast.ui.kit import Column, Fact, Row, badge, render_table
from holdfast.ui.kit.format import MISSING, short_id, time_tag
from holdfast.ui.lineage import graph_of, picture
from holdfast.ui.page import PageRequest, View, head
from holdfast.ui.services import PageServices
from holdfast.ui.words import by

_SHOWN_MOST = 50
_UNKNOWN = Outlook((), "", "unknown")


class Outside(msgspec.Struct, frozen=True):
    """A version from outside, and what to expect of deploying it. `reason` says why that is not known.

    `held` says why a person has to free the version before it can be deployed.
    """

    entry: Entry
    outlook: Outlook
    command: str
    reason: str = ""
    held: str = ""


class EntryData(msgspec.Struct, frozen=True):
    """The page of a version that is not ready to be served, as data."""

    outside: Outside
    requests: tuple[AliasRequest, ...]
    lineage: lineage.LineageGraph


def outside_versions(services: PageServices, context: Context, name: str) -> list[Outside]:
    """The newest versions from outside that wait to be deployed; once deployed they are versions like all others."""
    try:
        entries = services.versions.of_model(context, name)
    except NotFoundError:
        return []
    from_outside = [entry for entry in reversed(entries) if entry.origin == "outside" and not entry.ready]
    return [look(services, context, entry) for entry in from_outside[:_SHOWN_MOST]]


def look(services: PageServices, context: Context, entry: Entry) -> Outside:
    """Looks at the version's MLmodel file, where it is in this server's store."""
    if is_prompt(entry.tags):
        return Outside(entry, _UNKNOWN, "", "a prompt, which is not deployed")
    command = ["holdfast", "deploy", entry.name, "--version", str(entry.version)]
    try:
        folder = services.sources.folder(context, entry)
        _, place = services.artifacts.open(context, f"{folder}/MLmodel")
        with place.open("rb") as source:
            found = outlook(source.read(TEXT_BYTES_MOST).decode("utf-8", "replace"))
    except HoldfastError as error:
        if not entry.ready:
            return Outside(entry, _UNKNOWN, "", str(error))
        found = Outlook((), "", "deployable")
    if entry.ready:
        # It was read once, and is kept in a form that serves: whatever the folder says counts no more.
        found = msgspec.structs.replace(found, verdict="deployable")
        if entry.stage == "quarantined":
            lift = shlex.join([*command, "--lift-quarantine"])
            return Outside(
                entry, found, lift, held="It was rolled back and is quarantined: deploying it is refused"
            )
        return Outside(entry, found, "" if entry.stage == "live" else shlex.join(command))
    trust = ["--trust"] if found.verdict == "needs trust" else []
    refused = found.verdict == "not servable"
    return Outside(entry, found, "" if refused else shlex.join([*command, *trust]))


def outside_table(found: Sequence[Outside], now: Micros) -> Markup:
    """One row a version, newest first."""
    columns = (
        Column("version", "Version", sortable=False),
        Column("stage", "Stage", sortable=False, formatter=badge),
        Column("alias", "Alias", sortable=False),
        Column("flavor", "Flavor", sortable=False),
        Column("run", "Run", sortable=False),
        Column("deploy", "To deploy", sortable=False),
        Column("by", "By", sortable=False, formatter=by),
        Column("at", "Registered", align="right", sortable=False, formatter=lambda at: time_tag(at, now)),
    )
    rows = [
        Row(
            {
                "version": f"v{item.entry.version}",
                "stage": item.entry.stage,
                "alias": aliases_of(item.entry),
                "flavor": flavor_of(item),
                "run": run_link(item.entry),
                "deploy": to_deploy(item),
                "by": item.entry.created_by,
                "at": item.entry.created_at,
            },
            urls.version(item.entry.name, item.entry.version),
            f"v{item.entry.version}",
        )
        for item in found
    ]
    return render_table(columns, rows, caption="Versions from outside")


def aliases_of(entry: Entry) -> Markup | None:
    """Its aliases, and the stage in the words of an outside client where that says anything."""
    words = [badge(alias) for alias in entry.aliases]
    if entry.label not in ("", "None"):
        words.append(Markup('<span class="muted">{}</span>').format(entry.label))
    return Markup(" ").join(words) if words else None


def flavor_of(item: Outside) -> str:
    """Its flavors and how it is stored, as far as that is known."""
    flavors = ", ".join(item.outlook.flavors)
    stored = item.outlook.stored_as
    return (f"{flavors} ({stored})" if stored and stored not in flavors else flavors) or MISSING


def run_link(entry: Entry) -> Markup | None:
    """The run it was made from."""
    if not entry.run_id:
        return None
    return Markup('<a class="over" href="{}">{}</a>').format(urls.run(entry.run_id), entry.run_id[:8])


def to_deploy(item: Outside) -> Markup:
    """Whether it can be deployed, in a word, and the command."""
    if item.held:
        return Markup("{} <code>{}</code>").format(badge("quarantined", item.held), item.command)
    words = {
        "deployable": badge("ready" if item.entry.ready else "registered", "can be deployed"),
        "needs trust": badge("blocked", "stored as a pickle: loading it runs its writer's code"),
        "not servable": badge("not supported", "sklearn, lightgbm and onnx can be served"),
        "unknown": badge("unknown", item.reason),
    }
    if item.entry.stage == "live":
        return badge("live")
    text = item.command or (item.reason if item.outlook.verdict == "unknown" else "cannot be served here")
    shown = (
        Markup("<code>{}</code>").format(text)
        if item.command
        else Markup('<span class="prose">{}</span>').format(text)
    )
    return Markup("{} {}").format(words[item.outlook.verdict], shown)


def show(services: PageServices, context: Context, request: PageRequest, entry: Entry) -> View:
    """The page of a version that no deployment has made ready yet."""
    item = look(services, context, entry)
    asked = services.aliases.list_requests(context, ListAliasRequestsRequest(entry.name, "open")).requests
    data = EntryData(
        item,
        tuple(one for one in asked if one.version == entry.version),
        graph_of(services, context, entry.urn),
    )
    page = head(
        services,
        request,
        f"{entry.name}, version {entry.version}",
        tab="Overview",
        kind="Version",
        subtitle="Registered by an outside client; not deployed yet.",
        status=entry.stage,
        urn=entry.urn,
        command=f"holdfast trace {shlex.quote(entry.name)} --version {entry.version}",
        crumbs=(("Overview", urls.OVERVIEW), (entry.name, urls.model(entry.name))),
    )
    parts = {
        "entry": entry,
        "requests": data.requests,
        "facts": _facts(item, page.now_at),
        "tags": tuple(Fact(name, long_text(value)) for name, value in entry.tags.items()),
        "verdict": item.outlook.verdict,
        "flavors": ", ".join(item.outlook.flavors),
        "stored_as": item.outlook.stored_as,
        "reason": item.reason,
        "command": f"$ {item.command}" if item.command else "",
        "lineage": picture(data.lineage),
    }
    return View("entry.html", page, data, parts)


def _facts(item: Outside, now: Micros) -> tuple[Fact, ...]:
    entry = item.entry
    return (
        Fact("Stage", badge(entry.stage)),
        *((Fact("Alias", aliases),) if (aliases := aliases_of(entry)) else ()),
        Fact("Flavor", flavor_of(item)),
        Fact("Source", Markup("<code>{}</code>").format(entry.source)),
        Fact("Run", link(entry.run_id, urls.run(entry.run_id)) if entry.run_id else "none"),
        *((Fact("Logged model", short_id(entry.logged_model, 34)),) if entry.logged_model else ()),
        *((Fact("Description", long_text(entry.description)),) if entry.description else ()),
        Fact("Registered", time_tag(entry.created_at, now)),
        Fact("By", by(entry.created_by)),
    )
