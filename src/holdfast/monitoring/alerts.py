"""The life of an alert, as a pure function: one open alert a model, environment and kind of check."""

from __future__ import annotations

import msgspec

from holdfast.monitoring.records import EVERYTHING, PROBLEMS, Alert, Check, Finding


class AlertStep(msgspec.Struct, frozen=True):
    """What a check does to alerts: one that ends, one that opens (number 0) and one that goes on."""

    resolved: Alert | None = None
    opened: Alert | None = None
    updated: Alert | None = None


def follow(alert: Alert | None, check: Check, previous: Check | None) -> AlertStep:
    """The step from the open alert of this kind (or None), a new check, and the check before it.

    An alert opens with the first check that finds a problem, is kept up to date while it lasts, and ends when two
    checks in a row clear it or when another version is checked. A check clears an alert when it is ok, and also
    when it could not say "ok" of everything but would have seen the change that raised the alert. Where the data
    could not have shown that, nothing changes.
    """
    resolved = None
    if alert is not None and alert.version != check.version:
        resolved = _resolve(alert, check, f"version {check.version} replaced version {alert.version}")
        alert = None
    if check.state in PROBLEMS:
        if alert is None:
            return AlertStep(resolved=resolved, opened=_open(check))
        return AlertStep(updated=_update(alert, check))
    comparable = previous is not None and previous.version == check.version
    if alert is not None and comparable and all(_clears(each, alert) for each in (check, previous) if each):
        return AlertStep(resolved=_resolve(alert, check, f"cleared twice in a row: {check.message}"))
    return AlertStep(resolved=resolved)


def _clears(check: Check, alert: Alert) -> bool:
    if check.state == "ok":
        return True
    if check.state in PROBLEMS:
        return False
    said = {finding.subject: finding for finding in check.findings}
    return all(_would_show(said.get(each.subject) or said.get(EVERYTHING), each) for each in alert.findings)


def _would_show(now: Finding | None, alarming: Finding) -> bool:
    """Whether the change that raised an alert would have been seen again if it were still there."""
    if now is None or now.minimum_detectable_effect is None or alarming.effect is None:
        return False
    return now.minimum_detectable_effect <= abs(alarming.effect)


def _open(check: Check) -> Alert:
    return Alert(
        number=0,
        model=check.model,
        environment=check.environment,
        version=check.version,
        kind=check.kind,
        state="open",
        opened_at=check.checked_at,
        message=check.message,
        check=check.number,
        last_seen_at=check.checked_at,
        findings=_telling(check),
    )


def _update(alert: Alert, check: Check) -> Alert:
    return msgspec.structs.replace(
        alert,
        message=check.message,
        check=check.number,
        last_seen_at=check.checked_at,
        findings=_telling(check),
    )


def _resolve(alert: Alert, check: Check, resolution: str) -> Alert:
    return msgspec.structs.replace(
        alert, state="resolved", resolved_at=check.checked_at, resolution=resolution
    )


def _telling(check: Check) -> tuple[Finding, ...]:
    return tuple(finding for finding in check.findings if finding.state in PROBLEMS)
