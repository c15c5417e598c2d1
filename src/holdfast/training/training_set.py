"""What a training function receives: `train(data: TrainingSet, params: Params)`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

Parameter = float | int | str | bool | None


@dataclass(frozen=True)
class TrainingSet:
    """Rows to fit on, in order of time.

    Attributes:
        X: the model's matrix as a polars frame of Float64, one column for each input of the signature. Strings
            are encoded as the position of their category, booleans as 0 and 1, missing values as NaN.
        y: the label, float64 of shape (rows,); 0 and 1 for binary models.
        frame: the same rows raw, with every column of the table and the looked-up features.
        time: the event time of each row, a polars Series of Datetime in µs UTC.
        categorical: the columns of `X` that hold categories.
        columns: the columns of `X`, in order.
    """

    X: pl.DataFrame
    y: npt.NDArray[np.float64]
    frame: pl.DataFrame
    time: pl.Series
    categorical: tuple[str, ...]
    columns: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.y)


class Params(Mapping[str, Parameter]):
    """The declared parameters of a run: a mapping whose entries are attributes as well.

    Example:
        >>> params = Params({"max_iter": 100})
        >>> params.max_iter, dict(**params), params.get("depth", 3)
        (100, {'max_iter': 100}, 3)
    """

    def __init__(self, values: Mapping[str, Parameter]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> Parameter:
        return self._values[name]

    def __getattr__(self, name: str) -> Parameter:
        if name.startswith("_") or name not in self._values:
            known = ", ".join(self.__dict__.get("_values", ())) or "none"
            raise AttributeError(f"there is no parameter {name!r}; declared with params=: {known}")
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Params({self._values!r})"
