"""Keys and values of the online stores, byte by byte.

Keys sort as their times do, because LMDB keeps them in order: a signed 64-bit time is written big-endian with its
highest bit turned. The recent feature rows of one entity are its tail, newest first, so that a lookup mostly decodes
the first row and otherwise halves its way down the heads (all numbers little-endian):

    u32 count · for each row: i64 counts from · i64 event time · i64 created · u32 end of its values · the values of
    all rows, each a MessagePack array
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from blake3 import blake3

from holdfast.base.clock import Micros
from holdfast.base.encoding import to_msgpack
from holdfast.features.expiry import is_fresh

Entity = tuple[Any, ...]
"""The values of the key columns, in the view's order; empty for a single series."""

_KEY_BYTES_MOST = 480
DIGEST_BYTES = 16
_SIGN = 1 << 63
_TIME = struct.Struct(">Q")
_COUNT = struct.Struct("<I")
_HEAD = struct.Struct("<qqqI")
_FIRST = struct.Struct("<IqqqI")
_HEAD_BYTES = _HEAD.size
_read_first = _FIRST.unpack_from
_read_count = _COUNT.unpack_from
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
    return blake3(to_msgpack(values)).digest(DIGEST_BYTES)


def entity_key(prefix: bytes, entity: Sequence[Any]) -> bytes:
    """The key of an entity below a prefix; a long one is replaced by its digest, as LMDB keys are short."""
    packed = to_msgpack(entity)
    if len(prefix) + len(packed) > _KEY_BYTES_MOST:
        packed = digest_key(packed)
    return prefix + packed


class TailRow(NamedTuple):
    """One feature row of an entity: the answer from `from_at` on, until the next one counts.

    `packed` are its values as MessagePack. Of rows of one event time the later created is the newer.
    """

    from_at: Micros
    event_at: Micros
    created_at: Micros
    packed: bytes


def pack_tail(rows: Sequence[TailRow]) -> bytes:
    """The tail of rows that are ascending in `from_at`, the last of equal ones counting."""
    heads, values, end = [_COUNT.pack(len(rows))], [], 0
    for from_at, event_at, created_at, packed in reversed(rows):
        end += len(packed)
        heads.append(_HEAD.pack(from_at, event_at, created_at, end))
        values.append(packed)
    return b"".join(heads + values)


def unpack_tail(tail: bytes | None) -> list[TailRow]:
    """The rows of a tail, ascending in `from_at`."""
    if tail is None:
        return []
    (count,) = _read_count(tail)
    body = _COUNT.size + count * _HEAD_BYTES
    rows, begin = [], 0
    for place in range(count):
        from_at, event_at, created_at, end = _read_head(tail, _COUNT.size + place * _HEAD_BYTES)
        rows.append(TailRow(from_at, event_at, created_at, tail[body + begin : body + end]))
        begin = end
    return rows[::-1]


def find_row(tail: bytes, at: Micros) -> tuple[Micros, tuple[Any, ...]] | None:
    """Event time and values of the newest row that counts at `at`, however old it is."""
    (count,) = _read_count(tail)
    if not count:
        return None
    from_at, event_at, _, end = _read_head(tail, 4)
    begin = place = 0
    if from_at > at:
        place = _newest(tail, count, at)
        if place == count:
            return None
        begin = _read_head(tail, 4 + (place - 1) * _HEAD_BYTES)[3]
        _, event_at, _, end = _read_head(tail, 4 + place * _HEAD_BYTES)
    body = 4 + count * _HEAD_BYTES
    row: tuple[Any, ...] = _decode_row(tail[body + begin : body + end])
    return event_at, row


def look_up(tail: bytes, at: Micros, ttl_us: int) -> tuple[Any, ...] | None:
    """The values that may be used at `at`: those of the newest row that counts, unless it is older than the TTL."""
    if len(tail) < _FIRST.size:
        return None
    count, from_at, event_at, _, end = _read_first(tail)
    if from_at <= at:  # what nearly every lookup finds, with one look at the heads
        if not is_fresh(event_at, at, ttl_us):
            return None
        body = 4 + count * _HEAD_BYTES
        row: tuple[Any, ...] = _decode_row(tail[body : body + end])
        return row
    found = find_row(tail, at)
    return found[1] if found is not None and is_fresh(found[0], at, ttl_us) else None


def _newest(tail: bytes, count: int, at: Micros) -> int:
    """The place of the first head with `from_at <= at`, or `count`."""
    low, high = 1, count
    while low < high:
        middle = (low + high) // 2
        if _read_head(tail, 4 + middle * _HEAD_BYTES)[0] <= at:
            high = middle
        else:
            low = middle + 1
    return low
