"""`/alerts` and `/alerts/{number}`: what changed, since when, how sure, and what was done because of it."""

from __future__ import annotations

import msgspec
from markupsafe import Markup

from holdfast.base.clock import DAY_US, Micros
from holdfast.base.context import Context
from holdfast.base.errors import NotFoundError
from holdfast.loop.records import Decision, ListDecisionsRequest
from holdfast.monitoring.records import (
    Alert,
    Check,
    Finding,
    GetAlertRequest,
    ListAlertsRequest,
    ListChecksRequest,
    ModelHealthRequest,
    QualityPoint,
)
from holdfast.ui import urls
from holdfast.ui.cells import prose
from holdfast.ui.findings import drifted, findings_table, histograms
from holdfast.ui.kit import Choice, Column, Fact, Row, badge, charts, table
from holdfast.ui.kit.format import code_block, day, duration, number, time_tag
from holdfast.ui.page import PageRequest, View, head
from holdfast.ui.quality import quality_chart
from holdfast.ui.services import PageServices
from holdfast.ui.timeline import events
from holdfast.ui.words import counted, sentence, stopped

_ALERTS_READ = 500
_DECISIONS_READ = 300


class AlertData(msgspec.Struct, frozen=True):
    """An alert's page as data; `check` is the latest check behind it."""

    alert: Alert
    check: Check | None
    decisions: list[Decision]


def show_list(services: PageServices, context: Context, request: PageRequest) -> View:
    """Every alert, newest first."""
    alerts = services.monitoring.list_alerts(context, ListAlertsRequest(limit=_ALERTS_READ))
    page = head(services, request, "Alerts", tab="Alerts", command="holdfast status")
    now = page.now_at
    columns = (
        Column("number", "Alert"),
        Column("state", "State", formatter=badge),
        Column("model", "Model"),
        Column("version", "Version", align="right"),
        Column("kind", "What"),
        Column("message", "In words", sortable=False),
        Column("lasted", "Lasted", align="right", formatter=duration),
        Column("opened", "Opened", align="right", formatter=lambda at: time_tag(at, now)),
    )
    models = tuple(dict.fromkeys(alert.model for alert in alerts))
    choices = (Choice("state", "State", ("open", "resolved")), Choice("model", "Model", models))
    listed = table(
        columns, [_row(alert, now) for alert in alerts], request.query, path=request.path, name="alerts",
        default_sort="-opened", choices=choices if alerts else (), caption="Alerts",
        empty=Markup("<h3>No alert was ever raised</h3><p>Every version is watched from its first prediction, with"
        " the data it was trained on as the baseline. See what the checks say now:</p>{}").format(
            code_block("$ holdfast status")),
    )  # fmt: skip
    return View("list.html", page, alerts, {"table": listed})


def _row(alert: Alert, now: Micros) -> Row:
    cells = {
        "number": alert.number,
        "state": alert.state,
        "model": alert.model,
        "version": f"v{alert.version}",
        "kind": alert.kind,
        "message": prose(alert.message),
        "lasted": (alert.resolved_at or now) - alert.opened_at,
        "opened": alert.opened_at,
    }
    return Row(cells, urls.alert(alert.number))


def show(services: PageServices, context: Context, request: PageRequest) -> View:
    """The page of one alert."""
    alert = services.monitoring.get_alert(context, GetAlertRequest(request.number("number")))
    check = _check(services, context, alert)
    decisions = services.loop.list_decisions(
        context, ListDecisionsRequest(alert.model, limit=_DECISIONS_READ)
    )
    data = AlertData(alert, check, [item for item in decisions if alert.number in _alerts_of(item)])
    page = head(
        services,
        request,
        f"{alert.kind.capitalize()} of {alert.model}",
        tab="Alerts",
        kind="Alert",
        subtitle=stopped(alert.message),
        status=alert.state,
        urn=alert.urn,
        command=f"holdfast status {alert.model}",
        crumbs=(("Alerts", urls.ALERTS), (alert.model, urls.model(alert.model))),
    )
    parts = {
        "alert": alert,
        "facts": _facts(alert, check, page.now_at),
        "findings": findings_table([check] if check else [], request.query, request.path),
        "chart": _performance_chart(services, context, alert, data.decisions),
        "sureness": _sureness(drifted(alert.findings)),
        "histograms": _histograms(services, context, alert, check),
        "events": events(data.decisions),
        "commands": _commands(alert),
    }
    return View("alert.html", page, data, parts)


def _check(services: PageServices, context: Context, alert: Alert) -> Check | None:
    """The check that the alert rests on now."""
    request = ListChecksRequest(model=alert.model, before=alert.check + 1, limit=1)
    found = services.monitoring.list_checks(context, request)
    return found[0] if found and found[0].number == alert.check else None


def _alerts_of(decision: Decision) -> list[int]:
    named = decision.evidence.get("alerts")
    return list(named) if isinstance(named, list) else []


def _facts(alert: Alert, check: Check | None, now: Micros) -> tuple[Fact, ...]:
    facts = [
        Fact("State", badge(alert.state)),
        Fact("Opened", time_tag(alert.opened_at, now)),
        Fact(
            "Lasted" if alert.resolved_at else "Open for",
            duration((alert.resolved_at or now) - alert.opened_at),
        ),
        Fact("Last seen", time_tag(alert.last_seen_at, now)),
        Fact(
            "Version", f"{alert.model}, version {alert.version}", url=urls.version(alert.model, alert.version)
        ),
        Fact("Environment", alert.environment, url=urls.deployment(alert.environment, alert.model)),
    ]
    if check is not None:
        span = f"{day(check.window_from_at)} to {day(check.window_until_at - 1)}"
        facts.append(Fact("Window", f"{span}, {counted(check.rows, 'row')}"))
    if alert.resolved_at is not None:
        facts.append(Fact("Resolved", time_tag(alert.resolved_at, now)))
        facts.append(Fact("Because", sentence(alert.resolution)))
    return tuple(facts)


def _sureness(findings: list[Finding]) -> Markup | None:
    """Effects against their thresholds: how far beyond the limit each finding is."""
    bars = [
        charts.Bar(item.subject, item.effect / item.threshold, "warn")
        for item in findings
        if item.effect is not None and item.threshold
    ]
    if not bars:
        return None
    return charts.bar_chart(
        bars[:10],
        title="How far beyond the threshold",
        unit="effect as a multiple of its threshold",
        threshold=charts.Threshold(1.0, "threshold"),
        value_format=lambda value: f"{number(value, 2)}×",
    )


def _performance_chart(
    services: PageServices, context: Context, alert: Alert, decisions: list[Decision]
) -> Markup | None:
    if alert.kind != "performance":
        return None
    points = services.monitoring.quality(context, ModelHealthRequest(alert.model, alert.environment))
    version = services.registry.version(context, alert.model, alert.version)
    metric = alert.findings[0].subject if alert.findings else None
    return quality_chart(
        _around(points, alert), metric, version.metrics.get(metric or ""), decisions, [alert]
    )


def _around(points: list[QualityPoint], alert: Alert) -> list[QualityPoint]:
    """Sixty days before the alert and thirty after it was last seen."""
    first, last = alert.opened_at - 60 * DAY_US, alert.last_seen_at + 30 * DAY_US
    return [point for point in points if first <= point.day_at <= last]


def _histograms(services: PageServices, context: Context, alert: Alert, check: Check | None) -> list[Markup]:
    if check is None:
        return []
    try:
        version = services.registry.version(context, alert.model, alert.version)
    except NotFoundError:
        return []
    span = (check.window_from_at, check.window_until_at)
    return histograms(services, context, alert.environment, version, span, drifted(alert.findings), most=8)


def _commands(alert: Alert) -> str:
    if alert.state == "resolved":
        return f"$ holdfast trace {alert.model}"
    return "\n".join(
        (
            f"$ holdfast status {alert.model}",
            f"$ holdfast trace {alert.model} --version {alert.version}",
            f"$ holdfast rollback {alert.model}",
        )
    )
