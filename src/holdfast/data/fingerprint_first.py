"""Format 1 of the fingerprint, for versions that an early release recorded; new versions have format 2.

Fingerprint of a part: a blake3 over these bytes; all numbers are little-endian, strings UTF-8:

    "holdfast rows 1\\n"
    u64 number of rows, u32 number of columns
    for each column, in order: u32 length of the name, the name, u8 type, validity bits, values

with the types, bits and values of format 2, but over the whole part. Fingerprint of a version: a blake3 over
"holdfast version 1\\n" and the 32 bytes of each part's fingerprint in order, so the cut into parts mattered.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from blake3 import blake3

from holdfast.data.fingerprint import TAGS, column_bytes, columns_of

_PART = b"holdfast rows 1\n"
_VERSION = b"holdfast version 1\n"


def fingerprint_part(frame: pl.DataFrame) -> str:
    """The fingerprint of a part's rows, 64 hexadecimal digits.

    Raises:
        TableError: a column has a type that a table cannot hold.
    """
    digest = blake3(_PART + frame.height.to_bytes(8, "little") + frame.width.to_bytes(4, "little"))
    columns = columns_of(frame)
    for (name, type_), pieces in zip(columns, column_bytes(frame, columns), strict=True):
        encoded = name.encode()
        digest.update(len(encoded).to_bytes(4, "little") + encoded + bytes([TAGS[type_]]))
        for piece in pieces:
            digest.update(piece)
    return digest.hexdigest()


def fingerprint_parts(parts: Sequence[str]) -> str:
    """The fingerprint of a version made of parts with these fingerprints."""
    return blake3(_VERSION + b"".join(bytes.fromhex(part) for part in parts)).hexdigest()
