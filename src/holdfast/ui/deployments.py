"""`/deployments` and `/deployments/{environment}/{name}`: who answers now, who answered before, and how to go back."""

from __future__ import annotations

import msgspec
from markupsafe import Markup

from holdfast.base import urn
from holdfast.base.clock import Micros
from holdfast.base.context import Context
from holdfast.base.operations import Empty
from holdfast.monitoring.records import ModelHealthRequest, QualityPoint
from holdfast.rollout.records import Rollout, Variant
from holdfast.rollout.service import GetRolloutRequest, RolloutHistory
from holdfast.serving.records import Deployment, Revision
from holdfast.serving.service import ListRevisionsRequest
from holdfast.ui import urls
from holdfast.ui.cells import link, prose
from holdfast.ui.flash import flash_of
from holdfast.ui.kit import Column, Fact, Row, badge, charts, table
from holdfast.ui.kit.format import code_block, relative_time, time_tag
from holdfast.ui.outlook import rollout_next
from holdfast.ui.page import PageRequest, View, head
from holdfast.ui.quality import rows_by_day
from holdfast.ui.services import PageServices
from holdfast.ui.verdicts import verdict_plot
from holdfast.ui.words import joined, sentence, who

_REVISIONS_READ = 200


class DeploymentData(msgspec.Struct, frozen=True):
    """A deployment's page as data."""

    deployment: Deployment
    revisions: list[Revision]
    rollout: RolloutHistory | None
    days: list[QualityPoint]


def show_list(services: PageServices, context: Context, request: PageRequest) -> View:
    """Every deployment of the project."""
    deployments = services.deployments.list_deployments(context, Empty())
    page = head(services, request, "Deployments", tab="Deployments", command="holdfast status")
    now = page.now_at
    columns = (
        Column("name", "Deployment"),
        Column("environment", "Environment"),
        Column("state", "State", sortable=False),
        Column("traffic", "Traffic", sortable=False),
        Column("warm", "Warm", sortable=False, hint="loaded, and a rollback away"),
        Column("revision", "Revision", align="right"),
        Column("changed", "Changed", align="right", formatter=lambda at: time_tag(at, now)),
        Column("reason", "Because", sortable=False),
    )
    listed = table(
        columns, [_row(item) for item in deployments], request.query, path=request.path, name="deployments",
        caption="Deployments", searchable=len(deployments) > 10,
        empty=Markup("<h3>No deployments yet</h3><p>A deployment appears when a version goes live.</p>{}").format(
            code_block("$ holdfast train FILE\n$ holdfast deploy NAME\n$ holdfast status NAME")),
    )  # fmt: skip
    return View("list.html", page, deployments, {"table": listed})


def _row(item: Deployment) -> Row:
    revision = item.revision
    cells = {
        "name": item.name,
        "environment": item.environment,
        "state": badge(_state(item)),
        "traffic": ", ".join(_words(variant) for variant in revision.variants),
        "warm": ", ".join(f"v{number}" for number in revision.warm) or None,
        "revision": revision.number,
        "changed": revision.created_at,
        "reason": prose(sentence(revision.reason)),
    }
    return Row(cells, urls.deployment(item.environment, item.name))


def show(services: PageServices, context: Context, request: PageRequest) -> View:
    """The page of one deployment."""
    name, environment = request.parameters["name"], request.parameters["environment"]
    data = gather(services, context, environment, name)
    deployment, revision = data.deployment, data.deployment.revision
    page = head(
        services,
        request,
        name,
        tab="Deployments",
        kind=f"Deployment in {environment}",
        subtitle=_summary(data),
        status=_state(deployment),
        urn=urn.deployment(environment, name),
        command=f"holdfast status {name}",
        crumbs=(("Deployments", urls.DEPLOYMENTS), (name, urls.model(name))),
    )
    rollout = data.rollout.rollout if data.rollout else None
    parts = {
        "name": name,
        "environment": environment,
        "deployment": deployment,
        "warm": [number for number in revision.warm if number not in deployment.quarantined],
        "rollout": rollout,
        "next": rollout_next(rollout, page.now_at) if rollout else "",
        "evidence": verdict_plot(rollout, data.rollout.verdicts) if rollout and data.rollout else None,
        "flash": flash_of(services, context, request, name),
        "traffic": _traffic(revision),
        "rate": _rate(data.days, page.now_at),
        "facts": _facts(deployment, page.now_at),
        "revisions": _revisions(data.revisions, request, page.now_at),
    }
    return View("deployment.html", page, data, parts)


def gather(services: PageServices, context: Context, environment: str, name: str) -> DeploymentData:
    """Reads everything the page shows."""
    with services.ledger.read() as reader:
        deployment = services.deployments.require(reader, context, environment, name)
        rollout: Rollout | None = services.rollouts.open_rollout(reader, context, environment, name)
    history = services.rollouts.get_rollout(context, GetRolloutRequest(rollout.number)) if rollout else None
    request = ListRevisionsRequest(name, environment, _REVISIONS_READ)
    return DeploymentData(
        deployment,
        services.deployments.list_revisions(context, request),
        history,
        services.monitoring.quality(context, ModelHealthRequest(name, environment)),
    )


def _state(deployment: Deployment) -> str:
    if deployment.frozen:
        return "frozen"
    roles = {variant.role for variant in deployment.revision.variants}
    return "shadow" if "shadow" in roles else "canary" if "candidate" in roles else "live"


def _words(variant: Variant) -> str:
    return (
        f"v{variant.version} in shadow"
        if variant.role == "shadow"
        else f"v{variant.version} {variant.share}%"
    )


def _summary(data: DeploymentData) -> str:
    variants = data.deployment.revision.variants
    answers = joined(f"version {item.version} {item.share}%" for item in variants if item.role != "shadow")
    shadows = [f"version {item.version}" for item in variants if item.role == "shadow"]
    unseen = f"; {joined(shadows)} answers a copy that nobody sees" if shadows else ""
    return f"Traffic now: {answers}{unseen}."


def _traffic(revision: Revision) -> Markup:
    bars = [
        charts.Bar(
            f"version {item.version}, {item.role}",
            float(item.share),
            "good" if item.role == "champion" else "info",
            urls.version(revision.name, item.version),
        )
        for item in revision.variants
    ]
    return charts.bar_chart(
        bars, title="Traffic now", unit="percent of requests; a shadow answers a copy", value_format=_percent
    )


def _percent(value: float) -> str:
    return f"{value:.0f}%"


def _rate(days: list[QualityPoint], now: Micros) -> Markup:
    counts = rows_by_day(days, now)
    at, rows = tuple(float(day) for day, _ in counts), tuple(float(count) for _, count in counts)
    return charts.line_chart(
        [charts.Series("predictions", at, rows)],
        title="Predictions a day",
        zero=True,
        height=150,
        empty="No whole day of predictions yet.",
    )


def _facts(deployment: Deployment, now: Micros) -> tuple[Fact, ...]:
    revision = deployment.revision
    name = deployment.name

    def versions(numbers: tuple[int, ...]) -> Markup | str:
        found = [link(f"version {number}", urls.version(name, number)) for number in numbers]
        return Markup(", ").join(found) if found else "none"

    return (
        Fact("Revision", f"{revision.number} ({relative_time(revision.created_at, now)})"),
        Fact("Changed by", who(revision.created_by, revision.actor_kind)),
        Fact("Because", sentence(revision.reason)),
        Fact("Warm", versions(revision.warm), "loaded; the first is where a rollback goes"),
        Fact("Quarantined", versions(deployment.quarantined), "rolled back; not promoted automatically"),
        Fact("Automatic promotion", badge("frozen") if deployment.frozen else "on"),
        Fact("Predict", Markup("<code>POST /v1/predict/{}</code>").format(name)),
    )


def _revisions(revisions: list[Revision], request: PageRequest, now: Micros) -> Markup:
    columns = (
        Column("number", "Revision", align="right"),
        Column("traffic", "Traffic", sortable=False),
        Column("reason", "Because", sortable=False),
        Column("by", "By"),
        Column("at", "When", align="right", formatter=lambda at: time_tag(at, now)),
        Column("id", "Id", sortable=False),
    )
    rows = [
        Row(
            {
                "number": item.number,
                "traffic": ", ".join(_words(variant) for variant in item.variants),
                "reason": prose(sentence(item.reason)),
                "by": who(item.created_by, item.actor_kind),
                "at": item.created_at,
                "id": Markup("<code>{}</code>").format(item.urn),
            },
            key=item.urn,
        )
        for item in revisions
    ]
    return table(
        columns, rows, request.query, path=request.path, name="revisions", caption="Revisions", page_rows=15,
        searchable=len(rows) > 15,
    )  # fmt: skip
