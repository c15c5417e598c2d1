"""The service on a real ledger and log: checks, alerts, events, quality, speed."""

from __future__ import annotations

import time

import msgspec
import numpy as np
import pytest

from holdfast.base.clock import DAY_US
from holdfast.base.context import Actor, Context
from holdfast.monitoring.errors import NoAlertError
from holdfast.monitoring.records import (
    Check,
    GetAlertRequest,
    ListAlertsRequest,
    ListChecksRequest,
    ModelHealthRequest,
    MonitorPolicy,
)
from holdfast.registry.records import Transition
from tests.monitoring.world import CONTEXT, KEY, START, World, make_rows

POLICY = MonitorPolicy()
HEALTH = ModelHealthRequest("bikes")


def watch(world: World, day: int) -> list[Check]:
    return world.service.watch(CONTEXT, KEY.environment, world.version, POLICY, START + day * DAY_US)


def events(world: World) -> list[str]:
    with world.ledger.read() as reader:
        rows = reader.query("SELECT kind FROM event WHERE kind LIKE 'monitoring.%' ORDER BY number")
    return [row["kind"] for row in rows]


def test_thirty_quiet_days_raise_no_alert(world: World) -> None:
    rng = np.random.default_rng(1)
    for day in range(30):
        world.serve(rng, day)
        watch(world, day + 1)
    assert world.service.list_alerts(CONTEXT, ListAlertsRequest()) == []
    checks = world.service.list_checks(CONTEXT, ListChecksRequest(model="bikes", limit=1000))
    assert len(checks) == 30 * 4
    assert {check.state for check in checks[:40]} == {"ok"}
    assert events(world) == []


def test_labels_of_a_version_without_a_baseline_count(world: World) -> None:
    outside = world.register(2, profile="")
    world.serve(np.random.default_rng(3), 0, version=2, rows=300, label_delay_days=0)
    assert world.service.watch(CONTEXT, KEY.environment, outside, POLICY, START + DAY_US) == []
    (day,) = world.service.quality(CONTEXT, HEALTH)
    assert (day.rows, day.labelled, day.version) == (300, 300, 2)
    found = world.service.recent_quality(CONTEXT, KEY.environment, "bikes", 2, START)
    assert found.value == pytest.approx(2.0, abs=0.4)
    assert found.interval is not None and found.interval[0] < found.value < found.interval[1]
    assert world.service.recent_quality(CONTEXT, KEY.environment, "bikes", 1, START).labelled == 0


def test_a_shift_opens_one_alert_that_ends_when_it_is_over(world: World) -> None:
    rng = np.random.default_rng(2)
    for day in range(40):
        world.serve(rng, day, shift=1.5 if 10 <= day < 20 else 0.0)
        watch(world, day + 1)
    drift = [
        alert
        for alert in world.service.list_alerts(CONTEXT, ListAlertsRequest())
        if alert.kind == "input drift"
    ]
    (alert,) = drift
    opened, resolved = (alert.opened_at - START) / DAY_US, ((alert.resolved_at or 0) - START) / DAY_US
    assert 10 < opened <= 17
    assert 20 < resolved <= 30
    assert alert.findings[0].subject == "temp"
    assert alert.resolution.startswith("cleared twice in a row")
    assert world.service.get_alert(CONTEXT, GetAlertRequest(alert.number)) == alert
    assert events(world) == ["monitoring.alert_opened", "monitoring.alert_resolved"]


def test_a_version_that_came_back_is_not_judged_by_what_it_did_months_ago(world: World) -> None:
    rng = np.random.default_rng(5)
    for day in range(10):
        world.serve(rng, day, loss=4.0)
    back = Transition("live", START + 60 * DAY_US, "ada", "person", "rolled back to")
    away = Transition("retired", START + 10 * DAY_US, "loop", "loop")
    world.version = msgspec.structs.replace(
        world.version, transitions=(*world.version.transitions, away, back)
    )
    states = {check.kind: check.state for check in watch(world, 61)}
    assert states["performance"] == "insufficient data"


def test_what_was_rejected_is_a_share_of_all_requests_also_for_a_version_that_answered_none(
    world: World,
) -> None:
    rng = np.random.default_rng(6)
    for day in range(10):
        world.serve(rng, day)
        world.reject(day)
    world.version = world.register(2)
    quality = next(check for check in watch(world, 10) if check.kind == "data quality")
    told = " ".join(finding.message for finding in quality.findings)
    assert "of 14 requests" in told and "100.0%" not in told


def test_a_new_version_ends_the_alert(world: World) -> None:
    rng = np.random.default_rng(3)
    for day in range(10):
        world.serve(rng, day, loss=4.0)
        watch(world, day + 1)
    with world.ledger.read() as reader:
        (alert,) = world.service.open_alerts(reader, CONTEXT, KEY.environment, "bikes")
    assert (alert.kind, alert.version) == ("performance", 1)
    world.version = world.register(2)
    watch(world, 11)
    resolved = world.service.get_alert(CONTEXT, GetAlertRequest(alert.number))
    assert (resolved.state, resolved.resolution) == ("resolved", "version 2 replaced version 1")


def test_checks_wait_for_their_turn_and_repeat_nothing(world: World) -> None:
    rng = np.random.default_rng(4)
    world.serve(rng, 0, shift=1.5)
    first = watch(world, 1)
    assert len(first) == 4
    assert world.service.watch(CONTEXT, KEY.environment, world.version, POLICY, START + DAY_US * 3 // 2) == []
    again = world.service.check(CONTEXT, KEY.environment, "bikes", 1, POLICY, world.baseline, START + DAY_US)
    assert again == first
    assert events(world) == ["monitoring.alert_opened"]
    assert len(watch(world, 2)) == 4


def test_a_restarted_service_goes_on_as_if_nothing_had_happened(world: World) -> None:
    rng = np.random.default_rng(5)
    for day in range(12):
        world.serve(rng, day, shift=1.5 if day >= 5 else 0.0)
        if day % 3 == 0:
            world.restarted()
        watch(world, day + 1)
    restarted = [
        (check.kind, check.state, check.rows, check.message)
        for check in world.service.list_checks(CONTEXT, ListChecksRequest(limit=1000))
    ]
    world.ledger.write(
        lambda tx: [tx.execute(f"DELETE FROM monitoring_{table}") for table in ("check", "alert")]
    )
    world.restarted()
    for day in range(12):
        world.service.check(
            CONTEXT, KEY.environment, "bikes", 1, POLICY, world.baseline, START + (day + 1) * DAY_US
        )
    # The last day's checks see the same windows, however often the service was killed in between.
    latest = world.service.list_checks(CONTEXT, ListChecksRequest(limit=4))
    assert [(each.kind, each.state, each.rows, each.message) for each in latest] == restarted[:4]


def test_quality_by_day(world: World) -> None:
    rng = np.random.default_rng(6)
    world.register(2)
    world.serve(rng, 0, loss=2.0)
    world.serve(rng, 1, loss=4.0)
    world.serve(rng, 1, loss=4.0, rows=10, version=2)
    world.serve(rng, 2, labelled=False)
    world.service.observe(CONTEXT, KEY.environment, "bikes")
    points = world.service.quality(CONTEXT, HEALTH)
    assert [(point.day_at - START) // DAY_US for point in points] == [0, 1, 2]
    assert [(point.rows, point.labelled, point.version) for point in points] == [
        (200, 200, 1),
        (210, 210, 1),
        (200, 0, 1),
    ]
    for point, truth in zip(points, (2.0, 4.0), strict=False):
        assert point.interval is not None and point.value is not None
        assert point.interval[0] < point.value < point.interval[1]
        assert point.value == pytest.approx(truth, rel=0.25)
    assert points[2].value is None and points[2].interval is None


def test_drift_shows_the_latest_findings(world: World) -> None:
    assert world.service.drift(CONTEXT, HEALTH).checks == ()
    rng = np.random.default_rng(7)
    for day in range(3):
        world.serve(rng, day, shift=1.5)
        watch(world, day + 1)
    report = world.service.drift(CONTEXT, HEALTH)
    assert [check.kind for check in report.checks] == ["input drift", "prediction drift"]
    assert report.checks[0].checked_at == START + 3 * DAY_US
    assert report.checks[0].state == "drifting"


def test_projects_and_environments_are_apart(world: World) -> None:
    world.serve(np.random.default_rng(8), 0, shift=1.5)
    watch(world, 1)
    (alert,) = world.service.list_alerts(CONTEXT, ListAlertsRequest(state="open"))
    stranger = Context(Actor("bob"), "other")
    assert world.service.list_alerts(stranger, ListAlertsRequest()) == []
    assert world.service.list_checks(stranger, ListChecksRequest()) == []
    assert world.service.quality(stranger, HEALTH) == []
    assert world.service.quality(CONTEXT, ModelHealthRequest("bikes", "staging")) == []
    with pytest.raises(NoAlertError):
        world.service.get_alert(stranger, GetAlertRequest(alert.number))


def test_one_more_day_of_many_is_cheap(world: World) -> None:
    """60 days of 2,000 rows are followed; the tick of one more day must stay well below 100 ms."""
    rng = np.random.default_rng(9)
    for day in range(60):
        world.serve(rng, day, rows=2000)
    watch(world, 60)
    best = float("inf")
    for day in range(60, 63):
        world.predict(day, make_rows(rng, 200), rng.normal(50, 10, 200))
        started = time.perf_counter()
        assert watch(world, day + 1)
        best = min(best, time.perf_counter() - started)
    assert best < 0.1
