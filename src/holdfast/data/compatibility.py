"""What a new contract means for whoever sends rows: nothing, more freedom, or a break. Pure functions.

The words follow schema registries (Confluent's "backward compatibility"): a change is *breaking* when a row that the
old contract accepts may be rejected by the new one, *widening* when the new one accepts rows that the old one rejects,
and *compatible* when both reject the same rows, though they may flag others.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from holdfast.base.clock import format_duration
from holdfast.data.policy import expectation
from holdfast.data.records import Contract, FieldContract

Compatibility = Literal["compatible", "widening", "breaking"]
_RANK: dict[Compatibility, int] = {"compatible": 0, "widening": 1, "breaking": 2}


class ContractChange(msgspec.Struct, frozen=True):
    """One difference between two contracts: which field, what it means for senders, and a sentence."""

    field: str
    kind: Compatibility
    message: str


class ContractDiff(msgspec.Struct, frozen=True):
    """All differences; `compatibility` is that of the worst of them."""

    compatibility: Compatibility
    changes: tuple[ContractChange, ...]


def compare_contracts(old: Contract, new: Contract) -> ContractDiff:
    """Classifies every difference between two contracts of a table.

    Example:
        >>> old = Contract("rides", 1, (FieldContract("temp", "float"),))
        >>> new = Contract("rides", 2, (FieldContract("temp", "float", required=False),))
        >>> compare_contracts(old, new).compatibility
        'widening'
    """
    before = {field.name: field for field in old.request_fields()}
    after = {field.name: field for field in new.request_fields()}
    changes: list[ContractChange] = []
    for name, field in before.items():
        if name not in after:
            changes.append(
                ContractChange(name, "breaking", f"{name} is gone: rows that carry it are rejected")
            )
        else:
            changes += _compare_fields(field, after[name])
    for name, field in after.items():
        if name not in before:
            kind: Compatibility = "breaking" if field.required else "widening"
            what = "required" if field.required else "optional"
            changes.append(ContractChange(name, kind, f"{name} is new and {what} ({expectation(field)})"))
    changes += _compare_labels(old, new) + _compare_frames(old, new)
    kinds: list[Compatibility] = ["compatible", *(change.kind for change in changes)]
    worst = max(kinds, key=lambda kind: _RANK[kind])
    return ContractDiff(worst, tuple(changes))


def _compare_fields(old: FieldContract, new: FieldContract) -> list[ContractChange]:
    name = old.name
    if old.type != new.type:
        kind: Compatibility = "widening" if (old.type, new.type) == ("integer", "float") else "breaking"
        if kind == "breaking" or _rejects(new):
            return [ContractChange(name, "breaking", f"{name} is {new.type} and was {old.type}")]
        return [ContractChange(name, kind, f"{name} is {new.type} and was {old.type}"), *_presence(old, new)]
    changes = _presence(old, new)
    if old.role != new.role:
        changes.append(ContractChange(name, "breaking", f"{name} is the {new.role} and was the {old.role}"))
    values = _values(old, new)
    if values is not None:
        changes.append(values)
    return changes


def _presence(old: FieldContract, new: FieldContract) -> list[ContractChange]:
    if old.required != new.required:
        kind: Compatibility = "breaking" if new.required else "widening"
        word = "required and was optional" if new.required else "optional and was required"
        return [ContractChange(old.name, kind, f"{old.name} is {word}")]
    if old.null_share != new.null_share:
        message = f"{old.name} tolerates {_share(new)} nulls and tolerated {_share(old)}"
        return [ContractChange(old.name, "compatible", message)]
    return []


def _share(field: FieldContract) -> str:
    return f"{field.null_share:.2%}" if field.null_share else "any share of"


def _values(old: FieldContract, new: FieldContract) -> ContractChange | None:
    """How the sets of accepted values relate; what only flags accepts every value of its type."""
    if _rules(old) == _rules(new) and old.hard == new.hard:
        return None
    message = f"{old.name} is {_said(new)} and was {_said(old)}"
    wider, narrower = _accepts_all_of(new, old), _accepts_all_of(old, new)
    kind: Compatibility = "breaking" if not wider else "compatible" if narrower else "widening"
    return ContractChange(old.name, kind, message)


def _said(field: FieldContract) -> str:
    return expectation(field) + (" (hard)" if field.hard else "")


def _rules(field: FieldContract) -> tuple[object, ...]:
    return (field.minimum, field.maximum, field.categories, field.format, field.pattern)


def _rejects(field: FieldContract) -> bool:
    hard = field.hard and any(rule is not None for rule in _rules(field))
    return hard or (field.format is not None and field.role == "time")


def _accepts_all_of(wide: FieldContract, narrow: FieldContract) -> bool:
    """Whether every value that `narrow` accepts is accepted by `wide`, as far as the rules show it."""
    if not _rejects(wide):
        return True
    if not wide.hard:  # the format of a time rejects without being declared hard
        return _same_format(wide, narrow)
    least = -math.inf if wide.minimum is None else wide.minimum
    most = math.inf if wide.maximum is None else wide.maximum
    bounded = (
        narrow
        if narrow.hard
        else msgspec.structs.replace(narrow, minimum=None, maximum=None, categories=None)
    )
    if (-math.inf if bounded.minimum is None else bounded.minimum) < least:
        return False
    if (math.inf if bounded.maximum is None else bounded.maximum) > most:
        return False
    if wide.categories is not None and (
        bounded.categories is None or not set(bounded.categories) <= set(wide.categories)
    ):
        return False
    return _same_format(wide, narrow)


def _same_format(wide: FieldContract, narrow: FieldContract) -> bool:
    if wide.format is None and wide.pattern is None:
        return True
    same = (wide.format, wide.pattern) == (narrow.format, narrow.pattern)
    return same and _rejects(narrow)


def _compare_labels(old: Contract, new: Contract) -> list[ContractChange]:
    before = {field.name: field for field in old.fields if field.role == "label"}
    after = {field.name: field for field in new.fields if field.role == "label"}
    if before.keys() == after.keys():
        return []
    said = f"the label is {', '.join(after) or 'none'} and was {', '.join(before) or 'none'}"
    return [ContractChange(next(iter(after or before)), "breaking", said)]


def _compare_frames(old: Contract, new: Contract) -> list[ContractChange]:
    changes = []
    for columns in sorted(set(old.unique) ^ set(new.unique)):
        names, added = ", ".join(columns), columns in new.unique
        kind: Compatibility = "breaking" if added else "widening"
        changes.append(ContractChange(names, kind, f"{names} {'must' if added else 'need not'} be unique"))
    before, after = old.freshness_us, new.freshness_us
    if before != after:
        stricter = after is not None and (before is None or after < before)
        said = "any age" if after is None else f"at most {format_duration(after)} of age"
        changes.append(
            ContractChange("", "breaking" if stricter else "widening", f"the newest row may be of {said}")
        )
    return changes
