"""`/`: every model at a glance, the one in most trouble first; what was decided, and what runs."""

from __future__ import annotations

from typing import Any

import msgspec
from markupsafe import Markup

from holdfast.base.clock import DAY_US, Micros
from holdfast.base.context import Context
from holdfast.base.jobs import Job
from holdfast.loop.overview import ModelStatus, StatusRequest
from holdfast.loop.records import Decision, ListDecisionsRequest, LoopSpec
from holdfast.monitoring.records import Alert, ListAlertsRequest, ModelHealthRequest, QualityPoint
from holdfast.registry.catalog.records import AliasRequest
from holdfast.registry.records import ListModelsRequest
from holdfast.ui import urls
from holdfast.ui.alias_requests import open_requests
from holdfast.ui.cells import prose
from holdfast.ui.kit import Column, Fact, Row, Tile, badge, table
from holdfast.ui.kit.format import MISSING, number, relative_time
from holdfast.ui.outlook import what_next
from holdfast.ui.page import PageRequest, View, head
from holdfast.ui.quality import predictions_per_day, quality_sparkline, rate, recent, rows_sparkline
from holdfast.ui.services import PageServices
from holdfast.ui.timeline import headlines
from holdfast.ui.words import HEALTH_BADGES, change, counted, decision_title, is_worse, joined, metric_name

_DECISIONS_SHOWN = 10
_ALERTS_SHOWN = 20


class ModelLine(msgspec.Struct, frozen=True):
    """One model on the overview: its status, its days of quality, and what happens next."""

    status: ModelStatus
    quality: float | None
    labelled: int
    baseline: float | None
    change: str
    predictions_per_day: float
    next: str
    days: tuple[QualityPoint, ...]


class OverviewData(msgspec.Struct, frozen=True):
    """The overview as data."""

    now_at: Micros
    simulated: bool
    models: tuple[ModelLine, ...]
    undeclared: tuple[str, ...]
    decisions: list[Decision]
    alerts: list[Alert]
    jobs: list[Job]
    requests: tuple[AliasRequest, ...]


def show(services: PageServices, context: Context, request: PageRequest) -> View:
    """The overview of the project."""
    data = gather(services, context)
    page = head(
        services,
        request,
        "Overview",
        tab="Overview",
        subtitle=_summary(data),
        command="holdfast status",
    )
    parts = {
        "tiles": _tiles(data),
        "models": _models_table(data, request),
        "events": headlines(data.decisions, data.alerts)[:_DECISIONS_SHOWN],
        "jobs": _jobs(data),
        "undeclared": data.undeclared,
        "requests": data.requests,
    }
    return View("overview.html", page, data, parts)


def gather(services: PageServices, context: Context) -> OverviewData:
    """Reads everything the overview shows."""
    now = services.clock.now()
    specs = {item.name: item.spec for item in services.loop.declarations(context)}
    statuses = services.overview.status(context, StatusRequest()).models
    registered = services.registry.list_models(context, ListModelsRequest()).models
    return OverviewData(
        now_at=now,
        simulated=services.clock.simulated,
        models=tuple(line(services, context, status, specs.get(status.name), now) for status in statuses),
        undeclared=tuple(model.name for model in registered if model.name not in specs),
        decisions=services.loop.list_decisions(context, ListDecisionsRequest(limit=_DECISIONS_SHOWN)),
        alerts=services.monitoring.list_alerts(context, ListAlertsRequest(limit=_ALERTS_SHOWN)),
        jobs=services.jobs.open_jobs(context),
        requests=open_requests(services, context),
    )


def line(
    services: PageServices, context: Context, status: ModelStatus, spec: LoopSpec | None, now: Micros
) -> ModelLine:
    """What the overview, and the head of a model's page, say of one model."""
    points = services.monitoring.quality(context, ModelHealthRequest(status.name, status.environment))
    own = [
        point
        for point in points
        if point.version == status.champion and point.day_at >= (status.live_since_at or 0) // DAY_US * DAY_US
    ]
    value, labelled, _ = recent(own)
    baseline = held_out_level(services, context, status)
    return ModelLine(
        status=status,
        quality=value,
        labelled=labelled,
        baseline=baseline,
        change=change(status.metric, value, baseline),
        predictions_per_day=predictions_per_day(points, now),
        next=what_next(status, spec, _trained_at(services, context, status.name), now),
        days=tuple(points),
    )


def held_out_level(services: PageServices, context: Context, status: ModelStatus) -> float | None:
    """The metric of the version in production on the rows held out when it was trained."""
    if status.champion is None or status.metric is None:
        return None
    return services.registry.version(context, status.name, status.champion).metrics.get(status.metric)


def _trained_at(services: PageServices, context: Context, name: str) -> Micros | None:
    last = services.loop.list_decisions(context, ListDecisionsRequest(name, "retrain", 1))
    return last[0].decided_at if last else None


def _summary(data: OverviewData) -> str:
    alarmed = [item.status.name for item in data.models if item.status.alerts]
    if alarmed:
        alerts = sum(len(item.status.alerts) for item in data.models)
        verb = "has" if len(alarmed) == 1 else "have"
        return f"{joined(alarmed)} {verb} {'an open alert' if alerts == 1 else f'{alerts} open alerts'}."
    unsure = [item.status.name for item in data.models if item.status.health == "insufficient data"]
    if unsure:
        return f"No open alert. For {joined(unsure)} the data cannot say yet whether all is well."
    return "No open alert." if data.models else ""


def _tiles(data: OverviewData) -> tuple[Tile, ...]:
    live = sum(item.status.champion is not None for item in data.models)
    alerts = [alert for item in data.models for alert in item.status.alerts]
    rollouts = [item.status.rollout for item in data.models if item.status.rollout is not None]
    per_day = sum(item.predictions_per_day for item in data.models)
    return (
        Tile("Models", number(len(data.models)), f"{live} in production"),
        Tile(
            "Open alerts",
            number(len(alerts)),
            joined(dict.fromkeys(alert.model for alert in alerts)) or "none",
            "bad" if alerts else "good",
            url=urls.ALERTS,
        ),
        Tile(
            "Rollouts in progress",
            number(len(rollouts)),
            joined(f"{rollout.model} v{rollout.candidate}" for rollout in rollouts) or "none",
            "info" if rollouts else "neutral",
            url=urls.ROLLOUTS,
        ),
        Tile(
            "Predictions a day",
            rate(per_day),
            "mean of the last 7 days",
            chart=rows_sparkline(_rows_of_all(data), data.now_at) if data.models else Markup(""),
        ),
    )


def _rows_of_all(data: OverviewData) -> list[QualityPoint]:
    rows: dict[Micros, int] = {}
    for item in data.models:
        for point in item.days:
            rows[point.day_at] = rows.get(point.day_at, 0) + point.rows
    return [QualityPoint(day, count, 0) for day, count in sorted(rows.items())]


def _models_table(data: OverviewData, request: PageRequest) -> Markup:
    columns = (
        Column("model", "Model"),
        Column("status", "Status", sortable=False),
        Column("champion", "Champion", align="right"),
        Column("days", "Quality, 60 days", sortable=False),
        Column("quality", "Now", sortable=False, hint="the last 7 labelled days, against the held-out rows"),
        Column("rate", "Predictions/day", align="right", formatter=rate),
        Column("decision", "Last decision", sortable=False),
        Column("next", "Next", sortable=False),
    )
    rows = [Row(_cells(item, data.now_at), urls.model(item.status.name)) for item in data.models]
    return table(
        columns,
        rows,
        request.query,
        path=request.path,
        name="models",
        caption="Models",
        searchable=len(rows) > 10,
    )


def _cells(item: ModelLine, now: Micros) -> dict[str, Any]:
    status = item.status
    last = status.last_decision
    return {
        "model": status.name,
        "status": badge(HEALTH_BADGES[status.health], status.message),
        "champion": f"v{status.champion}" if status.champion is not None else None,
        "days": quality_sparkline(item.days, metric_name(status.metric)),
        "quality": quality_cell(item),
        "rate": item.predictions_per_day if item.days else None,
        "decision": prose(f"{decision_title(last)}, {relative_time(last.decided_at, now)}") if last else None,
        "next": prose(item.next),
    }


def quality_cell(item: ModelLine) -> str | Markup:
    """The metric now, how it compares with the held-out rows, and on how many labels that rests."""
    if item.quality is None:
        return badge("insufficient data", "no labels yet") if item.status.champion else MISSING
    value = Markup('<strong>{}</strong> <span class="muted">{}</span>').format(
        number(item.quality), item.status.metric or ""
    )
    if not item.change:
        return value
    beyond = is_worse(item.status.metric, item.quality, item.baseline or 0.0) and item.status.alerts
    return Markup('{}<br><span class="{}">{}</span> <span class="muted">on {}</span>').format(
        value, "tone-bad" if beyond else "muted", item.change, counted(item.labelled, "label")
    )


def _jobs(data: OverviewData) -> tuple[Fact, ...]:
    return tuple(
        Fact(
            f"Job {job.number}",
            Markup("{} {} {}").format(job.kind, job.exclusive, badge(job.state)),
            url=urls.run(job.spec["run_id"]) if job.state == "running" and "run_id" in job.spec else "",
        )
        for job in data.jobs
    )
