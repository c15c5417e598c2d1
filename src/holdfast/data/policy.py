"""What a field expects, in words: one wording for frames in pipelines and requests at the serving door."""

from __future__ import annotations

import json
import math
from typing import Any

from holdfast.data.records import Contract, FieldContract, FieldType

CATEGORIES_SHOWN = 8

_NOUNS: dict[FieldType, str] = {
    "float": "a number",
    "integer": "an integer",
    "string": "a string",
    "boolean": "a boolean",
    "datetime": "an ISO 8601 time",
}
_VALUE_LENGTH_MOST = 60


def noun(type_: FieldType) -> str:
    """`a number`, `an integer`…: what a value of the type is called."""
    return _NOUNS[type_]


def expectation(field: FieldContract) -> str:
    """What the contract says of a field.

    Example:
        >>> expectation(FieldContract("temp", "float", minimum=0.0, maximum=1.0))
        'float in 0..1'
        >>> expectation(FieldContract("origin", "string", categories=("EWR", "JFK"), required=False))
        "string, one of 'EWR', 'JFK', or null"
    """
    text: str = field.type
    if field.minimum is not None and field.maximum is not None:
        text += f" in {_number(field.minimum)}..{_number(field.maximum)}"
    elif field.minimum is not None:
        text += f" of at least {_number(field.minimum)}"
    elif field.maximum is not None:
        text += f" of at most {_number(field.maximum)}"
    if field.categories is not None:
        shown = [repr(category) for category in field.categories[:CATEGORIES_SHOWN]]
        rest = len(field.categories) - len(shown)
        text += f", one of {', '.join(shown)}" + (f" and {rest} more" if rest else "")
    if field.format is not None or field.pattern is not None:
        text += f" of the format {field.format}" if field.pattern is None else f" like {field.pattern}"
    return text if field.required else f"{text}, or null" if field.categories else f"{text} or null"


def expects(contract: Contract, field: FieldContract) -> str:
    """The second half of every message: `rides@1 expects float in 0..1`."""
    return f"{contract.urn} expects {expectation(field)}"


def show(value: Any) -> str:
    """A value as the caller sent it, shortened: strings quoted, JSON words for null, true and false."""
    if isinstance(value, str):
        text = repr(value)
    else:
        try:
            text = json.dumps(value)
        except (TypeError, ValueError):
            text = str(value)
    return text if len(text) <= _VALUE_LENGTH_MOST else text[: _VALUE_LENGTH_MOST - 1] + "…"


def is_null_share_beyond(nulls: int, rows: int, tolerated: float, *, exact: bool) -> bool:
    """Whether more values are missing than a contract tolerates.

    An inferred share is itself an estimate, so it is exceeded only beyond what chance explains: three standard
    deviations of a binomial count, and one row more. A share that a person made hard is taken at its word.

    Example:
        >>> is_null_share_beyond(4, 100, 0.03, exact=False), is_null_share_beyond(4, 100, 0.03, exact=True)
        (False, True)
    """
    expected = rows * tolerated
    return nulls > expected + (0 if exact else 3 * math.sqrt(expected * (1 - tolerated)) + 1)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else f"{value:g}"
