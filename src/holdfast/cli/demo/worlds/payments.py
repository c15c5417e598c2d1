"""A seeded simulation of card payments whose fraud changes while a model is live.

Until the day of the change a typical payment is 50, and fraud is large amounts at night, often abroad. From that day
on a typical payment is 150 (a new merchant segment, dearer goods), that old fraud fades, and most fraud is bursts of
small payments from devices never seen before. A model trained before the change therefore errs in both directions:
honest dear payments look suspicious to it and the new fraud looks harmless. Labels arrive one to four days late, as
chargebacks do, whether or not a payment was fraud.

Every batch draws from its own generator, seeded by (seed, batch number): the world is the same however it is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from holdfast.cli.demo.worlds.batch import Batch

if TYPE_CHECKING:
    import polars as pl

    from holdfast.base.clock import Micros

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US

START_AT: Micros = int(datetime(2025, 3, 1, tzinfo=UTC).timestamp()) * 1_000_000
"""The instant at which the first model goes live; the initial history ends here."""

MERCHANT_CATEGORIES = (
    "groceries",
    "restaurants",
    "fuel",
    "fashion",
    "electronics",
    "travel",
    "gaming",
    "gift_cards",
)

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Behaviour:
    """How one group of payments (honest, or one kind of fraud) looks; the parameters of its distributions."""

    amount_median: float
    amount_spread: float
    category_shares: tuple[float, ...]
    foreign_share: float
    new_device_share: float
    distance_km_median: float
    card_age_days_mean: float
    payments_24h_least: int
    payments_24h_mean_above: float


HONEST = Behaviour(
    50.0, 0.75, (0.30, 0.20, 0.12, 0.12, 0.09, 0.07, 0.06, 0.04), 0.06, 0.05, 6.0, 900.0, 0, 1.6
)
DEARER = Behaviour(
    150.0, 0.75, (0.22, 0.17, 0.10, 0.14, 0.14, 0.13, 0.06, 0.04), 0.06, 0.05, 6.0, 900.0, 0, 1.6
)
NIGHT_FRAUD = Behaviour(
    260.0, 0.55, (0.04, 0.04, 0.04, 0.14, 0.36, 0.30, 0.04, 0.04), 0.50, 0.20, 40.0, 600.0, 0, 2.2
)
BURST_FRAUD = Behaviour(
    14.0, 0.55, (0.06, 0.04, 0.06, 0.04, 0.06, 0.02, 0.36, 0.36), 0.07, 0.80, 8.0, 350.0, 3, 3.5
)

# Share of a day's payments that fall in each hour: quiet nights, a lunch and an evening peak.
HOUR_SHARES = np.array(
    [
        1.2,
        0.8,
        0.6,
        0.5,
        0.6,
        1.0,
        2.0,
        3.5,
        4.5,
        5.0,
        5.5,
        6.2,
        7.0,
        6.4,
        5.6,
        5.5,
        5.9,
        6.8,
        7.4,
        7.2,
        6.3,
        4.8,
        3.4,
        2.3,
    ]
)
HOUR_SHARES = HOUR_SHARES / HOUR_SHARES.sum()
NIGHT_HOURS = frozenset({22, 23, 0, 1, 2, 3, 4, 5})


@dataclass(frozen=True)
class PaymentsWorld:
    """Card payments from before the first model until the end of the story.

    Amounts are in units of the card's currency, distances in kilometres, ages in days. `batches()` gives what the
    live system sees, `initial_history()` what the first model is trained on; both come from one stream of batches.

    >>> world = PaymentsWorld(seed=7)
    >>> first = next(world.batches())
    >>> first.at == START_AT
    True
    """

    seed: int = 7
    history_days: int = 30
    live_days: int = 60
    change_day: int = 18
    rows_per_day: int = 2_000
    requests_per_day: int = 40

    @property
    def change_at(self) -> Micros:
        """The instant from which amounts are dearer and fraud follows its new pattern."""
        return START_AT + self.change_day * DAY_US

    def initial_history(self) -> pl.DataFrame:
        """All payments of the history with their labels: `paid_at` (Datetime, UTC), the columns of a row, `fraud`."""
        import polars as pl

        rows: list[dict[str, Any]] = []
        for number in range(self.history_days * self.requests_per_day):
            batch = self._batch(number)
            rows += [
                {"paid_at": batch.at, **row, "fraud": label}
                for row, label in zip(batch.rows, batch.labels, strict=True)
            ]
        frame = pl.DataFrame(rows)
        return frame.with_columns(pl.from_epoch("paid_at", time_unit="us").dt.replace_time_zone("UTC"))

    def batches(self) -> Iterator[Batch]:
        """The live batches in the order of time: one request's payments, their true labels and the labels' delays."""
        first = self.history_days * self.requests_per_day
        for number in range(first, first + self.live_days * self.requests_per_day):
            yield self._batch(number)

    def _batch(self, number: int) -> Batch:
        generator = np.random.default_rng([self.seed, number])
        gap_us = DAY_US // self.requests_per_day
        at = START_AT - self.history_days * DAY_US + number * gap_us
        hour = at % DAY_US // HOUR_US
        count = max(
            1, int(generator.poisson(self.rows_per_day * 24 / self.requests_per_day * HOUR_SHARES[hour]))
        )
        changed = at >= self.change_at
        fraud = generator.random(count) < fraud_share(int(hour), changed)
        columns = _payments(generator, fraud, int(hour), changed)
        names = [f"p{number:05d}-{place:03d}" for place in range(count)]
        values = [names, *(column.tolist() for column in columns.values())]
        rows = [dict(zip(("payment", *columns), row, strict=True)) for row in zip(*values, strict=True)]
        delays_us = (generator.uniform(1.0, 4.0, count) * DAY_US).astype(np.int64)
        return Batch(at, rows, fraud.astype(int).tolist(), delays_us.tolist())


def fraud_share(hour: int, changed: bool) -> float:
    """Probability that a payment of this hour is fraud: gathered in the night before the change, even after it."""
    if changed:
        return 0.06
    return 0.22 if hour in NIGHT_HOURS else 0.03


def _payments(generator: np.random.Generator, fraud: NDArray[np.bool_], hour: int, changed: bool) -> Columns:
    """Columns of one batch; a tenth of all fraud looks exactly like an honest payment, so no model is perfect."""
    count = len(fraud)
    honest = _draw(generator, DEARER if changed else HONEST, count)
    night = _draw(generator, NIGHT_FRAUD, count)
    burst = _draw(generator, BURST_FRAUD, count)
    burst_share = globals().get("BS", 0.85) if changed else 0.0
    is_burst = generator.random(count) < burst_share
    plain = generator.random(count) < 0.10
    kinds = np.where(~fraud | plain, 0, np.where(is_burst, 2, 1))
    columns: Columns = {name: np.choose(kinds, (honest[name], night[name], burst[name])) for name in honest}
    categories = np.array(MERCHANT_CATEGORIES)
    return {
        "amount": columns["amount"],
        "hour": np.full(count, hour),
        "merchant_category": categories[columns["merchant_category"]],
        **{
            name: columns[name]
            for name in ("foreign", "device_new", "distance_km", "card_age_days", "velocity_24h")
        },
    }


def _draw(generator: np.random.Generator, behaviour: Behaviour, count: int) -> Columns:
    foreign = generator.random(count) < behaviour.foreign_share
    distance_km = behaviour.distance_km_median * generator.lognormal(
        0.0, 1.0, count
    ) + foreign * generator.uniform(300.0, 3_000.0, count)
    return {
        "amount": np.round(
            behaviour.amount_median * generator.lognormal(0.0, behaviour.amount_spread, count), 2
        ),
        "merchant_category": generator.choice(len(MERCHANT_CATEGORIES), count, p=behaviour.category_shares),
        "foreign": foreign.astype(int),
        "device_new": (generator.random(count) < behaviour.new_device_share).astype(int),
        "distance_km": np.round(distance_km, 1),
        "card_age_days": generator.exponential(behaviour.card_age_days_mean, count).astype(int),
        "velocity_24h": behaviour.payments_24h_least
        + generator.poisson(behaviour.payments_24h_mean_above, count),
    }
