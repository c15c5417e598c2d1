"""Contracts as YAML: what is written is read back, and what is wrong is named."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.data.contract_file import read_contract, read_contract_file, write_contract
from holdfast.data.errors import ContractFileError
from holdfast.data.records import Contract, FieldContract

CONTRACT = Contract(
    "rides",
    3,
    (
        FieldContract("day", "string", "time", format="date"),
        FieldContract("temp", "float", minimum=0.02, maximum=1.0),
        FieldContract("season", "string", categories=("fall", "no", "1"), hard=True),
        FieldContract("wind", "float", required=False, minimum=0.0, null_share=0.01),
        FieldContract("hr", "integer", minimum=0.0, maximum=23.0),
    ),
    unique=(("day", "hr"),),
    freshness_us=2 * 86_400_000_000,
)


def test_a_contract_reads_well() -> None:
    assert write_contract(CONTRACT) == (
        "# What the rows of rides promise. `hard: true` makes ranges and categories reject.\n"
        "contract: rides\nversion: 3\nunique: [[day, hr]]\nfreshness: 2d\nfields:\n"
        "  day: {type: string, role: time, format: date}\n"
        "  temp: {type: float, range: [0.02, 1.0]}\n"
        "  season: {type: string, categories: [fall, 'no', '1'], hard: true}\n"
        "  wind: {type: float, nulls: 0.01, range: [0.0, null]}\n"
        "  hr: {type: integer, range: [0, 23]}\n"
    )
    assert read_contract(write_contract(CONTRACT)) == CONTRACT


_NAMES = st.text(min_size=1, max_size=12)


@st.composite
def _any_field(draw: st.DrawFn, name: str) -> FieldContract:
    type_ = draw(st.sampled_from(["float", "integer", "string", "boolean", "datetime"]))
    bounds: list[float | None] = [None, None]
    if type_ in ("float", "integer"):
        number = (
            st.floats(allow_nan=False, allow_infinity=False)
            if type_ == "float"
            else st.integers(-99, 99).map(float)
        )
        bounds = sorted(draw(st.tuples(number, number)))
        bounds = [draw(st.sampled_from([None, bound])) for bound in bounds]
    required = draw(st.booleans())
    return FieldContract(
        name,
        type_,
        draw(st.sampled_from(["feature", "time", "key", "label"])),
        required=required,
        minimum=bounds[0],
        maximum=bounds[1],
        categories=draw(st.none() | st.lists(_NAMES, min_size=1, max_size=4, unique=True).map(tuple))
        if type_ == "string"
        else None,
        null_share=0.0 if required else draw(st.sampled_from([0.0, 0.25, 1 / 3])),
        hard=draw(st.booleans()),
        pattern=draw(st.sampled_from([None, "[A-Z]{3}\\d+"])) if type_ == "string" else None,
        description=draw(st.text(max_size=30)),
    )


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_every_contract_is_read_back(data: st.DataObject) -> None:
    names = data.draw(st.lists(_NAMES, max_size=5, unique=True))
    fields = tuple(data.draw(_any_field(name)) for name in names)
    contract = Contract("t", data.draw(st.integers(0, 9)), fields, unique=(tuple(names),) if names else ())
    assert read_contract(write_contract(contract)) == contract


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            "x: {type: number}",
            "fields.x.type is 'number'; valid are float, integer, string, boolean, datetime",
        ),
        ("x: {typ: float}", "fields.x has the unknown key 'typ'; valid are type, role"),
        ("x: {type: float, range: [2, 1]}", "fields.x.range is [2, 1]; give [lowest, highest]"),
        ("x: {type: string, range: [1, 2]}", "fields.x.range: string has no range; take it out"),
        ("x: {type: string, categories: [no]}", "fields.x.categories: false is not a text; put it in quotes"),
        ("x: {type: string, pattern: '['}", "the pattern '[' is no regular expression"),
        ("x: {type: string, format: mail}", "fields.x.format is 'mail'; valid are date, datetime, email"),
        ("x: {type: float, nulls: 2}", "fields.x.nulls is 2; give the tolerated share"),
        ("x: {type: float, hard: 1}", "fields.x.hard is 1, not true or false"),
        ("x: float", "fields.x is 'float', not a mapping"),
        ("1: {type: float}", "fields.1: a field's name is a text; write it as '1'"),
    ],
)
def test_what_is_wrong_is_named(fields: str, message: str) -> None:
    with pytest.raises(ContractFileError) as caught:
        read_contract(f"contract: t\nfields:\n  {fields}\n", "t.yaml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("t.yaml: fields")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "is not YAML"),
        ("- 1", "is [1], not a mapping"),
        ("contract: t", "fields is not a mapping"),
        ("contract: t\nfields: {}\nfreshness: soon", "freshness: "),
        ("contract: t\nfields: {}\nunique: [[x]]", "unique names 'x', which is no field"),
        ("fields: {}", "contract is null, not a text"),
    ],
)
def test_a_file_that_is_no_contract_is_refused(text: str, message: str) -> None:
    with pytest.raises(ContractFileError) as caught:
        read_contract(text)
    assert message in str(caught.value)


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path) -> None:
    with pytest.raises(ContractFileError, match=r"none.yaml cannot be read \(No such file"):
        read_contract_file(tmp_path / "none.yaml")
