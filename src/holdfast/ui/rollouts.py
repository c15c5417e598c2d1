"""`/rollouts` and `/rollouts/{number}`: candidates on their way, and the evidence they were judged by."""

from __future__ import annotations

import msgspec
from markupsafe import Markup

from holdfast.base import lineage
from holdfast.base.context import Context
from holdfast.loop.records import Decision, ListDecisionsRequest
from holdfast.rollout.records import Rollout
from holdfast.rollout.service import GetRolloutRequest, ListRolloutsRequest, RolloutHistory
from holdfast.ui import urls
from holdfast.ui.cells import prose
from holdfast.ui.kit import Choice, Column, Row, badge, table
from holdfast.ui.kit.format import code_block, time_tag
from holdfast.ui.lineage import graph_of, picture
from holdfast.ui.outlook import rollout_next
from holdfast.ui.page import PageRequest, View, head
from holdfast.ui.services import PageServices
from holdfast.ui.timeline import events
from holdfast.ui.verdicts import STATE_BADGES, rollout_facts, verdict_plot, verdict_table
from holdfast.ui.words import sentence, stopped

_ROLLOUTS_READ = 500
_DECISIONS_READ = 300


class RolloutData(msgspec.Struct, frozen=True):
    """A rollout's page as data."""

    history: RolloutHistory
    decisions: list[Decision]
    lineage: lineage.LineageGraph


def show_list(services: PageServices, context: Context, request: PageRequest) -> View:
    """Every rollout, newest first."""
    rollouts = services.rollouts.list_rollouts(context, ListRolloutsRequest(limit=_ROLLOUTS_READ))
    page = head(services, request, "Rollouts", tab="Deployments", command="holdfast status")
    now = page.now_at
    columns = (
        Column("number", "Rollout", align="left"),
        Column("model", "Model"),
        Column("candidate", "Candidate", align="right"),
        Column("champion", "Against", align="right"),
        Column("state", "State", formatter=badge),
        Column("strategy", "Strategy"),
        Column("reason", "Last said", sortable=False),
        Column("started", "Started", align="right", formatter=lambda at: time_tag(at, now)),
    )
    rows = [_row(rollout) for rollout in rollouts]
    models = tuple(dict.fromkeys(rollout.model for rollout in rollouts))
    listed = table(
        columns, rows, request.query, path=request.path, name="rollouts", default_sort="-started",
        choices=(Choice("model", "Model", models),) if len(models) > 1 else (), caption="Rollouts",
        empty=Markup("<h3>No rollouts yet</h3><p>A rollout starts when a version with passed gates meets one that"
        " is live.</p>{}").format(code_block("$ holdfast train FILE\n$ holdfast deploy NAME")),
    )  # fmt: skip
    return View("list.html", page, rollouts, {"table": listed})


def _row(rollout: Rollout) -> Row:
    cells = {
        "number": rollout.number,
        "model": rollout.model,
        "candidate": f"v{rollout.candidate}",
        "champion": f"v{rollout.champion}" if rollout.champion else None,
        "state": STATE_BADGES[rollout.state],
        "strategy": rollout.policy.strategy.replace("_", " "),
        "reason": prose(sentence(rollout.verdict.reason)) if rollout.verdict else None,
        "started": rollout.started_at,
    }
    return Row(cells, urls.rollout(rollout.number))


def show(services: PageServices, context: Context, request: PageRequest) -> View:
    """The page of one rollout."""
    history = services.rollouts.get_rollout(context, GetRolloutRequest(request.number("number")))
    rollout = history.rollout
    decisions = services.loop.list_decisions(
        context, ListDecisionsRequest(rollout.model, limit=_DECISIONS_READ)
    )
    data = RolloutData(
        history,
        [item for item in decisions if _belongs(item, rollout)],
        graph_of(services, context, rollout.urn, depth=3),
    )
    page = head(
        services,
        request,
        f"{rollout.model}: version {rollout.candidate}",
        tab="Deployments",
        kind="Rollout",
        subtitle=_summary(rollout, services.clock.now()),
        status=STATE_BADGES[rollout.state],
        urn=rollout.urn,
        command=f"holdfast status {rollout.model}",
        crumbs=(("Overview", urls.OVERVIEW), (rollout.model, urls.model(rollout.model))),
    )
    parts = {
        "rollout": rollout,
        "open": rollout.ended_at is None,
        "next": rollout_next(rollout, page.now_at),
        "facts": rollout_facts(rollout, page.now_at),
        "plot": verdict_plot(rollout, history.verdicts),
        "verdicts": verdict_table(history.verdicts, page.now_at),
        "events": events(data.decisions),
        "lineage": picture(data.lineage),
        "deployment_url": urls.deployment(rollout.environment, rollout.model),
    }
    return View("rollout.html", page, data, parts)


def _belongs(decision: Decision, rollout: Rollout) -> bool:
    """Decisions about the candidate from the start of its rollout to its end."""
    ends = rollout.ended_at if rollout.ended_at is not None else decision.decided_at
    about = decision.subject == f"registry/{rollout.model}@{rollout.candidate}"
    return about and rollout.started_at <= decision.decided_at <= ends


def _summary(rollout: Rollout, now: int) -> str:
    if rollout.ended_at is None:
        return stopped(sentence(rollout_next(rollout, now)))
    reason = f": {rollout.verdict.reason}" if rollout.verdict else ""
    return stopped(f"{sentence(rollout.state)}{reason}")
