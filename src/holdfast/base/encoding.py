"""JSON and MessagePack of records, one encoder each, so that every room writes the same bytes."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_json = msgspec.json.Encoder(order="deterministic")
_msgpack = msgspec.msgpack.Encoder(order="deterministic")


def to_json(value: Any) -> str:
    """Deterministic JSON text (sorted keys), fit for a ledger column and for hashing."""
    return _json.encode(value).decode()


def from_json(text: str | bytes, kind: type[T]) -> T:
    """The record of a JSON text that `to_json` wrote."""
    return msgspec.json.decode(text, type=kind)


def to_msgpack(value: Any) -> bytes:
    """Deterministic MessagePack bytes."""
    return _msgpack.encode(value)


def from_msgpack(data: bytes, kind: type[T]) -> T:
    """The record of bytes that `to_msgpack` wrote."""
    return msgspec.msgpack.decode(data, type=kind)
