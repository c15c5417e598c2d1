"""Windows from the log: what they count, late and corrected labels, repetitions, restarts at any step."""

from __future__ import annotations

import numpy as np
import pytest

from holdfast.base.clock import DAY_US
from holdfast.base.errors import UnavailableError
from holdfast.base.ledger.protocol import Ledger
from holdfast.monitoring import follower as follower_module
from holdfast.monitoring.records import Window
from tests.monitoring.world import CONTEXT, KEY, START, World, make_rows


def windows(world: World) -> dict[tuple[int, int], Window]:
    """The stored windows by (version, day since START)."""
    with world.ledger.read() as reader:
        found = world.service.windows(reader, CONTEXT, KEY.environment, KEY.name, 0, 1 << 62)
    return {(window.version, (window.day_at - START) // DAY_US): window for window in found}


def observe(world: World) -> int:
    return world.service.observe(CONTEXT, KEY.environment, KEY.name)


def test_a_window_counts_what_a_version_answered_on_a_day(world: World) -> None:
    rng = np.random.default_rng(1)
    world.predict(0, make_rows(rng, 3), np.array([1.0, 2.0, 3.0]), flags=["temp:range"])
    world.predict(0, make_rows(rng, 1), np.array([0.0]), error="model raised")
    world.predict(0, make_rows(rng, 2), np.array([7.0, 8.0]), version=2)
    world.predict(0, make_rows(rng, 2), np.array([7.0, 8.0]), shadow=True)
    world.predict(1, make_rows(rng, 5), np.zeros(5))
    world.reject(1)
    observe(world)
    found = windows(world)
    assert set(found) == {(1, 0), (2, 0), (1, 1), (0, 1)}
    first = found[1, 0]
    assert (first.rows, first.requests, first.errors, first.latency_us_sum) == (4, 2, 1, 1400)
    assert first.flagged == {"temp:range": 1}
    assert found[0, 1].rejected == {"invalid_field": 1}
    assert first.inputs is not None and first.inputs.column("temp").count == 4
    assert first.inputs.column("rides_1h").count == 4
    assert sum(first.inputs.column("weather").counts.values()) == 4  # type: ignore[union-attr]
    assert first.prediction is not None and first.prediction.column("prediction").mean == 2.0  # type: ignore[union-attr]


def test_profiles_grow_by_increments(world: World) -> None:
    rng = np.random.default_rng(2)
    for _ in range(3):
        world.predict(0, make_rows(rng, 10), np.zeros(10))
        observe(world)
    inputs = windows(world)[1, 0].inputs
    assert inputs is not None and inputs.row_count == 30
    assert observe(world) == 0


def test_labels_update_the_day_of_their_prediction(world: World) -> None:
    rng = np.random.default_rng(3)
    ids = world.predict(0, make_rows(rng, 3), np.array([10.0, 20.0, 30.0]))
    world.predict(1, make_rows(rng, 1), np.array([1.0]))
    observe(world)
    world.label(5, ids[:2], np.array([11.0, 22.0]))
    assert observe(world) == 1
    losses = windows(world)[1, 0].losses
    assert (losses.count, losses.sum, losses.sum_of_squares) == (2, 3.0, 5.0)
    assert (losses.sum_of_products, losses.first, losses.last) == (2.0, 1.0, 2.0)


def test_a_corrected_label_replaces_and_a_repeated_one_changes_nothing(world: World) -> None:
    ids = world.predict(0, make_rows(np.random.default_rng(4), 1), np.array([10.0]))
    for day, value in ((1, 15.0), (1, 15.0), (3, 12.0), (2, 99.0)):
        world.label(day, ids, np.array([value]))
        observe(world)
    losses = windows(world)[1, 0].losses
    assert (losses.count, losses.sum) == (1, 2.0)


def test_a_label_may_come_before_its_prediction_is_read(world: World) -> None:
    world.label(1, ["p_late.0"], np.array([12.0]))
    observe(world)
    world.predict(0, make_rows(np.random.default_rng(5), 1), np.array([10.0]), request_id="late")
    observe(world)
    assert windows(world)[1, 0].losses.sum == 2.0


def test_a_repeated_request_counts_once(world: World) -> None:
    rows = make_rows(np.random.default_rng(6), 2)
    for _ in range(3):
        world.predict(0, rows, np.array([1.0, 2.0]), request_id="again")
        observe(world)
    window = windows(world)[1, 0]
    assert (window.rows, window.requests) == (2, 1)
    assert window.inputs is not None and window.inputs.row_count == 2


def test_an_answer_replaces_the_failure_of_the_same_request(world: World) -> None:
    rows = make_rows(np.random.default_rng(7), 2)
    world.predict(0, rows, np.zeros(2), request_id="again", error="model raised")
    observe(world)
    assert windows(world)[1, 0].errors == 1
    world.predict(0, rows, np.array([1.0, 2.0]), request_id="again")
    observe(world)
    window = windows(world)[1, 0]
    assert (window.rows, window.errors) == (2, 0)
    assert window.inputs is not None and window.inputs.row_count == 2
    assert window.prediction is not None and window.prediction.row_count == 2


def test_a_version_that_the_registry_does_not_know_is_counted_without_profiles(world: World) -> None:
    world.predict(0, make_rows(np.random.default_rng(8), 2), np.zeros(2), version=3)
    observe(world)
    assert windows(world)[3, 0].rows == 2
    assert windows(world)[3, 0].inputs is None


@pytest.mark.parametrize("seed", range(4))
def test_a_restart_at_any_step_gives_the_same_windows(world: World, seed: int) -> None:
    """Random traffic with late, corrected and repeated records; the service is killed at random steps."""
    rng = np.random.default_rng(seed)
    pending: list[tuple[int, list[str]]] = []
    for step in range(40):
        day = step // 4
        choice = rng.integers(0, 6)
        count = int(rng.integers(1, 6))
        if choice <= 2:
            ids = world.predict(
                day, make_rows(rng, count), rng.normal(size=count), version=int(rng.integers(1, 3))
            )
            pending.append((day, ids))
        elif choice == 3 and pending:
            _, ids = pending[rng.integers(0, len(pending))]
            world.label(day, ids, rng.normal(size=len(ids)))
        elif choice == 4:
            world.predict(day, make_rows(rng, 1), rng.normal(size=1), request_id=f"same{step % 3}")
        else:
            world.reject(day)
        match rng.integers(0, 4):
            case 0:
                observe(world)
            case 1:
                world.restarted()
            case 2:
                kill_before_the_write(world)
    observe(world)
    incremental = windows(world)
    with_fresh_eyes = from_scratch(world)
    assert incremental.keys() == with_fresh_eyes.keys()
    for key, window in incremental.items():
        assert_alike(window, with_fresh_eyes[key])


def kill_before_the_write(world: World) -> None:
    """The log is read, memory has moved, and the ledger never hears of it."""

    class Dead:
        def __init__(self, ledger: Ledger) -> None:
            self.read = ledger.read

        def write(self, change: object) -> None:
            raise UnavailableError("killed")

    alive = world.service._follower._ledger
    world.service._follower._ledger = Dead(alive)  # type: ignore[assignment]
    try:
        observe(world)
    except UnavailableError:
        pass
    finally:
        world.service._follower._ledger = alive


def from_scratch(world: World) -> dict[tuple[int, int], Window]:
    """What a service that starts now would make of the log."""
    stored: list[Window] = []
    fresh = follower_module.LogFollower(
        world.ledger, world.service._follower._log, world.service._follower._pins
    )
    original = follower_module._save
    follower_module._save = lambda tx, key, changed, cursor: stored.extend(changed)
    try:
        world.ledger.write(lambda tx: tx.execute("DELETE FROM monitoring_cursor"))
        fresh.observe(KEY)
    finally:
        follower_module._save = original
    return {(window.version, (window.day_at - START) // DAY_US): window for window in stored}


def assert_alike(one: Window, other: Window) -> None:
    """Equal in every count; sums of floats to rounding, since profiles were merged in another order."""
    for name in ("rows", "requests", "errors", "latency_us_sum", "flagged", "rejected", "metric", "losses"):
        assert getattr(one, name) == getattr(other, name), name
    assert one.prediction == other.prediction
    if one.inputs is None or other.inputs is None:
        assert one.inputs is other.inputs
        return
    for mine, theirs in zip(one.inputs.columns, other.inputs.columns, strict=True):
        assert (mine.counts, mine.null_count) == (theirs.counts, theirs.null_count)
    for left, right in zip(one.inputs.numeric, other.inputs.numeric, strict=True):
        assert left.mean == pytest.approx(right.mean)
        assert left.variance == pytest.approx(right.variance)
