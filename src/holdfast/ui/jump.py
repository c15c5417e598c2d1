"""`/jump?q=`: straight to what a name or id means, or the list of what it may mean."""

from __future__ import annotations

import re

import msgspec

from holdfast.base.context import Context
from holdfast.base.errors import HoldfastError
from holdfast.data.records import GetDatasetRequest, ListDatasetsRequest
from holdfast.loop.records import GetDecisionRequest
from holdfast.monitoring.records import GetAlertRequest
from holdfast.registry.records import GetVersionRequest, ListModelsRequest
from holdfast.rollout.service import GetRolloutRequest
from holdfast.tracking.filter import Comparison, render
from holdfast.tracking.records import GetRunRequest
from holdfast.tracking.run_records import RunRequest, RunSearch
from holdfast.ui import urls
from holdfast.ui.kit import Column, Row, render_table
from holdfast.ui.page import PageRequest, View, head
from holdfast.ui.services import PageServices

_RUNS_SHOWN = 50
_NUMBERED = re.compile(r"^(?:(alert|decision|rollout)s?[ /#]*)?#?(\d{1,17})$")
_VERSION = re.compile(r"^([A-Za-z0-9][\w.\-]*)(?:@|/versions/| v?)(\d{1,9})$")
_HEX = re.compile(r"^[0-9a-f]{6,32}$")


class Target(msgspec.Struct, frozen=True):
    """Something a query may mean."""

    kind: str
    name: str
    url: str


def targets(services: PageServices, context: Context, query: str) -> list[Target]:
    """What a query may mean, best first; one that is alone is what was meant."""
    text = query.strip()
    if not text:
        return []
    exact = _by_urn(services, context, text) or _by_name(services, context, text)
    if exact is not None:
        return [exact]
    found = [*_numbered(services, context, text), *_named(services, context, text.casefold())]
    # Runs are named after their models, so that they would bury every model that is looked for.
    return found or _runs(services, context, text)


def show(services: PageServices, context: Context, request: PageRequest) -> View:
    """The list of what the query may mean."""
    query = request.query.get("q", "").strip()
    found = targets(services, context, query)
    page = head(services, request, f"“{query}”" if query else "Jump", tab="", kind="Jump to", live=False)
    page = msgspec.structs.replace(page, json_url=urls.with_query(page.json_url, q=query))
    columns = (Column("name", "Name", sortable=False), Column("kind", "Kind", sortable=False))
    rows = [Row({"name": item.name, "kind": item.kind}, item.url) for item in found]
    parts = {"table": render_table(columns, rows, caption="Found"), "found": found, "query": query}
    return View("jump.html", page, found, parts)


def _by_urn(services: PageServices, context: Context, text: str) -> Target | None:
    url = urls.of_urn(text) if "/" in text else ""
    return Target("id", text, url) if url and _exists(services, context, text) else None


def _by_name(services: PageServices, context: Context, text: str) -> Target | None:
    """A model by its whole name, or a version as `name@3`, `name v3` or `name 3`."""
    names = _model_names(services, context)
    if text in names:
        return Target("model", text, urls.model(text))
    match = _VERSION.match(text)
    if match and match[1] in names:
        wanted = f"registry/{match[1]}@{match[2]}"
        if _exists(services, context, wanted):
            return Target("version", f"{match[1]}@{match[2]}", urls.version(match[1], int(match[2])))
    return None


def _exists(services: PageServices, context: Context, urn: str) -> bool:
    domain, _, rest = urn.partition("/")
    name, _, number = rest.rpartition("@") if "@" in rest else (rest, "", "")
    kind, _, tail = rest.rpartition("/")
    try:
        if domain == "registry" and number:
            services.registry.get_version(context, GetVersionRequest(name, number))
        elif domain == "registry":
            return rest in _model_names(services, context)
        elif domain == "data":
            services.data.get_dataset(context, GetDatasetRequest(name, number))
        elif domain == "tracking":
            services.tracking.get_run(context, GetRunRequest(tail))
        elif domain == "serving":
            environment, _, served = name.partition("/")
            with services.ledger.read() as reader:
                services.deployments.require(reader, context, environment, served)
        else:
            _get_numbered(services, context, kind or domain, int(tail))
    except HoldfastError:
        return False
    return True


def _get_numbered(services: PageServices, context: Context, kind: str, number: int) -> None:
    """Looks a numbered thing up; raises where there is none."""
    if kind == "alert":
        services.monitoring.get_alert(context, GetAlertRequest(number))
    elif kind == "decision":
        services.loop.get_decision(context, GetDecisionRequest(number))
    else:
        services.rollouts.get_rollout(context, GetRolloutRequest(number))


def _numbered(services: PageServices, context: Context, text: str) -> list[Target]:
    match = _NUMBERED.match(text.casefold())
    if match is None:
        return []
    addresses = {"alert": urls.alert, "decision": urls.decision, "rollout": urls.rollout}
    number = int(match[2])
    found = []
    for kind in [match[1]] if match[1] else list(addresses):
        try:
            _get_numbered(services, context, kind, number)
        except HoldfastError:
            continue
        found.append(Target(kind, f"{kind} {number}", addresses[kind](number)))
    return found


def _model_names(services: PageServices, context: Context) -> set[str]:
    registered = services.registry.list_models(context, ListModelsRequest()).models
    declared = services.loop.declarations(context)
    return {model.name for model in registered} | {item.name for item in declared}


def _named(services: PageServices, context: Context, text: str) -> list[Target]:
    names = sorted(_model_names(services, context))
    found = [Target("model", name, urls.model(name)) for name in names if text in name.casefold()]
    tables = services.data.list_datasets(context, ListDatasetsRequest()).datasets
    return found + [
        Target(
            "dataset", f"{item.table}@{item.latest_version}", urls.dataset(item.table, item.latest_version)
        )
        for item in tables
        if text in item.table.casefold()
    ]


def _runs(services: PageServices, context: Context, text: str) -> list[Target]:
    """Runs whose name contains the text, or the one whose id begins with it."""
    wanted = text.casefold()
    if _HEX.match(wanted):
        try:
            found = services.runs.describe(context, RunRequest(wanted)).run
            return [Target("run", found.name, urls.run(found.run_id))]
        except HoldfastError:
            pass  # Several begin so, or none does; it may be part of a name.
    pattern = f"%{text}%"
    condition = render(Comparison("attribute", "run_name", "ILIKE", pattern))
    runs = services.runs.search(context, RunSearch(condition, limit=_RUNS_SHOWN)).runs
    return [Target("run", run.name, urls.run(run.run_id)) for run in runs]
