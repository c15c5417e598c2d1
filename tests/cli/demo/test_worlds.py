"""The worlds of the demo: the same seed gives the same world, and the story they are meant to tell is in the data."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss, roc_auc_score

from holdfast.base.clock import DAY_US, HOUR_US
from holdfast.base.errors import InvalidError, NotFoundError
from holdfast.cli.demo.worlds import bikes, payments
from holdfast.cli.demo.worlds.batch import Batch
from holdfast.cli.demo.worlds.bikes import BikesWorld
from holdfast.cli.demo.worlds.payments import PaymentsWorld

SMALL = PaymentsWorld(seed=7, history_days=6, live_days=20, change_day=8)
DATA = Path(os.environ.get("HOLDFAST_DATA") or Path(__file__).parents[4] / "shared" / "data")
HOURS = DATA / "bike_sharing" / "hour.csv"


@pytest.fixture(scope="module")
def live() -> list[Batch]:
    return list(SMALL.batches())


def features(rows: list[dict[str, object]]) -> pl.DataFrame:
    categories = pl.Enum(payments.MERCHANT_CATEGORIES)
    frame = pl.DataFrame(rows).drop("payment", "paid_at")
    return frame.with_columns(pl.col("merchant_category").cast(categories).to_physical()).cast(pl.Float64)


def test_same_seed_gives_the_same_batches_and_another_seed_others() -> None:
    first = list(islice(SMALL.batches(), 50))
    assert first == list(islice(replace(SMALL).batches(), 50))
    assert first != list(islice(replace(SMALL, seed=8).batches(), 50))


def test_the_history_ends_where_the_live_payments_begin() -> None:
    history = SMALL.initial_history()
    assert history.equals(SMALL.initial_history())
    times = history["paid_at"]
    assert times.dtype == pl.Datetime("us", "UTC")
    assert times.is_sorted()
    assert times.dt.epoch("us").max() < payments.START_AT  # type: ignore[operator]
    assert history["payment"].is_unique().all()
    assert set(history.columns) == {*next(SMALL.batches()).rows[0], "fraud"}


def test_requests_keep_their_rhythm_and_carry_a_day_of_payments(live: list[Batch]) -> None:
    times = [batch.at for batch in live]
    assert times[0] == payments.START_AT
    assert set(np.diff(times)) == {DAY_US // SMALL.requests_per_day}
    assert len(live) == SMALL.live_days * SMALL.requests_per_day
    rows_per_day = sum(len(batch.rows) for batch in live) / SMALL.live_days
    assert rows_per_day == pytest.approx(SMALL.rows_per_day, rel=0.05)
    assert all(len(batch.rows) == len(batch.labels) == len(batch.label_delays_us) for batch in live)


def test_the_typical_amount_moves_from_50_to_150_on_the_day_of_the_change(live: list[Batch]) -> None:
    def honest_median(first_day: int, last_day: int) -> float:
        begin, end = (payments.START_AT + day * DAY_US for day in (first_day, last_day))
        chosen = [batch for batch in live if begin <= batch.at < end]
        pairs = [
            (row, label) for batch in chosen for row, label in zip(batch.rows, batch.labels, strict=True)
        ]
        return float(np.median([row["amount"] for row, label in pairs if label == 0]))

    # The median of one day's 1,900 honest amounts has a standard error of 2.8%: four of them for a single day.
    one_day = 0.11
    change = SMALL.change_day
    assert honest_median(0, change) == pytest.approx(50, rel=0.05)
    assert honest_median(change - 1, change) == pytest.approx(50, rel=one_day)
    assert honest_median(change, change + 1) == pytest.approx(150, rel=one_day)
    assert honest_median(change, SMALL.live_days) == pytest.approx(150, rel=0.05)


def test_fraud_stays_between_four_and_eight_percent(live: list[Batch]) -> None:
    for batches in (
        [batch for batch in live if batch.at < SMALL.change_at],
        [batch for batch in live if batch.at >= SMALL.change_at],
    ):
        labels = [label for batch in batches for label in batch.labels]
        assert 0.04 < float(np.mean(labels)) < 0.08


def test_labels_come_one_to_four_days_late_whatever_they_say(live: list[Batch]) -> None:
    delays_days = np.array([delay for batch in live for delay in batch.label_delays_us]) / DAY_US
    labels = np.array([label for batch in live for label in batch.labels])
    assert delays_days.min() >= 1.0
    assert delays_days.max() <= 4.0
    assert abs(delays_days[labels == 1].mean() - delays_days[labels == 0].mean()) < 0.1


def test_an_old_model_loses_what_a_retrained_one_recovers(live: list[Batch]) -> None:
    def fit(frame: pl.DataFrame, labels: np.ndarray) -> HistGradientBoostingClassifier:
        return HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=15, random_state=7).fit(
            frame, labels
        )

    def judge(model: HistGradientBoostingClassifier, batches: list[Batch]) -> tuple[float, float]:
        rows = [row for batch in batches for row in batch.rows]
        labels = [label for batch in batches for label in batch.labels]
        probability = model.predict_proba(features(rows))[:, 1]
        return float(roc_auc_score(labels, probability)), float(log_loss(labels, probability))

    history = SMALL.initial_history()
    old = fit(features(history.drop("fraud").to_dicts()), history["fraud"].to_numpy())
    before = [batch for batch in live if batch.at < SMALL.change_at]
    learnt = [batch for batch in live if SMALL.change_at <= batch.at < SMALL.change_at + 5 * DAY_US]
    after = [batch for batch in live if batch.at >= SMALL.change_at + 5 * DAY_US]
    new = fit(
        features([row for batch in before + learnt for row in batch.rows]),
        np.array([label for batch in before + learnt for label in batch.labels]),
    )
    auc_before, loss_before = judge(old, before)
    auc_stale, loss_stale = judge(old, after)
    auc_recovered, loss_recovered = judge(new, after)
    assert auc_before > 0.92
    assert auc_stale < 0.82
    assert auc_recovered > 0.90
    assert loss_stale > 2 * loss_before
    assert loss_recovered < 0.6 * loss_stale


@pytest.mark.data
@pytest.mark.skipif(
    not HOURS.is_file(), reason=f"{HOURS} is absent; set HOLDFAST_DATA to the folder of real data"
)
def test_bikes_split_at_july_2011_and_ask_without_the_answer() -> None:
    world = BikesWorld(HOURS)
    history, live = world.initial_history(), list(world.batches())
    assert history.height == 4_250
    assert len(live) == 13_129
    assert live[0].at == bikes.START_AT
    assert live[0].rows[0]["dteday"] == "7/1/2011"
    assert {len(batch.rows) for batch in live} == {1}
    assert {delay for batch in live for delay in batch.label_delays_us} == {HOUR_US}
    assert set(live[0].rows[0]) == set(history.columns) - set(bikes.NOT_ASKED)
    times = [batch.at for batch in live]
    assert times == sorted(set(times))
    assert sum(batch.labels[0] for batch in live) == pl.read_csv(HOURS)["cnt"].sum() - history["cnt"].sum()


def test_bikes_say_what_is_wrong_with_the_file(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"there is no file .*; point --data at hour\.csv"):
        BikesWorld(tmp_path / "hour.csv").initial_history()
    other = tmp_path / "other.csv"
    other.write_text("dteday,hr\n1/1/2011,0\n")
    with pytest.raises(InvalidError, match="has no column instant"):
        BikesWorld(other).initial_history()
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    with pytest.raises(InvalidError, match="cannot be read as hourly rides"):
        next(BikesWorld(empty).batches())
    dated = tmp_path / "dated.csv"
    dated.write_text("instant,dteday,hr,casual,registered,cnt\n1,2011-01-01,0,3,13,16\n")
    with pytest.raises(InvalidError, match="cannot be read as hourly rides"):
        next(BikesWorld(dated).batches())
