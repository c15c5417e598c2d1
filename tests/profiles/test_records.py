"""Profiles travel through msgpack and JSON unchanged, and their records cost nothing to import."""

import subprocess
import sys

import msgspec
import numpy as np
import pytest

from holdfast.profiles.build import build_profile
from holdfast.profiles.records import NumericColumn, Profile


def some_profile() -> Profile:
    frame = {
        "amount": np.array([0.1 + 0.2, 5.0, np.nan, np.inf, -3.0]),
        "nothing": np.array([np.nan] * 5),
        "shop": np.array(["a", "b", None, "a", "ü"], dtype=object),
    }
    return build_profile(frame, from_at=1, to_at=2)


@pytest.mark.parametrize("codec", [msgspec.json, msgspec.msgpack])
def test_round_trip_is_exact(codec) -> None:
    profile = some_profile()
    assert codec.decode(codec.encode(profile), type=Profile) == profile


def test_records_import_neither_numpy_nor_polars() -> None:
    code = "import sys, holdfast.profiles; print(sorted({'numpy', 'polars', 'scipy'} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_moments_follow_from_the_stored_sums() -> None:
    column = some_profile().column("amount")
    assert isinstance(column, NumericColumn)
    values = np.array([0.1 + 0.2, 5.0, -3.0])
    assert column.sum == pytest.approx(values.sum())
    assert column.variance == pytest.approx(values.var())
    assert (column.count, column.invalid_count, column.row_count) == (3, 2, 5)


def test_an_unknown_column_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="no column 'price'; it has: amount, nothing, shop"):
        some_profile().column("price")
