"""The life of an alert, as a pure function: one open alert a model, environment and kind of check."""

from __future__ import annotations

import msgspec

from holdfast.monitoring.records import PROBLEMS, Alert, Check, Finding


class AlertStep(msgspec.Struct, frozen=True):
    """What a check does to alerts: one that ends, one that opens (number 0) and one that goes on."""

    resolved: Alert | None = None
    opened: Alert | None = None
    updated: Alert | None = None


def follow(alert: Alert | None, check: Check, previous: Check | None) -> AlertStep:
    """The step from the open alert of this kind (or None), a new check, and the check before it.

    An alert opens with the first check that finds a problem, is kept up to date while it lasts, and ends when the
    check was ok twice in a row or looks at another version. Where data is insufficient nothing changes.
    """
    resolved = None
    if alert is not None and alert.version != check.version:
        resolved = _resolve(alert, check, f"version {check.version} replaced version {alert.version}")
        alert = None
    if check.state in PROBLEMS:
        if alert is None:
            return AlertStep(resolved=resolved, opened=_open(check))
        return AlertStep(updated=_update(alert, check))
    twice = previous is not None and previous.version == check.version and previous.state == check.state
    if alert is not None and check.state == "ok" and twice:
        return AlertStep(resolved=_resolve(alert, check, f"ok twice in a row: {check.message}"))
    return AlertStep(resolved=resolved)


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
