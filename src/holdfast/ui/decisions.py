"""`/decisions` and `/decisions/{number}`: what was decided, by whom, by which rule, on which evidence; how to undo."""

from __future__ import annotations

import msgspec
from markupsafe import Markup

from holdfast.base.clock import Micros
from holdfast.base.context import Context
from holdfast.loop.records import Decision, GetDecisionRequest, ListDecisionsRequest
from holdfast.registry.records import GateResult
from holdfast.rollout.records import Verdict
from holdfast.ui import urls
from holdfast.ui.cells import link, prose
from holdfast.ui.evidence import facts as evidence_facts
from holdfast.ui.evidence import relative
from holdfast.ui.gates import gate_plots, gates_table
from holdfast.ui.kit import Choice, Column, Fact, Row, badge, charts, table
from holdfast.ui.kit.format import code_block, time_tag
from holdfast.ui.page import PageRequest, View, head
from holdfast.ui.services import PageServices
from holdfast.ui.words import DECISION_STATUS, decision_title, reason, stopped, subject_version, who

_DECISIONS_READ = 1000


def show_list(services: PageServices, context: Context, request: PageRequest) -> View:
    """Decisions, newest first."""
    decisions = services.loop.list_decisions(context, ListDecisionsRequest(limit=_DECISIONS_READ))
    page = head(services, request, "Decisions", tab="Decisions", command="holdfast status")
    now = page.now_at
    columns = (
        Column("title", "Decision", sortable=False),
        Column("model", "Model"),
        Column("status", "Outcome", sortable=False),
        Column("by", "By"),
        Column("rule", "Rule"),
        Column("reason", "Because", sortable=False),
        Column("at", "When", align="right", formatter=lambda at: time_tag(at, now)),
    )
    choices = (
        Choice("model", "Model", tuple(dict.fromkeys(item.model for item in decisions))),
        Choice("kind", "Kind", tuple(sorted({item.kind for item in decisions}))),
        Choice("by", "By", tuple(sorted({who(item.actor, item.actor_kind) for item in decisions}))),
    )
    listed = table(
        columns, [_row(item) for item in decisions], request.query, path=request.path, name="decisions",
        default_sort="-at", choices=choices if decisions else (), caption="Decisions",
        empty=Markup("<h3>Nothing was decided yet</h3><p>Promotions, rollbacks and retrainings stand here, by people"
        " and by the loop, each with its evidence and how to undo it.</p>{}").format(
            code_block("$ holdfast up FILE")),
    )  # fmt: skip
    return View("list.html", page, decisions, {"table": listed})


def _row(item: Decision) -> Row:
    cells = {
        "title": decision_title(item),
        "model": item.model,
        "kind": item.kind,  # Not shown: the filter by kind needs it.
        "status": badge(status) if (status := DECISION_STATUS[item.kind]) else None,
        "by": who(item.actor, item.actor_kind),
        "rule": item.rule,
        "reason": prose(reason(item)),
        "at": item.decided_at,
    }
    return Row(cells, urls.decision(item.number))


def show(services: PageServices, context: Context, request: PageRequest) -> View:
    """The page of one decision."""
    decision = services.loop.get_decision(context, GetDecisionRequest(request.number("number")))
    page = head(
        services,
        request,
        decision_title(decision),
        tab="Decisions",
        kind=f"Decision {decision.number}",
        subtitle=stopped(reason(decision)),
        status=DECISION_STATUS[decision.kind],
        urn=decision.urn,
        command=f"holdfast status {decision.model}",
        crumbs=(("Decisions", urls.DECISIONS), (decision.model, urls.model(decision.model))),
        live=False,
    )
    gates = _gates(decision)
    raw = msgspec.json.format(msgspec.json.encode(decision.evidence, order="sorted"), indent=2).decode()
    parts = {
        "decision": decision,
        "facts": _facts(decision, page.now_at),
        "evidence": evidence_facts(decision.evidence),
        "plots": [*_verdict_plot(decision), *gate_plots(gates)],
        "gates": gates_table(gates) if gates else None,
        "raw": code_block(raw) if decision.evidence else None,
        "undo": f"$ {decision.reversal}" if decision.reversal else "",
    }
    return View("decision.html", page, decision, parts)


def _facts(decision: Decision, now: Micros) -> tuple[Fact, ...]:
    url = urls.of_urn(decision.subject)
    subject: str | Markup = subject_version(decision)
    return (
        Fact("Decided", time_tag(decision.decided_at, now)),
        Fact("Applied", time_tag(decision.applied_at, now)),
        Fact("By", f"{who(decision.actor, decision.actor_kind)} ({_kind_of_actor(decision)})"),
        Fact("About", link(subject, url) if url else subject),
        Fact("Model", decision.model, url=urls.model(decision.model)),
        Fact("Environment", decision.environment, url=urls.deployment(decision.environment, decision.model)),
        Fact("Rule", decision.rule),
    )


def _kind_of_actor(decision: Decision) -> str:
    kinds = {"person": "a person", "loop": "automatic", "system": "repair"}
    return kinds[decision.actor_kind]


def _gates(decision: Decision) -> tuple[GateResult, ...]:
    """The gates in the evidence, where it holds some in the shape of today."""
    try:
        return tuple(msgspec.convert(decision.evidence.get("gates") or [], list[GateResult]))
    except msgspec.ValidationError:
        return ()


def _verdict_plot(decision: Decision) -> list[Markup]:
    try:
        verdict = msgspec.convert(decision.evidence["verdict"], Verdict)
    except (KeyError, msgspec.ValidationError):
        return []
    if verdict.estimate is None:
        return []
    lower, upper = verdict.interval or (None, None)
    one = charts.Interval(subject_version(decision), verdict.estimate, lower, upper)
    return [
        charts.interval_plot(
            [one],
            title="The comparison it rests on",
            unit="loss relative to the champion",
            directions=("better", "worse"),
            value_format=relative,
        )
    ]
