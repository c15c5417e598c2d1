"""The log scored again by the first version: the sums by hand, late labels, repetitions, changed categories."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from holdfast.base.clock import DAY_US, HOUR_US
from holdfast.base.home import Home
from holdfast.loop.errors import NotReplayableError
from holdfast.loop.replay import Replay
from holdfast.registry.records import ModelVersion, Signature, SignatureColumn
from holdfast.serving.log import DeploymentKey, PredictionLog
from holdfast.serving.records import LabelFrame, PredictionFrame, SchemaFrame
from holdfast.serving.spool import SpoolWriter, deployment_folder

KEY = DeploymentKey("default", "production", "bikes")
START = 20_000 * DAY_US
FIRST = Signature(
    (SignatureColumn("temp", "float"), SignatureColumn("sky", "string", categories=("clear", "rain"))),
    "regression",
    "cnt",
)
# The second version saw another category, which moved the places of the old ones, and a further column.
SECOND = Signature(
    (
        SignatureColumn("sky", "string", categories=("fog", "clear", "rain")),
        SignatureColumn("wind", "float"),
        SignatureColumn("temp", "float"),
    ),
    "regression",
    "cnt",
)


class TempPlusSky:
    """A first version that one can compute by hand: temperature, and 10 more when it rains."""

    def predict(self, matrix):
        return matrix[:, 0] + np.where(np.isnan(matrix[:, 1]), 0.0, 10.0 * matrix[:, 1])


class Log:
    """A prediction log on disk that tests write to as serving does."""

    def __init__(self, folder: Path) -> None:
        home = Home(folder)
        home.prepare()
        self.read = PredictionLog(home)
        self._writer = SpoolWriter(deployment_folder(home.spool, KEY), "serving", START)
        for version, signature in ((1, FIRST), (2, SECOND)):
            names = [column.name for column in signature.columns]
            self._writer.declare(SchemaFrame(version, names, names))

    def served(self, name: str, hours: float, features: list[float], output: float, **changes) -> None:
        at = START + int(hours * HOUR_US)
        version = changes.pop("version", 2)
        frame = PredictionFrame(
            name, at, at, version, version, "champion", 1.0,
            [[value] for value in features], [features], [output], 100, **changes,
        )  # fmt: skip
        self._writer.append_prediction(frame)

    def label(self, name: str, value: float, hours: float) -> None:
        at = START + int(hours * HOUR_US)
        self._writer.append([LabelFrame(at, at, [f"p_{name}.0"], [value], [at])])


def replay() -> Replay:
    version = ModelVersion(
        "bikes",
        1,
        "0" * 32,
        "live",
        "regression",
        FIRST,
        (),
        {},
        "data/rides@1",
        "",
        "",
        "",
        "{}",
        START,
        "ada",
    )
    return Replay(version, TempPlusSky(), "production", lambda number: FIRST if number == 1 else SECOND)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


def compared(log: Log, from_at: int | None = None):
    scored = replay()
    scored.follow(log.read, KEY)
    return scored.compare(from_at)


def test_both_losses_over_the_same_labelled_rows(log: Log) -> None:
    log.served("a", 1, [20.0, 0.0], 25.0, version=1)  # by the first version itself, which says 20
    log.served("b", 2, [2.0, 5.0, 30.0], 31.0)  # rain is at place 2 of the second's categories: it says 40
    log.served("c", 25, [0.0, 5.0, 30.0], 33.0)  # fog is nothing that the first version knows: it says 30
    log.served("d", 26, [1.0, 5.0, 30.0], 33.0)  # no label yet
    for name, value in (("a", 24.0), ("b", 34.0), ("c", 34.0)):
        log.label(name, value, 30)
    found = compared(log)
    assert [(day.day_at, day.rows, day.served, day.never) for day in found.days] == [
        (START, 2, (1 + 3) / 2, (4 + 6) / 2),
        (START + DAY_US, 1, 1.0, 4.0),
    ]
    assert (found.metric, found.rows) == ("mae", 3)
    assert (found.loop, found.never) == (pytest.approx(5 / 3), pytest.approx(14 / 3))
    assert found.ratio == pytest.approx(5 / 14)
    assert (found.predictions_logged, found.labels_joined) == (4, 3)
    assert found.ratio_ci95 is None  # two days have no interval


def test_a_later_start_counts_later_days_but_the_whole_log(log: Log) -> None:
    for hours, output in ((1, 25.0), (25, 30.0)):
        log.served(f"r{hours}", hours, [1.0, 5.0, 20.0], output)
        log.label(f"r{hours}", 20.5, hours + 1)
    found = compared(log, from_at=START + DAY_US)
    assert [day.day_at for day in found.days] == [START + DAY_US]
    assert (found.rows, found.predictions_logged, found.labels_joined) == (1, 2, 2)
    assert found.ratio == pytest.approx(9.5 / 0.5)


def test_shadows_failures_and_repetitions_do_not_count(log: Log) -> None:
    log.served("a", 1, [1.0, 5.0, 20.0], 21.0)
    log.served("a", 1, [1.0, 5.0, 20.0], 99.0)  # the same request again: the first answer counts
    log.served("b", 2, [1.0, 5.0, 20.0], 21.0, shadow=True)
    log.served("c", 3, [1.0, 5.0, 20.0], None, error="the model failed")  # type: ignore[arg-type]
    for name in "abc":
        log.label(name, 22.0, 4)
    found = compared(log)
    assert (found.rows, found.predictions_logged, found.labels_joined) == (1, 1, 1)
    assert (found.loop, found.never) == (1.0, 2.0)


def test_following_in_steps_gives_what_reading_at_once_gives(log: Log) -> None:
    steps = replay()
    rng = np.random.default_rng(7)
    for day in range(40):
        for hour in range(3):
            name = f"r{day}-{hour}"
            temp = float(rng.normal(20, 5))
            log.served(name, day * 24 + hour, [float(rng.integers(0, 3)), 1.0, temp], temp + 1)
            if day >= 2:
                log.label(f"r{day - 2}-{hour}", float(rng.normal(20, 5)), day * 24 + hour)
        if day == 20:
            log.label("r3-1", 7.0, 1_000)  # a label that is corrected
        steps.follow(log.read, KEY)
        steps.compare(None)
    found = steps.compare(None)
    assert found == compared(log)
    assert found.rows == 38 * 3 and found.block_days == 7
    low, high = found.ratio_ci95 or (0.0, 0.0)
    assert low < (found.ratio or 0.0) < high


def test_a_column_that_was_never_served_is_said(log: Log) -> None:
    lacking = Signature((SignatureColumn("temp", "float"),), "regression", "cnt")
    log.served("a", 1, [1.0, 5.0, 20.0], 21.0)
    version = ModelVersion(
        "bikes",
        1,
        "0" * 32,
        "live",
        "regression",
        FIRST,
        (),
        {},
        "data/rides@1",
        "",
        "",
        "",
        "{}",
        START,
        "ada",
    )
    scored = Replay(version, TempPlusSky(), "production", lambda number: lacking)
    with pytest.raises(NotReplayableError, match="needs sky, which version 2 was not served with"):
        scored.follow(log.read, KEY)
