"""Raw values to the model's matrix: one encoding for training frames and for requests.

The matrix is always float64 of shape (rows, columns), columns in the order of the signature. Strings become
their position among the signature's categories, booleans 0 and 1; a null and a category that training never
saw become NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from holdfast.base.errors import InvalidError
from holdfast.registry.records import Signature, SignatureColumn

if TYPE_CHECKING:
    import polars as pl

Matrix = npt.NDArray[np.float64]


def encode_columns(columns: Sequence[Sequence[Any]], signature_columns: Sequence[SignatureColumn]) -> Matrix:
    """The matrix of plain Python columns, in the order of `signature_columns`.

    Raises:
        InvalidError: a value of a numeric column is not a number, or the columns differ in number or length.

    Example:
        >>> weather = SignatureColumn("weather", "string", categories=("clear", "rain"))
        >>> encode_columns([["rain", None, "fog"]], [weather]).ravel().tolist()
        [1.0, nan, nan]
    """
    if len(columns) != len(signature_columns):
        raise InvalidError(f"the model takes {len(signature_columns)} columns, not {len(columns)}")
    matrix = np.empty((len(columns[0]) if columns else 0, len(columns)))
    for position, (values, column) in enumerate(zip(columns, signature_columns, strict=True)):
        if len(values) != len(matrix):
            raise InvalidError(f"column {column.name} has {len(values)} values and others {len(matrix)}")
        matrix[:, position] = _encode_values(values, column)
    return matrix


def encode_frame(frame: pl.DataFrame, signature: Signature) -> Matrix:
    """The matrix of a frame that has (at least) the signature's columns.

    Raises:
        InvalidError: a column is missing, or is not of the signature's type.
    """
    matrix = np.empty((frame.height, len(signature.columns)))
    for position, column in enumerate(signature.columns):
        if column.name not in frame.columns:
            raise InvalidError(f"the frame lacks the model's column {column.name!r}", field=column.name)
        matrix[:, position] = _encode_series(frame.get_column(column.name), column)
    return matrix


def _encode_values(values: Sequence[Any], column: SignatureColumn) -> Any:
    if column.categories is not None:
        positions = _positions(column.categories)
        return [positions.get(value, np.nan) for value in values]
    # By type, not by value: there are few types and many values, and NumPy would read "1.5" as a number.
    if any(issubclass(kind, str) for kind in set(map(type, values))):
        raise _not_numeric(column)
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise _not_numeric(column) from error


def _encode_series(series: pl.Series, column: SignatureColumn) -> npt.NDArray[np.float64]:
    import polars as pl

    if column.categories is not None:
        positions = _positions(column.categories)
        encoded = series.cast(pl.String).replace_strict(
            list(positions), list(positions.values()), default=None, return_dtype=pl.Float64
        )
        return encoded.to_numpy()
    if not (series.dtype.is_numeric() or series.dtype in (pl.Boolean, pl.Null)):
        raise _not_numeric(column)
    return series.cast(pl.Float64).to_numpy()


@lru_cache(maxsize=4096)
def _positions(categories: tuple[str, ...]) -> dict[str, float]:
    return {category: float(position) for position, category in enumerate(categories)}


def _not_numeric(column: SignatureColumn) -> InvalidError:
    return InvalidError(f"{column.name} holds values that are not numbers", field=column.name)
