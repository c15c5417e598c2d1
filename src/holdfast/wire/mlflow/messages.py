"""Reading and writing MLflow's JSON, which follows the conventions of protocol buffers.

Numbers may come as text, null means unset, fields may be spelled in camelCase, and NaN and the infinities travel as
the texts "NaN", "Infinity" and "-Infinity" (or, from Python's own encoder, as bare words). Answers write 64-bit
integers as numbers and leave unset fields out, as MLflow's server does.
"""

from __future__ import annotations

import json
import math
import re
from typing import Annotated, Any, TypeVar

import msgspec

from holdfast.base.errors import InvalidError
from holdfast.wire.mlflow.envelope import BadRequestError

T = TypeVar("T")

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

_encoder = msgspec.json.Encoder()
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}
_camel = re.compile(r"(?<=[a-z0-9])([A-Z])")
_camel_field = re.compile(rb'"[a-z]+[A-Z][A-Za-z]*"\s*:')
_LOOKED_AT_BYTES = 512
_NUL = b"\\u0000"
_UNKEPT = re.compile("[\x00\ud800-\udfff]")
_missing = re.compile(r"missing required field `(\w+)`")
_at = re.compile(r" - at `\$\.?(.*)`$")


class Pair(msgspec.Struct, frozen=True):
    """A tag, a parameter or anything else with a key and a text."""

    key: str
    value: str = ""


def encode(answer: Any) -> bytes:
    """The JSON of an answer; None is the empty object."""
    return b"{}" if answer is None else _encoder.encode(answer)


def double(value: float) -> float | str:
    """A double as JSON can carry it.

    Example:
        >>> double(1.5), double(float("nan")), double(float("-inf"))
        (1.5, 'NaN', '-Infinity')
    """
    if math.isfinite(value):
        return value
    return "NaN" if value != value else ("Infinity" if value > 0 else "-Infinity")


def decode(body: bytes, kind: type[T]) -> T:
    """The message in a JSON body.

    Raises:
        BadRequestError: the body is not a JSON object.
        InvalidError: a field is missing or has another type.
    """
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind, strict=False)
    try:
        # A client that spells in camelCase does so from the first field on.
        if body and _NUL not in body and not _camel_field.search(body, 0, _LOOKED_AT_BYTES):
            found: T = decoder.decode(body)
            return found
    except (msgspec.DecodeError, RecursionError):
        pass  # The lenient way below accepts more spellings, and says what is wrong.
    return convert(parse_object(body), kind)


def parse_object(body: bytes) -> dict[str, Any]:
    """The object in a JSON body; an empty body is an empty object.

    Raises:
        BadRequestError: it is something else.
        InvalidError: a text in it holds what no database keeps.
    """
    if not body:
        return {}
    try:
        value = json.loads(body)
        # Old clients encode twice.
        value = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"the body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadRequestError("the body is not a JSON object")
    if b"\\u" in body:
        _refuse_unkept(value)
    return value


def _refuse_unkept(value: Any) -> None:
    """Refuses NUL and halves of surrogate pairs, which JSON can escape and PostgreSQL and UTF-8 cannot carry."""
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, dict):
            left.extend(item)
            left.extend(item.values())
        elif isinstance(item, list):
            left.extend(item)
        elif isinstance(item, str) and (found := _UNKEPT.search(item)):
            raise InvalidError(f"Invalid value {item[:60]!r}: {found[0]!r} is no character that can be kept")


def convert(fields: dict[str, Any], kind: type[T]) -> T:
    """The message with these fields.

    Raises:
        BadRequestError: values lie too deep within each other.
        InvalidError: a field is missing or has another type.
    """
    try:
        return msgspec.convert(_normal(fields), kind, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    except RecursionError:
        raise BadRequestError("the body holds values too deep within each other") from None


def _normal(value: Any) -> Any:
    """Fields in snake_case, without those that are null."""
    if isinstance(value, dict):
        return {
            _camel.sub(r"_\1", key).lower() if _camel.search(key) else key: _normal(item)
            for key, item in value.items()
            if item is not None
        }
    return [_normal(item) for item in value] if isinstance(value, list) else value


def _invalid(text: str) -> InvalidError:
    missing = _missing.search(text)
    if missing:
        return InvalidError(f"Missing value for required parameter '{missing[1]}'", field=missing[1])
    place = _at.search(text)
    field = place[1] if place else ""
    return InvalidError(f"Invalid value for parameter '{field}': {_at.sub('', text)}", field=field or None)
