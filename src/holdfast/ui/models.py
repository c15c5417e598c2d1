"""`/models/{name}`: is this model well, why this version, how its quality went, and what happened to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from markupsafe import Markup

from holdfast.base import lineage, urn
from holdfast.base.context import Context
from holdfast.base.errors import HoldfastError, NotFoundError
from holdfast.loop.overview import ModelStatus, StatusRequest
from holdfast.loop.records import (
    Decision,
    ListDecisionsRequest,
    WithoutRetraining,
    WithoutRetrainingRequest,
)
from holdfast.loop.store import Declaration
from holdfast.monitoring.records import (
    Alert,
    Check,
    ListAlertsRequest,
    ListChecksRequest,
)
from holdfast.registry.catalog.records import AliasRequest
from holdfast.registry.records import GetModelRequest, ListVersionsRequest, Model, ModelVersion
from holdfast.ui import urls
from holdfast.ui.alias_requests import open_requests
from holdfast.ui.findings import drifted, findings_table, histograms
from holdfast.ui.flash import flash_of
from holdfast.ui.kit import Fact, Tile, badge
from holdfast.ui.kit.format import number, percent, relative_time, time_tag
from holdfast.ui.lineage import graph_of, picture
from holdfast.ui.outside import Outside, outside_table, outside_versions
from holdfast.ui.overview import ModelLine, line
from holdfast.ui.page import PageRequest, View, head
from holdfast.ui.quality import quality_chart, quality_sparkline, rate, rows_sparkline
from holdfast.ui.services import PageServices
from holdfast.ui.timeline import events
from holdfast.ui.version_table import versions_table
from holdfast.ui.words import HEALTH_BADGES, counted, metric_name, reason, sentence, who

_VERSIONS_SHOWN = 100
_DECISIONS_READ = 300
_TIMELINE_SHOWN = 10
_CHECKS_READ = 4
_CHANGES_LIVE = ("deploy", "promote")


class ModelData(msgspec.Struct, frozen=True):
    """A model's page as data."""

    model: Model | None
    line: ModelLine | None
    entry: str
    versions: tuple[ModelVersion, ...]
    checks: list[Check]
    alerts: list[Alert]
    decisions: list[Decision]
    without_retraining: WithoutRetraining | None
    lineage: lineage.LineageGraph
    outside: list[Outside]
    requests: tuple[AliasRequest, ...]


def show(services: PageServices, context: Context, request: PageRequest) -> View:
    """The page of one model."""
    name = request.parameters["name"]
    data = gather(services, context, name)
    status = data.line.status if data.line else None
    page = head(
        services,
        request,
        name,
        tab="Overview",
        kind="Model",
        subtitle=_state_now(data, services.clock.now()),
        status=HEALTH_BADGES[status.health] if status else "",
        urn=urn.model(name),
        command=f"holdfast status {name}" if status else f"holdfast models show {name}",
        crumbs=(("Overview", urls.OVERVIEW),),
    )
    parts = {
        "name": name,
        "data": data,
        "status": status,
        "open_alerts": status.alerts if status else (),
        "flash": flash_of(services, context, request, name),
        "tiles": _tiles(data, services.clock.now()),
        "quality": _quality(data),
        "comparison": _comparison(data.without_retraining),
        "why": _why_this_version(data, services.clock.now()),
        "versions": versions_table(data.versions, data.model, services.clock.now(), request),
        "outside": outside_table(data.outside, services.clock.now()) if data.outside else None,
        "requests": data.requests,
        "has_versions": bool(data.versions),
        "findings": findings_table(data.checks, request.query, request.path),
        "checks": _check_facts(data.checks, services.clock.now()),
        "histograms": _histograms(services, context, data),
        "events": events(data.decisions, data.alerts)[:_TIMELINE_SHOWN],
        "lineage": picture(data.lineage, "Lineage of the version in production"),
        "deployment_url": urls.deployment(status.environment, name) if status and status.champion else "",
        "entry": data.entry,
        "from_outside": not data.entry and data.model is not None,
    }
    return View("model.html", page, data, parts)


def gather(services: PageServices, context: Context, name: str) -> ModelData:
    """Reads everything the page shows.

    Raises:
        NotFoundError: no model of the name is declared or registered.
    """
    declaration = _declaration(services, context, name)
    model = _registered(services, context, name, declaration is not None)
    versions = (
        services.registry.list_versions(context, ListVersionsRequest(name, limit=_VERSIONS_SHOWN)).versions
        if model
        else ()
    )
    found = services.overview.status(context, StatusRequest(name)).models if declaration else ()
    status = found[0] if found else None
    spec = declaration.spec if declaration else None
    champion = status.champion if status else None
    return ModelData(
        model=model,
        entry=declaration.entry if declaration else "",
        line=line(services, context, status, spec, services.clock.now()) if status else None,
        versions=versions,
        checks=_latest_checks(services, context, status),
        alerts=services.monitoring.list_alerts(context, ListAlertsRequest(model=name)),
        decisions=services.loop.list_decisions(context, ListDecisionsRequest(name, limit=_DECISIONS_READ)),
        without_retraining=_without_retraining(services, context, status, versions),
        lineage=graph_of(
            services, context, urn.model_version(name, champion) if champion else urn.model(name)
        ),
        outside=outside_versions(services, context, name) if model else [],
        requests=open_requests(services, context, name) if model else (),
    )


def _declaration(services: PageServices, context: Context, name: str) -> Declaration | None:
    return next((item for item in services.loop.declarations(context) if item.name == name), None)


def _registered(services: PageServices, context: Context, name: str, declared: bool) -> Model | None:
    """The registry's model; a declared one may have no version yet."""
    try:
        return services.registry.get_model(context, GetModelRequest(name))
    except NotFoundError:
        if declared:
            return None
        raise


def _latest_checks(services: PageServices, context: Context, status: ModelStatus | None) -> list[Check]:
    if status is None:
        return []
    request = ListChecksRequest(model=status.name, environment=status.environment, limit=_CHECKS_READ)
    checks = services.monitoring.list_checks(context, request)
    return sorted(
        (item for item in checks if item.checked_at == checks[0].checked_at), key=lambda item: item.number
    )


def _without_retraining(
    services: PageServices, context: Context, status: ModelStatus | None, versions: Sequence[ModelVersion]
) -> WithoutRetraining | None:
    """The line of the first version left alone, once another one has ever been live."""
    lived = sum(any(step.stage == "live" for step in version.transitions) for version in versions)
    if services.counterfactual is None or status is None or lived < 2:
        return None
    try:
        request = WithoutRetrainingRequest(status.name, status.environment)
        return services.counterfactual.without_retraining(context, request)
    except HoldfastError:
        return None  # The page lives without it; the operation of the same name says why.


def _state_now(data: ModelData, now: int) -> str:
    """The state in one sentence: which version, how good, compared with what was promised, and what is next."""
    if data.line is None:
        return "Registered, but declared by no file: the loop does not look after it."
    status, item = data.line.status, data.line
    if status.champion is None:
        return f"No version takes traffic yet; {item.next}."
    serves = f"Version {status.champion} serves"
    if status.rollout is not None:
        serves += f" while version {status.rollout.candidate} is tried ({status.rollout.state})"
    if item.quality is None:
        return f"{serves}; no labels have arrived, so its quality is not known. Next: {item.next}."
    level = f"its {metric_name(status.metric)} is {number(item.quality)}"
    compared = f", {item.change} than on held-out rows" if item.change not in ("", "unchanged") else ""
    return f"{serves}; {level}{compared} ({counted(item.labelled, 'label')}). Next: {item.next}."


def _tiles(data: ModelData, now: int) -> tuple[Tile, ...]:
    if data.line is None or data.line.status.champion is None:
        return ()
    item, status = data.line, data.line.status
    worse = item.change.endswith("worse") and bool(status.alerts)
    return (
        Tile("In production", f"version {status.champion}", _since(data, now)),
        Tile(
            f"{sentence(metric_name(status.metric))}, last 7 labelled days",
            number(item.quality) if item.quality is not None else badge("insufficient data"),
            _against(item),
            "bad" if worse else "neutral",
            quality_sparkline(item.days, metric_name(status.metric)),
        ),
        Tile(
            "Predictions a day", rate(item.predictions_per_day), "mean of the last 7 days",
            chart=rows_sparkline(item.days, now),
        ),
        Tile("Labels joined", *_labels(item)),
    )  # fmt: skip


def _since(data: ModelData, now: int) -> str:
    live = _made_live(data)
    return f"by {who(live.actor, live.actor_kind)}, {relative_time(live.decided_at, now)}" if live else ""


def _against(item: ModelLine) -> str:
    if item.baseline is None and item.status.interval is not None:
        lower, upper = item.status.interval
        return f"95% interval {number(lower)} to {number(upper)}; no baseline to compare with"
    if item.baseline is None:
        return "no held-out level to compare with"
    return f"{item.change or 'not known'} against {number(item.baseline)} held out"


def _labels(item: ModelLine) -> tuple[str | Markup, str]:
    rows = sum(point.rows for point in item.days)
    labelled = sum(point.labelled for point in item.days)
    if not rows:
        return "–", "no predictions yet"
    return percent(labelled / rows), f"{number(labelled)} of {counted(rows, 'prediction')}"


def _made_live(data: ModelData) -> Decision | None:
    """The decision that put the present version where it is."""
    champion = data.line.status.champion if data.line else None
    return next((item for item in data.decisions if champion and _puts(item, champion)), None)


def _puts(decision: Decision, version: int) -> bool:
    """Whether a decision gave a version all the traffic; a rollback is about the version that left."""
    if decision.kind == "roll back":
        return decision.evidence.get("to") == version
    subject = urn.model_version(decision.model, version)
    return decision.kind in _CHANGES_LIVE and decision.subject == subject


def _quality(data: ModelData) -> Markup:
    item = data.line
    if item is None:
        return quality_chart((), None, None)
    return quality_chart(
        item.days, item.status.metric, item.baseline, data.decisions, data.alerts, data.without_retraining
    )


def _comparison(found: WithoutRetraining | None) -> str:
    """What retraining was worth, with its interval and the rows it rests on."""
    if found is None or found.loop is None or found.never is None or found.ratio is None:
        return ""
    spread = (
        f", 95% interval {percent(found.ratio_ci95[0])} to {percent(found.ratio_ci95[1])}"
        if found.ratio_ci95
        else ", too few days for an interval"
    )
    name = metric_name(found.metric)
    return (
        f"Version {found.version} left alone would have had a {name} of {number(found.never)}; as served it was"
        f" {number(found.loop)}, {percent(found.ratio)} of that{spread} ({counted(found.rows, 'labelled row')})."
    )


def _why_this_version(data: ModelData, now: int) -> tuple[Fact, ...]:
    status = data.line.status if data.line else None
    live = _made_live(data)
    if status is None or status.champion is None:
        return ()
    facts = [Fact("Version", f"{status.champion}", url=urls.version(status.name, status.champion))]
    if status.live_since_at is not None:
        facts.append(Fact("In production since", time_tag(status.live_since_at, now)))
    if live is not None:
        facts += [
            Fact("Decided by", who(live.actor, live.actor_kind), url=urls.decision(live.number)),
            Fact("Because", reason(live)),
            Fact("Rule", live.rule),
        ]
        if live.reversal:
            facts.append(Fact("Undo", Markup("<code>{}</code>").format(live.reversal)))
    return tuple(facts)


def _check_facts(checks: Sequence[Check], now: int) -> tuple[Fact, ...]:
    return tuple(
        Fact(
            check.kind.capitalize(),
            Markup("{} {} <span class='muted'>· {} · {}</span>").format(
                badge(check.state),
                check.message,
                counted(check.rows, "row"),
                relative_time(check.checked_at, now),
            ),
        )
        for check in checks
    )


def _histograms(services: PageServices, context: Context, data: ModelData) -> list[Markup]:
    """The columns that drifted, in the window of the check that found it."""
    drawn: list[Markup] = []
    for check in data.checks:
        version: Any = next((item for item in data.versions if item.version == check.version), None)
        if version is not None and check.kind in ("input drift", "prediction drift"):
            span = (check.window_from_at, check.window_until_at)
            named = drifted(check.findings)
            drawn += histograms(services, context, check.environment, version, span, named)
    return drawn
