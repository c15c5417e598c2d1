"""Request columns to the model's matrix, fast for the few rows of a request.

It gives what `registry.encode.encode_columns` gives (a test holds the two together), without building one array
a column: for a single row that is most of the time a prediction takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from holdfast.registry.encode import encode_columns
from holdfast.registry.formats.predictor import Matrix
from holdfast.registry.records import SignatureColumn

_FEW_ROWS = 16
_NAN = float("nan")


class MatrixEncoder:
    """Encodes columns that the contract has already validated, in the order of the signature."""

    def __init__(self, columns: Sequence[SignatureColumn]) -> None:
        self._columns = columns
        self._positions = [
            None
            if column.categories is None
            else {category: float(position) for position, category in enumerate(column.categories)}
            for column in columns
        ]

    def encode(self, columns: Sequence[Sequence[Any]]) -> Matrix:
        """The float64 matrix (rows, columns)."""
        rows = len(columns[0])
        if rows > _FEW_ROWS:
            return encode_columns(columns, self._columns)
        pairs = list(zip(columns, self._positions, strict=True))
        encoded = [
            [
                values[row] if positions is None else positions.get(values[row], _NAN)
                for values, positions in pairs
            ]
            for row in range(rows)
        ]
        return np.array(encoded, dtype=np.float64)
