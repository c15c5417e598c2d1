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
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from holdfast.base.clock import DAY_US, HOUR_US, Micros, format_time, parse_time
from holdfast.cli.demo.worlds.batch import Batch

if TYPE_CHECKING:
    import polars as pl

START_AT: Micros = parse_time("2025-03-01T00:00:00Z")
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
    amount_median=50.0,
    amount_spread=0.95,
    category_shares=(0.30, 0.20, 0.12, 0.12, 0.09, 0.07, 0.06, 0.04),
    foreign_share=0.06,
    new_device_share=0.05,
    distance_km_median=6.0,
    card_age_days_mean=900.0,
    payments_24h_least=0,
    payments_24h_mean_above=1.6,
)
DEARER = replace(
    HONEST, amount_median=150.0, category_shares=(0.22, 0.17, 0.10, 0.14, 0.14, 0.13, 0.06, 0.04)
)
NIGHT_FRAUD = Behaviour(
    amount_median=260.0,
    amount_spread=0.55,
    category_shares=(0.04, 0.04, 0.04, 0.14, 0.28, 0.22, 0.12, 0.12),
    foreign_share=0.50,
    new_device_share=0.50,
    distance_km_median=40.0,
    card_age_days_mean=600.0,
    payments_24h_least=0,
    payments_24h_mean_above=4.0,
)
BURST_FRAUD = Behaviour(
    amount_median=14.0,
    amount_spread=0.55,
    category_shares=(0.06, 0.04, 0.06, 0.04, 0.06, 0.02, 0.36, 0.36),
    foreign_share=0.07,
    new_device_share=0.80,
    distance_km_median=8.0,
    card_age_days_mean=350.0,
    payments_24h_least=3,
    payments_24h_mean_above=3.5,
)

# After the change, this share of the fraud that shows is bursts; before it there are none.
BURST_SHARE = 0.60
# This share of all fraud looks exactly like an honest payment, so no model can be perfect.
DISGUISED_SHARE = 0.10

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
    history_days: int = 21
    live_days: int = 60
    change_day: int = 18
    rows_per_day: int = 2_000
    requests_per_day: int = 40

    @property
    def change_at(self) -> Micros:
        """The instant from which amounts are dearer and fraud follows its new pattern."""
        return START_AT + self.change_day * DAY_US

    def initial_history(self) -> pl.DataFrame:
        """All payments before `START_AT`: the columns of a row, with `paid_at` as Datetime (µs, UTC), and `fraud`."""
        import polars as pl

        batches = [self._batch(number) for number in range(self.history_days * self.requests_per_day)]
        rows = [
            {**row, "fraud": label}
            for batch in batches
            for row, label in zip(batch.rows, batch.labels, strict=True)
        ]
        times = pl.col("paid_at").str.to_datetime(time_unit="us", time_zone="UTC")
        return pl.DataFrame(rows).with_columns(times)

    def batches(self) -> Iterator[Batch]:
        """The live batches in the order of time: one request's payments, their true labels and the labels' delays."""
        first = self.history_days * self.requests_per_day
        for number in range(first, first + self.live_days * self.requests_per_day):
            yield self._batch(number)

    def _batch(self, number: int) -> Batch:
        generator = np.random.default_rng([self.seed, number])
        at = START_AT - self.history_days * DAY_US + number * (DAY_US // self.requests_per_day)
        hour = at % DAY_US // HOUR_US
        changed = at >= self.change_at
        mean_count = self.rows_per_day * 24 / self.requests_per_day * HOUR_SHARES[hour]
        count = max(1, int(generator.poisson(mean_count)))
        fraud = generator.random(count) < fraud_share(hour, changed)
        columns = _payments(generator, fraud, hour, changed)
        columns = {
            "payment": np.array([f"p{number:05d}-{place:03d}" for place in range(count)]),
            "paid_at": np.full(count, format_time(at)),
            **columns,
        }
        rows = [
            dict(zip(columns, values, strict=True))
            for values in zip(*(column.tolist() for column in columns.values()), strict=True)
        ]
        delays_us = generator.uniform(1.0, 4.0, count) * DAY_US
        return Batch(at, rows, fraud.astype(int).tolist(), delays_us.astype(int).tolist())


def fraud_share(hour: int, changed: bool) -> float:
    """Probability that a payment of this hour is fraud: gathered in the night before the change, even after it."""
    if changed:
        return 0.06
    return 0.18 if hour in NIGHT_HOURS else 0.03


def _payments(generator: np.random.Generator, fraud: NDArray[np.bool_], hour: int, changed: bool) -> Columns:
    """Columns of one batch: each payment takes its values from the group (honest, night, burst) it belongs to."""
    count = len(fraud)
    groups = [
        _draw(generator, group, count) for group in (DEARER if changed else HONEST, NIGHT_FRAUD, BURST_FRAUD)
    ]
    burst = generator.random(count) < (BURST_SHARE if changed else 0.0)
    disguised = generator.random(count) < DISGUISED_SHARE
    group = np.where(~fraud | disguised, 0, np.where(burst, 2, 1))
    return {
        "hour": np.full(count, hour),
        **{name: np.choose(group, [columns[name] for columns in groups]) for name in groups[0]},
    }


def _draw(generator: np.random.Generator, behaviour: Behaviour, count: int) -> Columns:
    """Values for `count` payments of one group; amounts and distances are log-normal, counts are Poisson."""
    foreign = generator.random(count) < behaviour.foreign_share
    journey_km = np.where(foreign, generator.uniform(300.0, 3_000.0, count), 0.0)
    near_km = behaviour.distance_km_median * generator.lognormal(0.0, 1.0, count)
    categories = generator.choice(len(MERCHANT_CATEGORIES), count, p=behaviour.category_shares)
    return {
        "amount": np.round(
            behaviour.amount_median * generator.lognormal(0.0, behaviour.amount_spread, count), 2
        ),
        "merchant_category": np.array(MERCHANT_CATEGORIES)[categories],
        "foreign": foreign,
        "device_new": generator.random(count) < behaviour.new_device_share,
        "distance_km": np.round(near_km + journey_km, 1),
        "card_age_days": generator.exponential(behaviour.card_age_days_mean, count).astype(int),
        "velocity_24h": behaviour.payments_24h_least
        + generator.poisson(behaviour.payments_24h_mean_above, count),
    }
