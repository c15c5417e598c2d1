"""The story that the pages show: fraud that changes, a retraining, a canary, a rollback; bikes in shadow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from holdfast.base import jobs
from holdfast.base.clock import DAY_US, HOUR_US, parse_time
from holdfast.loop.actions import Why, evidence_of
from holdfast.loop.records import RetrainPolicy, RollbackRequest
from holdfast.monitoring.records import ListAlertsRequest, MonitorPolicy
from holdfast.registry.records import ModelVersion
from holdfast.rollout.records import RolloutPolicy, Verdict
from tests.ui.world import ENVIRONMENT, LOOP, MARA, Subject, World, build

START_AT = parse_time("2025-03-01T00:00:00Z")
LAST_DAY = 92


def _payments(generator: np.random.Generator, count: int, drift: float) -> dict[str, Any]:
    categories = ["groceries", "restaurants", "fuel", "fashion", "electronics", "travel"]
    shares = np.array([30, 22, 14, 14, 12, 8]) + drift * np.array([-14, -6, -4, 4, 14, 6])
    return {
        "amount": generator.lognormal(np.log(50) + drift * np.log(3), 0.6, count),
        "distance_km": generator.lognormal(2.0, 0.8, count),
        "card_age_days": generator.exponential(700, count),
        "payments_24h": generator.poisson(2 + drift, count).astype(float),
        "category": generator.choice(categories, count, p=shares / shares.sum()).tolist(),
        "new_device": generator.choice(
            ["no", "yes"], count, p=[0.95 - 0.1 * drift, 0.05 + 0.1 * drift]
        ).tolist(),
    }


def _rides(generator: np.random.Generator, count: int, drift: float) -> dict[str, Any]:
    return {
        "hr": generator.integers(0, 24, count).astype(float),
        "temp": np.clip(generator.normal(0.48 + 0.2 * drift, 0.16, count), 0, 1),
        "hum": np.clip(generator.normal(0.62, 0.18, count), 0, 1),
        "windspeed": generator.gamma(2, 0.09, count),
        "weathersit": generator.choice(["clear", "mist", "rain"], count, p=[0.64, 0.27, 0.09]).tolist(),
        "demand_mean": generator.normal(180, 60, count),
    }


FRAUD = Subject(
    "card-fraud", "binary", "payments", "is_fraud", "log_loss", 0.18, _payments,
    RolloutPolicy("canary", steps=(5, 25, 100), hold_us=24 * HOUR_US, min_rows=500, give_up_us=30 * DAY_US),
    RetrainPolicy(every_us=30 * DAY_US, on=("drift", "performance")), gate=0.4,
)  # fmt: skip
BIKES = Subject(
    "bike-demand", "regression", "rides", "cnt", "mae", 44.0, _rides,
    RolloutPolicy("shadow_then_switch", shadow_us=7 * DAY_US, min_rows=500, give_up_us=60 * DAY_US),
    RetrainPolicy(every_us=30 * DAY_US, on=("drift", "performance")), views=("demand_history",),
)  # fmt: skip
DELIVERY = Subject(
    "delivery-time", "regression", "deliveries", "minutes", "mae", 6.0, _rides,
    RolloutPolicy("direct"), RetrainPolicy(), monitor=MonitorPolicy(min_rows=100), gate=9.0,
)  # fmt: skip
CHURN = Subject(
    "churn",
    "binary",
    "customers",
    "left",
    "log_loss",
    0.3,
    _payments,
    RolloutPolicy("direct"),
    RetrainPolicy(),
)


def tell(folder: Path) -> World:
    """Builds the world and tells the whole story into it."""
    world = build(folder, START_AT)
    _fraud(world)
    _bikes(world)
    _newcomers(world)
    return world


def _fraud(world: World) -> None:
    """Day 40 the world changes; 46 retrained; 50 promoted; 80 another one, promoted 84 and rolled back 86."""
    world.declare(FRAUD)
    first = world.train(
        FRAUD, world.request_training(FRAUD, "a person", "ada asked for it"), "ada asked for it"
    )
    world.go_live(FRAUD, first)
    for day in range(47):
        _day(world, FRAUD, first, day, drift=0.0 if day < 40 else 1.0)
    alerts = world.services.monitoring.list_alerts(LOOP, ListAlertsRequest(model=FRAUD.name, state="open"))
    numbers = tuple(alert.number for alert in alerts)
    run = world.request_training(FRAUD, "on drift", alerts[-1].message, numbers)
    second = world.train(FRAUD, run, f"on drift: {alerts[-1].message}", drift=1.0, rows=1_900)
    rollout = world.start_rollout(FRAUD, second)
    for day in range(47, 51):
        world.serve(FRAUD, first, day, drift=1.0, rows=360)
        world.serve(FRAUD, second, day, drift=1.0, loss=0.0, rows=40)
        _canary_verdict(world, rollout, second, day)
    for day in range(51, 62):
        _day(world, FRAUD, second, day, drift=1.0, loss=0.05)
    world.fail(FRAUD, world.request_training(FRAUD, "every 30d", "30d have passed since the last training"),
               "train() raised ValueError: Input X contains NaN (payments.py, line 31)")  # fmt: skip
    for day in range(62, 72):
        _day(world, FRAUD, second, day, drift=1.0, loss=0.05)
    run = world.request_training(FRAUD, "a person", "mara asked for it")
    third = world.train(FRAUD, run, "mara asked for it", drift=1.0, passes=False)
    why = Why("gates", "version 3 stays out of production: log_loss is too high", {"metrics": third.metrics})
    world.ledger.write(
        lambda tx: world.actions.reject(tx, LOOP, ENVIRONMENT, FRAUD.name, 3, why, world.clock.now())
    )
    _rolled_back(world, second)


def _rolled_back(world: World, second: ModelVersion) -> None:
    for day in range(72, 80):
        _day(world, FRAUD, second, day, drift=1.0, loss=0.05)
    run = world.request_training(FRAUD, "every 30d", "30d have passed since the last training")
    fourth = world.train(
        FRAUD, run, "every 30d: 30d have passed since the last training", drift=1.0, rows=2_400
    )
    rollout = world.start_rollout(FRAUD, fourth)
    for day in range(80, 84):
        world.serve(FRAUD, second, day, drift=1.0, loss=0.05, rows=360)
        world.serve(FRAUD, fourth, day, drift=1.0, loss=0.05, rows=40)
        _canary_verdict(world, rollout, fourth, day)
    for day in range(84, 86):
        _day(world, FRAUD, fourth, day, drift=1.0, loss=0.6)
    world.services.loop.rollback(
        MARA, RollbackRequest(FRAUD.name, reason="declines honest customers at night")
    )
    for day in range(86, LAST_DAY + 1):
        _day(world, FRAUD, second, day, drift=1.0, loss=0.05, labelled=day < LAST_DAY - 3)


def _day(world: World, subject: Subject, version: ModelVersion, day: int, **how: Any) -> None:
    world.serve(subject, version, day, **how)
    world.advance(day + 1)
    if day > 2:
        world.check(subject, version)


def _canary_verdict(world: World, rollout: Any, version: ModelVersion, day: int) -> None:
    """Held for a day, next step, held, promoted: with an interval that tightens."""
    now = world.advance(day + 1)
    place = (day - 47) % 33
    width = (0.6, 0.35, 0.2, 0.12)[place]
    estimate = -0.31
    rows = (140, 410, 980, 1_720)[place]
    reason = (
        f"the log_loss of version {version.version} is 31.0% lower than that of version {rollout.champion}"
    )
    action = ("hold", "advance", "hold", "promote")[place]
    verdict = Verdict(action, reason, estimate, (estimate - width, estimate + width), rows, width)  # type: ignore[arg-type]
    why = Why("canary", reason, {"verdict": evidence_of(verdict), "evidence": {
        "champion": {"version": rollout.champion, "requests": 3_420, "errors": 0},
        "candidate": {"version": version.version, "requests": 180, "errors": 1}}})  # fmt: skip

    def change(tx: Any) -> None:
        if action == "hold":
            world.services.rollouts.record_verdict(tx, LOOP, rollout.number, verdict, now)
        elif action == "advance":
            world.actions.advance(tx, LOOP, rollout, verdict, why, now)
        else:
            world.actions.promote(tx, LOOP, rollout, verdict, why, now)

    world.ledger.write(change)


def _bikes(world: World) -> None:
    """Live since day 20, warmer since day 84, an open alert, and a second version in shadow."""
    world.declare(BIKES)
    because = "ada asked for it"
    first = world.train(BIKES, world.request_training(BIKES, "a person", because), because)
    world.go_live(BIKES, first)
    for day in range(60, LAST_DAY + 1):
        if day not in (70, 71, 72):
            world.serve(
                BIKES, first, day, drift=0.0 if day < 84 else 1.0, loss=0.0 if day < 84 else 0.3, rows=170
            )
    world.check(BIKES, first)
    alerts = world.services.monitoring.list_alerts(LOOP, ListAlertsRequest(model=BIKES.name, state="open"))
    run = world.request_training(
        BIKES, "on drift", alerts[0].message, tuple(alert.number for alert in alerts)
    )
    second = world.train(BIKES, run, f"on drift: {alerts[0].message}", drift=1.0)
    rollout = world.start_rollout(BIKES, second)
    for hours, estimate, width in ((6, -0.02, 0.3), (24, -0.09, 0.16), (54, -0.12, 0.1)):
        now = world.clock.now() + 1
        world.clock.advance(now + hours * HOUR_US // 3)
        verdict = Verdict("hold", "the shadow runs for 4d more", estimate, (estimate - width, estimate + width),
                          40 * hours, width)  # fmt: skip
        world.ledger.write(
            lambda tx, verdict=verdict: world.services.rollouts.record_verdict(
                tx, LOOP, rollout.number, verdict
            )
        )


def _newcomers(world: World) -> None:
    """A model with too few rows to judge, a declared one that was never trained, and a training under way."""
    world.declare(DELIVERY)
    because = "ada asked for it"
    first = world.train(DELIVERY, world.request_training(DELIVERY, "a person", because), because)
    world.go_live(DELIVERY, first)
    day = (world.clock.now() - START_AT) // DAY_US
    world.serve(DELIVERY, first, int(day), rows=31, labelled=False)
    world.clock.advance(world.clock.now() + 3 * HOUR_US)
    world.check(DELIVERY, first)
    world.declare(CHURN)
    spec = {"run_id": "f" * 32, "model": CHURN.name, "because": "ada asked for it"}
    world.ledger.write(lambda tx: jobs.submit(tx, LOOP, "train", CHURN.name, spec, world.clock.now()))
