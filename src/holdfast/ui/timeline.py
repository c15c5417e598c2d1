"""Decisions and alerts as the one timeline of all pages."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from holdfast.loop.records import Decision
from holdfast.monitoring.records import Alert
from holdfast.ui import urls
from holdfast.ui.evidence import facts
from holdfast.ui.kit import Event, Fact
from holdfast.ui.words import DECISION_STATUS, counted, decision_title, reason, who

_FINDINGS_SHOWN = 4


def events(decisions: Iterable[Decision], alerts: Iterable[Alert] = ()) -> tuple[Event, ...]:
    """Decisions and alerts together with their evidence, newest first."""
    return _merged(decisions, alerts, named=False)


def headlines(decisions: Iterable[Decision], alerts: Iterable[Alert]) -> tuple[Event, ...]:
    """The same in short, and saying of which model each is: the evidence is a click away."""
    return tuple(
        msgspec.structs.replace(event, evidence=(), rule="", reversal="")
        for event in _merged(decisions, alerts, named=True)
    )


def _merged(decisions: Iterable[Decision], alerts: Iterable[Alert], *, named: bool) -> tuple[Event, ...]:
    found = [(item.decided_at, 1, item.number, _of_decision(item, named)) for item in decisions]
    found += [(item.opened_at, 0, item.number, _of_alert(item, named)) for item in alerts]
    return tuple(event for *_, event in sorted(found, key=lambda item: item[:3], reverse=True))


def _of_decision(decision: Decision, named: bool) -> Event:
    return Event(
        at=decision.decided_at,
        title=_title(decision.model, decision_title(decision), named),
        who=who(decision.actor, decision.actor_kind),
        by=decision.actor_kind,
        status=DECISION_STATUS[decision.kind],
        summary=reason(decision),
        rule=decision.rule,
        evidence=facts(decision.evidence),
        reversal=decision.reversal,
        url=urls.decision(decision.number),
    )


def _of_alert(alert: Alert, named: bool) -> Event:
    told = [Fact(finding.subject, finding.state) for finding in alert.findings[:_FINDINGS_SHOWN]]
    more = len(alert.findings) - len(told)
    if more > 0:
        told.append(Fact("and", counted(more, "more finding")))
    return Event(
        at=alert.opened_at,
        title=_title(alert.model, f"Alert: {alert.kind}", named),
        who="monitoring",
        by="system",
        status=alert.state,
        summary=alert.told,
        evidence=tuple(told),
        url=urls.alert(alert.number),
    )


def _title(model: str, title: str, named: bool) -> str:
    return f"{model}: {title[:1].lower() + title[1:]}" if named else title
