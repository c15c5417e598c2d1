"""Keys and values of the online store, byte by byte.

Keys sort as their times do, because LMDB keeps them in order: a signed 64-bit time is written big-endian with its
highest bit turned. A tail (the recent feature rows of one entity) has its newest row first, so that a lookup reads
the start of it and decodes one row:

    for each row, newest first: i64 time · u32 length · the values as a MessagePack array (little-endian)
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import msgspec
from blake3 import blake3

from holdfast.base.clock import Micros
from holdfast.base.encoding import to_msgpack

Entity = tuple[Any, ...]
"""The values of the key columns, in the view's order; empty for a single series."""

_KEY_BYTES_MOST = 480
_DIGEST_BYTES = 16
_SIGN = 1 << 63
_TIME = struct.Struct(">Q")
_HEAD = struct.Struct("<qI")
_HEAD_BYTES = _HEAD.size
_read_head = _HEAD.unpack_from
_decode_row = msgspec.msgpack.Decoder(tuple).decode


def time_key(at: Micros) -> bytes:
    """Eight bytes that sort like the time."""
    return _TIME.pack(at + _SIGN)


def time_of_key(key: bytes) -> Micros:
    """The time of eight bytes that `time_key` wrote."""
    return int(_TIME.unpack(key)[0]) - _SIGN


def digest_key(*values: Any) -> bytes:
    """A fixed-width prefix that stands for any values."""
    return blake3(to_msgpack(values)).digest(_DIGEST_BYTES)


def entity_key(prefix: bytes, entity: Sequence[Any]) -> bytes:
    """The key of an entity below a prefix; a long one is replaced by its digest, as LMDB keys are short."""
    packed = to_msgpack(entity)
    if len(prefix) + len(packed) > _KEY_BYTES_MOST:
        packed = digest_key(packed)
    return prefix + packed


def pack_tail(times: Sequence[Micros], rows: Sequence[Sequence[Any]]) -> bytes:
    """The tail of rows that are ascending in time, the last of equal times counting."""
    records = []
    for time, row in zip(reversed(times), reversed(rows), strict=True):
        packed = to_msgpack(row)
        records.append(_HEAD.pack(time, len(packed)) + packed)
    return b"".join(records)


def look_up(tail: bytes, at: Micros, ttl_us: int) -> tuple[Any, ...] | None:
    """The latest row of a tail with `at - ttl <= time <= at`; of several at one time the last."""
    start, size = 0, len(tail)
    while start < size:
        time, length = _read_head(tail, start)
        start += _HEAD_BYTES
        if time <= at:
            if time < at - ttl_us:
                return None
            row: tuple[Any, ...] = _decode_row(tail[start : start + length])
            return row
        start += length
    return None
