"""`/models/{name}/versions/{version}`: what a version is made of, how it was judged, and what became of it."""

from __future__ import annotations

import msgspec
from markupsafe import Markup

from holdfast.base import lineage
from holdfast.base.clock import Micros
from holdfast.base.context import Context
from holdfast.base.errors import HoldfastError
from holdfast.loop.records import Decision, ListDecisionsRequest
from holdfast.registry.catalog.records import Entry
from holdfast.registry.records import GetModelRequest, GetVersionRequest, Model, ModelVersion
from holdfast.ui import outside, urls
from holdfast.ui.cells import link
from holdfast.ui.flash import Flash, flash_of
from holdfast.ui.gates import gate_plots, gates_table
from holdfast.ui.kit import Column, Event, Fact, Row, badge, render_table, table
from holdfast.ui.kit.format import number, short_id, size, time_tag
from holdfast.ui.lineage import graph_of, picture
from holdfast.ui.page import PageRequest, View, head
from holdfast.ui.services import PageServices
from holdfast.ui.timeline import events
from holdfast.ui.words import by, metric_name, sentence, stopped, who

_DECISIONS_READ = 300
_NUMBER_CHARACTERS = 10


class VersionData(msgspec.Struct, frozen=True):
    """A version's page as data."""

    model: Model
    version: ModelVersion
    decisions: list[Decision]
    lineage: lineage.LineageGraph


def show(services: PageServices, context: Context, request: PageRequest) -> View:
    """The page of one version; an alias such as `champion` in the address works too."""
    name = request.parameters["name"]
    entry = _not_ready(services, context, name, request.parameters["version"])
    if entry is not None:
        return outside.show(services, context, request, entry)
    version = services.registry.get_version(context, GetVersionRequest(name, request.parameters["version"]))
    decisions = services.loop.list_decisions(context, ListDecisionsRequest(name, limit=_DECISIONS_READ))
    data = VersionData(
        model=services.registry.get_model(context, GetModelRequest(name)),
        version=version,
        decisions=[item for item in decisions if _is_about(item, version)],
        lineage=graph_of(services, context, version.urn),
    )
    page = head(
        services,
        request,
        f"{name}, version {version.version}",
        tab="Overview",
        kind="Version",
        subtitle=_summary(data),
        status=version.stage,
        urn=version.urn,
        command=f"holdfast trace {name} --version {version.version}",
        crumbs=(("Overview", urls.OVERVIEW), (name, urls.model(name))),
    )
    parts = {
        "version": version,
        "flash": _approved(request, version) or flash_of(services, context, request, name),
        "facts": _facts(data, page.now_at),
        "metrics": _metrics(version),
        "gates": gates_table(version.gates),
        "plots": gate_plots(version.gates),
        "files": _files(version),
        "signature": _signature(version, request),
        "transitions": _transitions(version),
        "events": events(data.decisions),
        "lineage": picture(data.lineage),
        "may_approve": version.stage in ("rejected", "gated", "quarantined"),
        "failed": [gate.gate for gate in version.gates if gate.state == "failed"],
    }
    return View("version.html", page, data, parts)


def _not_ready(services: PageServices, context: Context, name: str, wanted: str) -> Entry | None:
    """A version from outside that no deployment has made ready yet; None for all else, and where there is none."""
    try:
        entry = (
            services.versions.get(context, name, int(wanted))
            if wanted.isdecimal() and len(wanted) < _NUMBER_CHARACTERS
            else services.versions.by_alias(context, name, wanted)
        )
    except HoldfastError:
        return None
    return None if entry.ready else entry


def _is_about(decision: Decision, version: ModelVersion) -> bool:
    brought_back = decision.kind == "roll back" and decision.evidence.get("to") == version.version
    return brought_back or decision.subject in (version.urn, f"tracking/run/{version.run_id}")


def _approved(request: PageRequest, version: ModelVersion) -> Flash | None:
    if "approved" not in request.query or version.stage != "approved":
        return None
    last = version.transitions[-1]
    return Flash("good", f"Version {version.version} is approved", f"By {last.actor}: {last.reason}")


def _summary(data: VersionData) -> str:
    version = data.version
    last = version.transitions[-1] if version.transitions else None
    because = stopped(f"Trained because {version.trained_because}") if version.trained_because else ""
    if last is None:
        return because
    reason = f": {last.reason}" if last.reason else ""
    return f"{because} {stopped(f'{sentence(last.stage)} by {who(last.actor, last.actor_kind)}{reason}')}".strip()


def _facts(data: VersionData, now: Micros) -> tuple[Fact, ...]:
    version = data.version
    aliases = [name for name, number in data.model.aliases.items() if number == version.version]
    views = Markup(", ").join(short_id(view) for view in version.feature_views)
    return (
        Fact("Stage", badge(version.stage)),
        *((Fact("Alias", Markup(" ").join(badge(alias) for alias in aliases)),) if aliases else ()),
        Fact("Task", version.task),
        Fact("Trained", time_tag(version.created_at, now)),
        Fact("Trained by", by(version.created_by)),
        Fact(
            "Data",
            link(version.dataset, urls.of_urn(version.dataset))
            if version.dataset
            else "registered from outside",
        ),
        Fact("Run", link(version.run_id, urls.run(version.run_id)) if version.run_id else "none"),
        Fact("Feature views", views or "none: the request carries every input"),
        *((Fact("Code", short_id(f"code/{version.bundle[:16]}")),) if version.bundle else ()),
    )


def _metrics(version: ModelVersion) -> tuple[Fact, ...]:
    return tuple(Fact(metric_name(name), number(value), name) for name, value in version.metrics.items())


def _files(version: ModelVersion) -> Markup:
    columns = (
        Column("format", "Format", sortable=False),
        Column("role", "Role", sortable=False, hint="native is what was trained; compiled is faster"),
        Column("agreement", "Agreement with the native form", sortable=False),
        Column("size", "Size", align="right", sortable=False, formatter=size),
        Column("digest", "Blob", sortable=False, formatter=short_id),
    )
    rows = [
        Row(
            {
                "format": file.format,
                "role": file.role,
                "agreement": file.agreement or ("is the native form" if file.role == "native" else None),
                "size": file.size_bytes,
                "digest": file.digest,
            },
            key=file.digest,
        )
        for file in version.files
    ]
    return render_table(columns, rows, caption="Files")


def _signature(version: ModelVersion, request: PageRequest) -> Markup:
    columns = (
        Column("position", "#", align="right"),
        Column("name", "Input"),
        Column("type", "Type"),
        Column("origin", "Comes from"),
        Column("categories", "Categories", sortable=False),
    )
    rows = [
        Row(
            {
                "position": position + 1,
                "name": column.name,
                "type": column.type,
                "origin": column.view or "the request",
                "categories": _categories(column.categories),
            },
            key=column.name,
        )
        for position, column in enumerate(version.signature.columns)
    ]
    return table(
        columns, rows, request.query, path=request.path, name="inputs", caption="Inputs", page_rows=20,
        searchable=len(rows) > 12,
    )  # fmt: skip


def _categories(categories: tuple[str, ...] | None) -> str | None:
    if categories is None:
        return None
    shown = ", ".join(categories[:6])
    return f"{shown}, … ({len(categories)})" if len(categories) > 6 else shown


def _transitions(version: ModelVersion) -> tuple[Event, ...]:
    """Every stage it reached, newest first, and whether a person or the loop did it."""
    return tuple(
        Event(
            at=step.at,
            title=sentence(step.stage),
            who=who(step.actor, step.actor_kind),
            by=step.actor_kind,
            status=step.stage,
            summary=sentence(step.reason),
        )
        for step in reversed(version.transitions)
    )
