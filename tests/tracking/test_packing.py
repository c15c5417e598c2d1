"""Packed points come back bit by bit, and cost few bytes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.base.errors import HoldfastError, InvalidError
from holdfast.tracking.packing import (
    columns,
    pack_block,
    pack_tail,
    squeeze_tail,
    unpack_block,
    unpack_tail,
    unpack_tails,
)

INTEGERS = st.integers(-(2**63), 2**63 - 1)
POINTS = st.lists(
    st.tuples(st.sampled_from(["a", "loss/val"]), INTEGERS, INTEGERS, st.floats()), max_size=200
)


def bits(values):
    return np.asarray(values, dtype=np.float64).view(np.int64).tolist()


@given(POINTS)
def test_a_block_keeps_every_bit(points):
    steps, times, values = unpack_block(pack_block(*columns(points)))
    assert steps.tolist() == [point[1] for point in points]
    assert times.tolist() == [point[2] for point in points]
    assert bits(values) == bits([point[3] for point in points])


@given(POINTS)
def test_a_tail_keeps_every_point(points):
    for pack in (pack_tail, squeeze_tail):
        found = unpack_tail(pack(points))
        assert [point[:3] for point in found] == [point[:3] for point in points]
        assert bits([point[3] for point in found]) == bits([point[3] for point in points])


@given(st.lists(POINTS, max_size=5), st.sampled_from([None, "a", "loss/val", "missing"]))
def test_many_tails_are_read_as_one_in_the_order_of_arrival(calls, only):
    wanted = [point for points in calls for point in points if only in (None, point[0])]
    table = unpack_tails([pack_tail(points) for points in calls], only)
    assert [table.keys[place] for place in table.places] == [point[0] for point in wanted]
    assert table.steps.tolist() == [point[1] for point in wanted]
    assert table.times.tolist() == [point[2] for point in wanted]
    assert bits(table.values) == bits([point[3] for point in wanted])


def test_numbers_beyond_64_bits_are_refused():
    with pytest.raises(InvalidError, match="cannot be stored"):
        pack_tail([("loss", 2**63, 0, 0.5)] * 100)


def test_special_values_survive():
    values = [math.nan, math.inf, -math.inf, -0.0, 5e-324]
    points = [("a", step, step, value) for step, value in enumerate(values)]
    assert bits(unpack_block(pack_block(*columns(points)))[2]) == bits(values)


def test_noise_with_jittering_times_costs_at_most_eleven_bytes_a_point():
    rng = np.random.default_rng(5)
    count = 4096
    times = 1_700_000_000_000_000 + np.cumsum(rng.integers(900, 1100, count)) * 1000
    size = len(pack_block(np.arange(count), times, rng.random(count)))
    assert size / count <= 11
    smooth = np.round(np.exp(-np.arange(count) / 500), 4)
    assert len(pack_block(np.arange(count), times, smooth)) / count <= 6.5


def test_other_bytes_are_refused():
    with pytest.raises(HoldfastError, match="damaged"):
        unpack_block(b"\x99" + b"x" * 40)
