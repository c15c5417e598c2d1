"""How many different strings there are, from the few with the smallest hash (k minimum values).

Source: Bar-Yossef, Jayram, Kumar, Sivakumar, Trevisan, "Counting distinct elements in a data stream" (2002).
The k smallest hashes of a union are found among the k smallest of its parts, so samples merge exactly, in any
order. The hash is our own finish over CRC-32, both fixed for ever: library row hashes change between releases.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from zlib import crc32

SAMPLE_SIZE = 64
HASH_BITS = 64


def mixed_hash(text: str) -> int:
    """64-bit hash of a string: CRC-32 spread by the finish of MurmurHash3 (Appleby 2011).

    >>> mixed_hash("rain") == mixed_hash("rain"), mixed_hash("rain") == mixed_hash("fog")
    (True, False)
    """
    mask = (1 << HASH_BITS) - 1
    value = crc32(text.encode("utf-8", "surrogatepass")) + 1
    value = ((value ^ (value >> 33)) * 0xFF51AFD7ED558CCD) & mask
    value = ((value ^ (value >> 33)) * 0xC4CEB9FE1A85EC53) & mask
    return value ^ (value >> 33)


def smallest_by_hash(texts: Iterable[str]) -> tuple[str, ...]:
    """The at most 64 different strings with the smallest hash, ascending by hash.

    >>> smallest_by_hash(["b", "a", "b"]) == smallest_by_hash(["a", "b"])
    True
    """
    return tuple(heapq.nsmallest(SAMPLE_SIZE, set(texts), key=lambda text: (mixed_hash(text), text)))


def estimate_distinct(sample: tuple[str, ...]) -> int:
    """Number of different strings behind a sample: exact below 64, estimated with about 13% error above.

    >>> estimate_distinct(smallest_by_hash(str(number) for number in range(40)))
    40
    """
    if len(sample) < SAMPLE_SIZE:
        return len(sample)
    share_of_range = mixed_hash(sample[-1]) / float(1 << HASH_BITS)
    return round((SAMPLE_SIZE - 1) / share_of_range)
