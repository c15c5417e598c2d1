"""The life of an alert."""

from __future__ import annotations

from typing import Any

import msgspec

from holdfast.monitoring.alerts import follow
from holdfast.monitoring.records import Alert, Check, Finding

BAD = Finding("temp", "drifting", "temp is drifting", effect=0.4)
FINE = Finding("wind", "ok", "wind shows no change")


def check(state: Any, number: int = 1, version: int = 1) -> Check:
    findings = (BAD, FINE) if state == "drifting" else (FINE,)
    return Check(
        number, "bikes", "production", version, "input drift", state, 0, 10, number, 500, "message", findings
    )


def opened(version: int = 1) -> Alert:
    alert = follow(None, check("drifting", version=version), None).opened
    assert alert is not None
    return msgspec.structs.replace(alert, number=7)


def test_a_problem_opens_an_alert_with_its_findings() -> None:
    alert = opened()
    assert (alert.kind, alert.state, alert.opened_at, alert.check) == ("input drift", "open", 1, 1)
    assert alert.findings == (BAD,)


def test_what_is_fine_or_cannot_be_said_opens_none() -> None:
    for state in ("ok", "insufficient data", "not supported"):
        step = follow(None, check(state), None)
        assert step.opened is step.updated is step.resolved is None


def test_a_lasting_problem_updates_its_alert() -> None:
    step = follow(opened(), check("drifting", 2), check("drifting", 1))
    assert step.opened is None and step.updated is not None
    assert (step.updated.number, step.updated.last_seen_at, step.updated.opened_at) == (7, 2, 1)


def test_it_takes_two_in_a_row_to_resolve() -> None:
    once = follow(opened(), check("ok", 2), check("drifting", 1))
    assert once.resolved is once.updated is None
    twice = follow(opened(), check("ok", 3), check("ok", 2)).resolved
    assert (
        twice is not None and twice.resolved_at == 3 and twice.resolution.startswith("cleared twice in a row")
    )


def test_insufficient_data_resolves_nothing() -> None:
    step = follow(opened(), check("insufficient data", 3), check("insufficient data", 2))
    assert step.resolved is None


def unsure(number: int, detectable: float, subject: str = "temp") -> Check:
    finding = Finding(subject, "insufficient data", "no clear change", minimum_detectable_effect=detectable)
    return msgspec.structs.replace(check("insufficient data", number), findings=(FINE, finding))


def test_a_change_that_would_have_been_seen_again_is_over() -> None:
    assert follow(opened(), unsure(3, 0.3), unsure(2, 0.3)).resolved is not None
    assert follow(opened(), unsure(3, 0.3, "all columns"), check("ok", 2)).resolved is not None
    assert follow(opened(), unsure(3, 0.5), unsure(2, 0.3)).resolved is None
    assert follow(opened(), unsure(3, 0.3), unsure(2, 0.5)).resolved is None
    assert follow(opened(), unsure(3, 0.3, "wind"), unsure(2, 0.3)).resolved is None


def test_a_new_version_ends_the_alert_of_the_old_and_may_open_its_own() -> None:
    fine = follow(opened(), check("insufficient data", 2, version=2), check("drifting", 1))
    assert fine.resolved is not None and fine.resolved.resolution == "version 2 replaced version 1"
    assert fine.opened is None
    bad = follow(opened(), check("drifting", 2, version=2), check("drifting", 1))
    assert bad.resolved is not None and bad.opened is not None and bad.opened.version == 2


def test_an_ok_of_another_version_is_not_a_first_ok() -> None:
    step = follow(opened(version=2), check("ok", 3, version=2), check("ok", 2, version=1))
    assert step.resolved is None
