"""Contracts as YAML that people review and edit.

    contract: rides
    version: 3
    unique: [[day, hr]]
    freshness: 2d
    fields:
      day: {type: string, role: time, format: date}
      temp: {type: float, range: [0.02, 1.0]}
      season: {type: string, categories: [fall, spring], hard: true}
      wind: {type: float, range: [0.0, null], nulls: 0.01}

A field is required unless it says `nulls` (the tolerated share; `any` where any share will do). `hard` makes its range,
categories, format and null share reject; otherwise they flag.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from holdfast.base.clock import duration, format_duration
from holdfast.base.errors import InvalidError
from holdfast.data.errors import ContractFileError
from holdfast.data.formats import FORMATS
from holdfast.data.policy import show
from holdfast.data.records import Contract, FieldContract, FieldRole, FieldType

_TOP = ("contract", "version", "unique", "freshness", "fields")
_KEYS = ("type", "role", "nulls", "range", "categories", "format", "pattern", "hard", "description")
_ANY = "any"
_BREAKS = ("\n", "\r", "\x85", "\u2028", "\u2029", "\ufeff")


def write_contract(contract: Contract) -> str:
    """The contract as YAML; `read_contract` gives the same contract back."""
    head: dict[str, Any] = {"contract": contract.table, "version": contract.version}
    if contract.unique:
        head["unique"] = [list(columns) for columns in contract.unique]
    if contract.freshness_us is not None:
        head["freshness"] = format_duration(contract.freshness_us)
    lines = [f"# What the rows of {contract.table} promise. `hard: true` makes ranges and categories reject."]
    lines += [_entry(key, value) for key, value in head.items()]
    lines.append("fields:" if contract.fields else "fields: {}")
    lines += [f"  {_entry(field.name, _described(field))}" for field in contract.fields]
    return "\n".join(lines) + "\n"


def read_contract(text: str, place: str = "the contract") -> Contract:
    """A contract from YAML.

    Args:
        place: what the text is called in errors, e.g. its file.

    Raises:
        ContractFileError: names the field and the key at fault, and what is allowed there.
    """
    import yaml

    try:
        top = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ContractFileError(f"{place} is not YAML ({' '.join(str(error).split())})") from error
    top = _mapping(top, place, _TOP)
    fields = top.get("fields")
    if not isinstance(fields, Mapping):
        raise ContractFileError(f"{place}: fields is not a mapping of names to fields", hint=_example())
    return Contract(
        table=_text(top.get("contract"), f"{place}: contract"),
        version=_whole(top.get("version", 1), f"{place}: version"),
        fields=tuple(_field(name, value, place) for name, value in fields.items()),
        unique=_unique(top.get("unique", []), place, list(fields)),
        freshness_us=_freshness(top.get("freshness"), place),
    )


def read_contract_file(path: Path) -> Contract:
    """A contract from a YAML file.

    Raises:
        ContractFileError: it cannot be read, or is no contract.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ContractFileError(f"{path} cannot be read ({reason})") from error
    return read_contract(text, str(path))


def _entry(key: str, value: Any) -> str:
    """`key: value` on one line."""
    return f"{_flow(key)}: {_flow(value)}"


def _flow(value: Any) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):  # type: ignore[misc]
        """Texts with breaks that YAML would fold are written with escapes."""

    def text(dumper: Any, value: str) -> Any:
        style = '"' if any(break_ in value for break_ in _BREAKS) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    options: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": math.inf}
    dumped: str = yaml.dump([value], Dumper=Dumper, default_flow_style=True, **options)
    return dumped.rstrip("\n").removeprefix("[").removesuffix("]")


def _described(field: FieldContract) -> dict[str, Any]:
    found: dict[str, Any] = {"type": field.type}
    if field.role != "feature":
        found["role"] = field.role
    if not field.required:
        found["nulls"] = field.null_share or _ANY
    if field.minimum is not None or field.maximum is not None:
        found["range"] = [_bound(field, field.minimum), _bound(field, field.maximum)]
    if field.categories is not None:
        found["categories"] = list(field.categories)
    for key in ("format", "pattern", "hard", "description"):
        if getattr(field, key):
            found[key] = getattr(field, key)
    return found


def _bound(field: FieldContract, value: float | None) -> float | int | None:
    whole = field.type == "integer" and value is not None and value == int(value)
    return int(value) if whole and value is not None else value


def _field(name: Any, value: Any, place: str) -> FieldContract:
    where = f"{place}: fields.{name}"
    if not isinstance(name, str):
        raise ContractFileError(f"{where}: a field's name is a text", hint=f"write it as '{name}'")
    given = _mapping(value, where, _KEYS)
    type_ = _one_of(given.get("type"), get_args(FieldType), f"{where}.type")
    minimum, maximum = _range(given.get("range"), f"{where}.range", type_)
    nulls = given.get("nulls")
    field = FieldContract(
        name=name,
        type=type_,
        role=_one_of(given.get("role", "feature"), get_args(FieldRole), f"{where}.role"),
        required=nulls is None,
        minimum=minimum,
        maximum=maximum,
        categories=_categories(given.get("categories"), f"{where}.categories", type_),
        null_share=_share(nulls, f"{where}.nulls"),
        hard=_flag(given.get("hard", False), f"{where}.hard"),
        format=_format(given.get("format"), f"{where}.format", type_),
        pattern=_pattern(given.get("pattern"), f"{where}.pattern", type_),
        description=_text(given.get("description", ""), f"{where}.description", empty=True),
    )
    if field.format is not None and field.pattern is not None:
        raise ContractFileError(f"{where} has a format and a pattern", hint="keep one of them")
    return field


def _mapping(value: Any, where: str, keys: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ContractFileError(f"{where} is {show(value)}, not a mapping", hint=_example())
    for key in value:
        if key not in keys:
            raise ContractFileError(
                f"{where} has the unknown key {key!r}", hint=f"valid are {', '.join(keys)}"
            )
    return value


def _example() -> str:
    return "write it like `holdfast contract show NAME` does"


def _text(value: Any, where: str, *, empty: bool = False) -> str:
    if not isinstance(value, str) or not (value or empty):
        raise ContractFileError(f"{where} is {show(value)}, not a text")
    return value


def _whole(value: Any, where: str) -> int:
    if type(value) is not int or value < 0:
        raise ContractFileError(f"{where} is {show(value)}, not a whole number")
    return value


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise ContractFileError(f"{where} is {show(value)}, not true or false")
    return value


def _one_of(value: Any, allowed: tuple[Any, ...], where: str) -> Any:
    if value not in allowed:
        raise ContractFileError(f"{where} is {show(value)}", hint=f"valid are {', '.join(allowed)}")
    return value


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _share(value: Any, where: str) -> float:
    if value is None or value == _ANY:
        return 0.0
    if not _number(value) or not 0 < value <= 1:
        raise ContractFileError(
            f"{where} is {show(value)}",
            hint="give the tolerated share, above 0 up to 1, or any; or leave it out",
        )
    return float(value)


def _range(value: Any, where: str, type_: str) -> tuple[float | None, float | None]:
    if value is None:
        return None, None
    if type_ not in ("float", "integer"):
        raise ContractFileError(f"{where}: {type_} has no range", hint="take it out")
    right = (
        isinstance(value, list) and len(value) == 2 and all(item is None or _number(item) for item in value)
    )
    if not right or (None not in value and value[0] > value[1]):
        raise ContractFileError(
            f"{where} is {show(value)}", hint="give [lowest, highest], with null for a side that is open"
        )
    return tuple(None if item is None else float(item) for item in value)  # type: ignore[return-value]


def _categories(value: Any, where: str, type_: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    if type_ != "string":
        raise ContractFileError(f"{where}: {type_} has no categories", hint="take them out")
    if not isinstance(value, list) or not value:
        raise ContractFileError(f"{where} is {show(value)}", hint="give a list of texts")
    for item in value:
        if not isinstance(item, str):
            raise ContractFileError(
                f"{where}: {show(item)} is not a text", hint=f"put it in quotes: '{item}'"
            )
    return tuple(dict.fromkeys(value))


def _format(value: Any, where: str, type_: str) -> str | None:
    if value is None:
        return None
    if type_ != "string":
        raise ContractFileError(f"{where}: {type_} has no format", hint="take it out")
    return str(_one_of(value, tuple(FORMATS), where))


def _pattern(value: Any, where: str, type_: str) -> str | None:
    if value is None:
        return None
    if type_ != "string":
        raise ContractFileError(f"{where}: {type_} has no pattern", hint="take it out")
    try:
        re.compile(_text(value, where))
    except re.error as error:
        raise ContractFileError(
            f"{where}: the pattern {value!r} is no regular expression ({error})"
        ) from error
    return str(value)


def _unique(value: Any, place: str, names: list[Any]) -> tuple[tuple[str, ...], ...]:
    if not isinstance(value, list) or not all(isinstance(item, list) and item for item in value):
        raise ContractFileError(
            f"{place}: unique is {show(value)}", hint="give lists of columns, e.g. [[day, hr], [id]]"
        )
    for name in (name for item in value for name in item):
        if name not in names:
            raise ContractFileError(f"{place}: unique names {show(name)}, which is no field")
    return tuple(tuple(item) for item in value)


def _freshness(value: Any, place: str) -> int | None:
    if value is None:
        return None
    try:
        return duration(_text(value, f"{place}: freshness"))
    except InvalidError as error:
        raise ContractFileError(f"{place}: freshness: {error}") from error
