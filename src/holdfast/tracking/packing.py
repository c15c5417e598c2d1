"""Metric points as bytes.

The *tail* of a run holds points of all its metrics in the order of arrival, one row a call: MessagePack for a few,
plain columns for many, as both are written, and columns also read, without a look at each point. A *block*
holds points of one metric in columns: steps and times as differences, values as their bits, each column's bytes
regrouped by significance (bytes that hardly change stand together), then zstd. A block costs about 10 bytes a point
where values are noise, and fewer where they are smooth. NaN, the infinities and -0.0 come back bit by bit.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import zstandard

from holdfast.base.errors import HoldfastError, InvalidError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Numbers = npt.NDArray[np.float64]
    Columns = tuple[Integers, Integers, Numbers]

# key, step, measured_at, value
Point = tuple[str, int, int, float]

_PLAIN, _SQUEEZED, _COLUMNS = b"\x00", b"\x01", b"\x02"
_BLOCK = b"\x11"
_SQUEEZE_FROM_BYTES = 512
_COLUMNS_FROM_POINTS = 32
_HEADER = 9
_FEW_PLANES = 3
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Point]).decode
_decode_keys = msgspec.msgpack.Decoder(list[str]).decode
_of_thread = threading.local()


class Table(NamedTuple):
    """Points of several metrics in the order of arrival: `places` says which of `keys` each is about."""

    keys: list[str]
    places: Integers
    steps: Integers
    times: Integers
    values: Numbers


def pack_tail(points: Sequence[Point]) -> bytes:
    """Points as they came, of whatever metrics; written for speed.

    Raises:
        InvalidError: a step or a time is beyond 64 bits.

    Example:
        >>> unpack_tail(pack_tail([("loss", 1, 20, 0.5)]))
        [('loss', 1, 20, 0.5)]
    """
    count = len(points)
    if count < _COLUMNS_FROM_POINTS:
        return _PLAIN + _encode(points)
    names, steps, times, values = zip(*points, strict=True)
    known = {key: place for place, key in enumerate(dict.fromkeys(names))}
    keys = _encode(list(known))
    try:
        return b"".join(
            (
                _COLUMNS,
                struct.pack("<II", count, len(keys)),
                keys,
                struct.pack(f"<{count}q{count}q{count}q", *map(known.__getitem__, names), *steps, *times),
                struct.pack(f"<{count}d", *values),
            )
        )
    except struct.error as error:
        raise InvalidError(f"a step or a time cannot be stored ({error})") from None


def squeeze_tail(points: Sequence[Point]) -> bytes:
    """Points as they came, of whatever metrics; written once, for keeping."""
    data = _encode(points)
    if len(data) < _SQUEEZE_FROM_BYTES:
        return _PLAIN + data
    return _SQUEEZED + zstandard.ZstdCompressor(level=3).compress(data)


def unpack_tail(data: bytes) -> list[Point]:
    """What `pack_tail` or `squeeze_tail` packed."""
    if data[:1] == _COLUMNS:
        keys, *found = _unpack_columns(data)
        places, steps, times, values = (column.tolist() for column in found)
        return list(zip([keys[place] for place in places], steps, times, values, strict=True))
    body = data[1:]
    return _decode(zstandard.ZstdDecompressor().decompress(body) if data[:1] == _SQUEEZED else body)


def unpack_tails(packed: Iterable[bytes], only: str | None = None) -> Table:
    """The points of several tails, one after another; those of one metric where `only` names it."""
    import numpy as np

    known: dict[str, int] = {}
    parts: list[tuple[Integers, Integers, Integers, Numbers]] = []
    few: list[Point] = []
    for data in packed:
        if data[:1] != _COLUMNS:
            few.extend(point for point in unpack_tail(data) if only is None or point[0] == only)
            continue
        keys, *found = _unpack_columns(data)
        if only is not None:
            if only not in keys:
                continue
            chosen = found[0] == keys.index(only)
            keys, found = (
                [only],
                [np.zeros(int(chosen.sum()), dtype=np.int64), *(c[chosen] for c in found[1:])],
            )
        if few:  # the order of arrival is kept
            parts.append(_placed(few, known))
            few = []
        places = np.array([known.setdefault(key, len(known)) for key in keys], dtype=np.int64)
        parts.append((places[found[0]], *found[1:]))
    parts.append(_placed(few, known))
    joined = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Table(list(known), *joined)


def _placed(points: list[Point], known: dict[str, int]) -> tuple[Integers, Integers, Integers, Numbers]:
    import numpy as np

    places = (known.setdefault(point[0], len(known)) for point in points)
    return np.fromiter(places, dtype=np.int64, count=len(points)), *columns(points)


def _unpack_columns(data: bytes) -> tuple[list[str], Integers, Integers, Integers, Numbers]:
    import numpy as np

    count, size = struct.unpack_from("<II", data, 1)
    start = 1 + 8 + size
    whole = np.frombuffer(data, dtype="<i8", count=3 * count, offset=start).reshape(3, count)
    values = np.frombuffer(data, dtype="<f8", count=count, offset=start + 24 * count)
    return _decode_keys(data[9:start]), *whole, values


def columns(points: Iterable[Point]) -> Columns:
    """Steps, times and values of points."""
    import numpy as np

    rows = list(points)
    return (
        np.fromiter((row[1] for row in rows), dtype=np.int64, count=len(rows)),
        np.fromiter((row[2] for row in rows), dtype=np.int64, count=len(rows)),
        np.fromiter((row[3] for row in rows), dtype=np.float64, count=len(rows)),
    )


def pack_block(steps: Integers, times: Integers, values: Numbers) -> bytes:
    """A block of one metric's points, in the order given."""
    import numpy as np

    count = len(steps)
    regrouped = np.concatenate(
        [_regroup(_differences(steps)), _regroup(_differences(times)), _regroup(values.view(np.int64))]
    )
    return _BLOCK + count.to_bytes(8, "little") + _compressor().compress(regrouped.tobytes())


def unpack_block(data: bytes) -> Columns:
    """Steps, times and values of a block.

    Raises:
        HoldfastError: the bytes are not a block.
    """
    import numpy as np

    if data[:1] != _BLOCK:
        raise HoldfastError("a block of metric points is damaged", hint="restore the home from its backup")
    count = int.from_bytes(data[1:_HEADER], "little")
    raw = np.frombuffer(_decompressor().decompress(data[_HEADER:]), dtype=np.uint8)
    steps, times, bits = (_join(part) for part in raw.reshape(3, 8 * count))
    return np.cumsum(steps), np.cumsum(times), bits.view(np.float64)


def _compressor() -> zstandard.ZstdCompressor:
    """This thread's; making one costs more than it takes to compress a small block."""
    found: zstandard.ZstdCompressor | None = getattr(_of_thread, "compressor", None)
    if found is None:
        found = _of_thread.compressor = zstandard.ZstdCompressor(level=3)
    return found


def _decompressor() -> zstandard.ZstdDecompressor:
    found: zstandard.ZstdDecompressor | None = getattr(_of_thread, "decompressor", None)
    if found is None:
        found = _of_thread.decompressor = zstandard.ZstdDecompressor()
    return found


def _differences(values: Integers) -> Integers:
    """Each value less the one before. They wrap around as the sums do, so every 64-bit integer survives."""
    import numpy as np

    found = values.copy()
    np.subtract(values[1:], values[:-1], out=found[1:])
    return found


def _regroup(values: Integers) -> npt.NDArray[np.uint8]:
    import numpy as np

    return np.ascontiguousarray(values.view(np.uint8).reshape(-1, 8).T).reshape(-1)


def _join(data: npt.NDArray[np.uint8]) -> Integers:
    import numpy as np

    planes = data.reshape(8, -1)
    used = [place for place in range(8) if planes[place].any()]
    if len(used) > _FEW_PLANES:
        return np.ascontiguousarray(planes.T).reshape(-1).view(np.int64)
    # Differences are mostly small: adding up the few bytes that they have is faster than moving all eight.
    joined = np.zeros(planes.shape[1], dtype=np.int64)
    for place in used:
        joined |= planes[place].astype(np.int64) << (8 * place)
    return joined
