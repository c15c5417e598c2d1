"""`hf.training_frame`: rows given, or a grid of every entity at every step."""

from __future__ import annotations

from datetime import datetime

import polars as pl
import pytest

import holdfast as hf
from holdfast.base.errors import DeclarationError, HoldfastError


@pytest.fixture
def views(tmp_path):
    rows = pl.DataFrame(
        {
            "at": ["2026-01-01T00:00:00Z", "2026-01-01T03:00:00Z", "2026-01-01T02:00:00Z"],
            "shop": ["a", "a", "b"],
        }
    )
    rows.with_columns(paid=pl.Series([1.0, 2.0, 4.0])).write_csv(tmp_path / "paid.csv")
    table = hf.Table("payments", source=tmp_path / "paid.csv", time="at", key="shop")

    @hf.features(ttl="2h", table=table)
    def latest(payments):
        return payments.select("time", "shop", "paid")

    @hf.features(table=table, aggregate=[hf.aggregate.sum("paid", over="4h")])
    def total(payments):
        return payments.select("time", "shop", "paid")

    @hf.request_features()
    def share(paid, paid_sum_4h):
        return {"share": paid / paid_sum_4h if paid else None}

    return [latest, total, share]


def test_a_grid_has_every_entity_from_when_it_was_seen(views):
    frame = hf.training_frame(views, every="1h")
    expected = [
        (0, "a", 1.0, 1.0, 1.0),
        (1, "a", 1.0, 1.0, 1.0),
        (2, "a", 1.0, 1.0, 1.0),
        (2, "b", 4.0, 4.0, 1.0),
        (3, "a", 2.0, 3.0, 2 / 3),
        (3, "b", 4.0, 4.0, 1.0),
    ]
    assert [(row[0].hour, *row[1:]) for row in frame.rows()] == expected
    later = hf.training_frame(views, every="2h", start="2026-01-01T05:00:00Z", end="2026-01-01T07:00:00Z")
    assert later.rows()[0] == (datetime(2026, 1, 1, 5), "a", 2.0, 2.0, 1.0)  # noqa: DTZ001
    assert later.height == 4


def test_rows_keep_their_order_and_columns(views):
    times = [datetime(2026, 1, 1, hour) for hour in (3, 1, 3)]  # noqa: DTZ001
    rows = pl.DataFrame({"time": times, "shop": ["b", "a", "b"], "label": [1, 0, 0]})
    frame = hf.training_frame(views[:2], rows)
    assert frame.select(rows.columns).equals(rows)
    assert frame["paid"].to_list() == [4.0, 1.0, 4.0]


def test_what_cannot_be_joined_says_why(views):
    with pytest.raises(DeclarationError, match="neither rows nor a step is given"):
        hf.training_frame(views)
    with pytest.raises(HoldfastError, match="no column 'shop'"):
        hf.training_frame(views, pl.DataFrame({"time": [datetime(2026, 1, 1)]}))  # noqa: DTZ001

    @hf.features(ttl="1h")
    def loose(payments):
        return payments

    with pytest.raises(DeclarationError, match="loose was declared without its table"):
        hf.training_frame([loose], every="1h")
