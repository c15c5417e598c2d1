"""Classifying changes of contracts: by example, and against what the serving door really accepts."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.base.errors import InvalidError
from holdfast.data.compatibility import compare_contracts
from holdfast.data.decoder import compile_decoder
from holdfast.data.records import Contract, FieldContract

TEMP = FieldContract("temp", "float", minimum=0.0, maximum=1.0)
CITY = FieldContract("city", "string", categories=("a", "b"))
OLD = Contract("rides", 1, (TEMP, CITY, FieldContract("cnt", "float", "label")))


def replaced(field: FieldContract, **changes: Any) -> Contract:
    new = msgspec.structs.replace(field, **changes)
    fields = tuple(new if known.name == field.name else known for known in OLD.fields)
    return Contract("rides", 2, fields)


@pytest.mark.parametrize(
    ("new", "kind", "message"),
    [
        (OLD, "compatible", ""),
        (replaced(TEMP, maximum=2.0), "compatible", "temp is float in 0..2 and was float in 0..1"),
        (replaced(TEMP, hard=True), "breaking", "temp is float in 0..1 (hard) and was float in 0..1"),
        (replaced(TEMP, required=False), "widening", "temp is optional and was required"),
        (
            replaced(TEMP, type="string", minimum=None, maximum=None),
            "breaking",
            "temp is string and was float",
        ),
        (
            replaced(CITY, hard=True),
            "breaking",
            "city is string, one of 'a', 'b' (hard) and was string, one of 'a', 'b'",
        ),
        (replaced(CITY, role="key"), "breaking", "city is the key and was the feature"),
        (Contract("rides", 2, OLD.fields[1:]), "breaking", "temp is gone: rows that carry it are rejected"),
        (
            Contract("rides", 2, (*OLD.fields, FieldContract("wind", "float"))),
            "breaking",
            "wind is new and required (float)",
        ),
        (
            Contract("rides", 2, (*OLD.fields, FieldContract("wind", "float", required=False))),
            "widening",
            "wind is new and optional (float or null)",
        ),
        (Contract("rides", 2, OLD.fields, unique=(("city",),)), "breaking", "city must be unique"),
        (
            Contract("rides", 2, OLD.fields, freshness_us=3_600_000_000),
            "breaking",
            "the newest row may be of at most 1h of age",
        ),
        (Contract("rides", 2, OLD.fields[:2]), "breaking", "the label is none and was cnt"),
    ],
)
def test_a_change_is_classified_and_said(new: Contract, kind: str, message: str) -> None:
    found = compare_contracts(OLD, new)
    assert (found.compatibility, [change.message for change in found.changes]) == (
        kind,
        [message] if message else [],
    )


def test_a_hard_range_that_grows_is_widening() -> None:
    found = compare_contracts(replaced(TEMP, hard=True), replaced(TEMP, hard=True, maximum=3.0))
    assert found.compatibility == "widening"
    assert compare_contracts(replaced(TEMP, hard=True), OLD).compatibility == "widening"


_TEXTS = st.sampled_from(["a", "b", "c", "2011-01-01", ""])


@st.composite
def _fields(draw: st.DrawFn, name: str) -> FieldContract:
    type_ = draw(st.sampled_from(["float", "integer", "string"]))
    low, high = sorted((draw(st.integers(-3, 3)), draw(st.integers(-3, 3))))
    limited = type_ != "string" and draw(st.booleans())
    return FieldContract(
        name,
        type_,
        draw(st.sampled_from(["feature", "time"])) if type_ == "string" else "feature",
        required=draw(st.booleans()),
        minimum=float(low) if limited else None,
        maximum=float(high) if limited else None,
        categories=draw(st.sampled_from([None, ("a",), ("a", "b")])) if type_ == "string" else None,
        format=draw(st.sampled_from([None, "date", "datetime"])) if type_ == "string" else None,
        hard=draw(st.booleans()),
    )


@st.composite
def _cases(draw: st.DrawFn) -> tuple[Contract, Contract, list[dict[str, Any]]]:
    def contract(version: int) -> Contract:
        names = [name for name in ("x", "y") if draw(st.integers(0, 5))]
        return Contract("t", version, tuple(draw(_fields(name)) for name in names))

    value = st.none() | st.integers(-4, 4) | st.floats(-4, 4) | _TEXTS
    row = st.dictionaries(st.sampled_from(["x", "y"]), value)
    return contract(1), contract(2), draw(st.lists(row, min_size=1, max_size=12))


@settings(max_examples=400, deadline=None)
@given(_cases())
def test_what_is_not_breaking_rejects_nothing_that_was_accepted(
    case: tuple[Contract, Contract, list[dict[str, Any]]],
) -> None:
    old, new, rows = case
    kind = compare_contracts(old, new).compatibility
    before, after = compile_decoder(old), compile_decoder(new)
    for row in rows:
        accepted = [_accepts(before, row), _accepts(after, row)]
        if kind != "breaking":
            assert accepted[0] <= accepted[1], (old, new, row)
        if kind == "compatible":
            assert accepted[0] == accepted[1], (old, new, row)


def _accepts(decoder: Any, row: dict[str, Any]) -> bool:
    try:
        decoder.decode_rows(json.dumps([row]).encode())
    except InvalidError:
        return False
    return True
