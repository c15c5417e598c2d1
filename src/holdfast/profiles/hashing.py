"""The hash of `distinct` over many strings at once."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import numpy as np
import numpy.typing as npt

from holdfast.profiles.distinct import SAMPLE_SIZE


def candidates_of_smallest_hash(texts: Sequence[str]) -> Sequence[str]:
    """Those of many different strings that may be among the 64 with the smallest hash; all of few.

    >>> from holdfast.profiles.distinct import smallest_by_hash
    >>> names = [str(number) for number in range(10_000)]
    >>> smallest_by_hash(candidates_of_smallest_hash(names)) == smallest_by_hash(names)
    True
    """
    if len(texts) <= 4 * SAMPLE_SIZE:
        return texts
    hashes = _mixed_hashes(texts)
    limit = np.partition(hashes, SAMPLE_SIZE)[SAMPLE_SIZE]
    return [texts[position] for position in np.flatnonzero(hashes <= limit).tolist()]


def _mixed_hashes(texts: Sequence[str]) -> npt.NDArray[np.uint64]:
    checksums = (crc32(text.encode("utf-8", "surrogatepass")) for text in texts)
    value = np.fromiter(checksums, dtype=np.uint64, count=len(texts)) + np.uint64(1)
    shift = np.uint64(33)
    value = (value ^ (value >> shift)) * np.uint64(0xFF51AFD7ED558CCD)
    value = (value ^ (value >> shift)) * np.uint64(0xC4CEB9FE1A85EC53)
    return value ^ (value >> shift)
