"""Metric points as bytes.

The *tail* of a run holds points of all its metrics in the order of arrival, one MessagePack row a call. A *block*
holds points of one metric in columns: steps and times as differences, values as their bits, each column's bytes
regrouped by significance (bytes that hardly change stand together), then zstd. A block costs about 10 bytes a point
where values are noise, and fewer where they are smooth. NaN, the infinities and -0.0 come back bit by bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec
import zstandard

from holdfast.base.errors import HoldfastError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Numbers = npt.NDArray[np.float64]
    Columns = tuple[Integers, Integers, Numbers]

# key, step, measured_at, value
Point = tuple[str, int, int, float]

_PLAIN, _SQUEEZED = b"\x00", b"\x01"
_BLOCK = b"\x11"
_SQUEEZE_FROM_BYTES = 512
_HEADER = 9
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Point]).decode


def pack_tail(points: Sequence[Point]) -> bytes:
    """Points as they came, of whatever metrics.

    Example:
        >>> unpack_tail(pack_tail([("loss", 1, 20, 0.5)]))
        [('loss', 1, 20, 0.5)]
    """
    data = _encode(points)
    if len(data) < _SQUEEZE_FROM_BYTES:
        return _PLAIN + data
    return _SQUEEZED + zstandard.ZstdCompressor(level=1).compress(data)


def unpack_tail(data: bytes) -> list[Point]:
    """What `pack_tail` packed."""
    body = data[1:]
    return _decode(zstandard.ZstdDecompressor().decompress(body) if data[:1] == _SQUEEZED else body)


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
    return (
        _BLOCK + count.to_bytes(8, "little") + zstandard.ZstdCompressor(level=3).compress(regrouped.tobytes())
    )


def unpack_block(data: bytes) -> Columns:
    """Steps, times and values of a block.

    Raises:
        HoldfastError: the bytes are not a block.
    """
    import numpy as np

    if data[:1] != _BLOCK:
        raise HoldfastError("a block of metric points is damaged", hint="restore the home from its backup")
    count = int.from_bytes(data[1:_HEADER], "little")
    raw = np.frombuffer(zstandard.ZstdDecompressor().decompress(data[_HEADER:]), dtype=np.uint8)
    steps, times, bits = (_join(part) for part in raw.reshape(3, 8 * count))
    return np.cumsum(steps), np.cumsum(times), bits.view(np.float64)


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

    return np.ascontiguousarray(data.reshape(8, -1).T).reshape(-1).view(np.int64)
