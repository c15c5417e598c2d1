"""Checks that every declaration shares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from holdfast.base import urn
from holdfast.base.clock import duration
from holdfast.base.errors import DeclarationError, InvalidError


def name(value: str, noun: str) -> str:
    """A valid name, or a `DeclarationError`."""
    try:
        return urn.check_name(value, noun)
    except InvalidError as error:
        raise DeclarationError(str(error)) from None


def span(value: str | timedelta, argument: str) -> int:
    """A duration in microseconds, or a `DeclarationError` that names the argument."""
    try:
        microseconds = duration(value)
    except InvalidError as error:
        raise DeclarationError(f"{argument}: {error}") from None
    if microseconds < 0:
        raise DeclarationError(f"{argument}: a duration cannot be negative")
    return microseconds


def one_of(value: Any, valid: Iterable[str], argument: str) -> Any:
    """The value, or a `DeclarationError` that lists the valid ones."""
    choices = sorted(valid)
    if value not in choices:
        raise DeclarationError(f"{argument}: {value!r} is not known", hint=f"valid are {', '.join(choices)}")
    return value


def names(value: str | Sequence[str] | None, argument: str) -> tuple[str, ...]:
    """A tuple of column names from one name, several, or none."""
    found = () if value is None else (value,) if isinstance(value, str) else tuple(value)
    if not all(isinstance(item, str) and item for item in found):
        raise DeclarationError(f"{argument}: {value!r} is not a column name or a list of them")
    return found


def instances(values: Sequence[Any], kind: type, argument: str, example: str) -> tuple[Any, ...]:
    """A tuple of one kind of declaration, or a `DeclarationError` with an example."""
    found = tuple(values)
    for item in found:
        if not isinstance(item, kind):
            raise DeclarationError(f"{argument}: {item!r} does not belong here", hint=f"write {example}")
    return found
