"""Frames of polars, pandas and Arrow as sources."""

from __future__ import annotations

from typing import Any

import polars as pl

from holdfast.data.errors import SourceError
from holdfast.data.readers.files import code
from holdfast.data.readers.reading import Reading
from holdfast.data.records import Provenance


def read_frame(frame: Any) -> Reading:
    """The rows of a polars DataFrame or LazyFrame, a pandas DataFrame, or anything that speaks Arrow.

    Raises:
        SourceError: it is no frame, or has a column that polars cannot take over, such as mixed Python objects.
    """
    kind, rows = _polars(frame)
    if rows.width == 0:
        raise SourceError(f"the {kind} has no columns", hint="hand over a frame with rows and columns")

    return Reading(lambda: iter((rows,)), lambda: Provenance("frame", kind, code=code()), in_memory=True)


def _polars(frame: Any) -> tuple[str, pl.DataFrame]:
    if isinstance(frame, pl.DataFrame):
        return "polars DataFrame", frame
    module = type(frame).__module__.partition(".")[0]
    kind = f"{module} {type(frame).__name__}"
    try:
        if isinstance(frame, pl.LazyFrame):
            return "polars LazyFrame", frame.collect()
        if module == "pandas" and type(frame).__name__ == "DataFrame":
            return kind, pl.from_pandas(frame)
        if hasattr(frame, "__arrow_c_stream__"):
            return kind, pl.DataFrame(frame)
    except ModuleNotFoundError as error:
        raise SourceError(
            f"a {kind} cannot be read without {error.name}", hint=f"type `pip install {error.name}`"
        ) from error
    except Exception as error:
        # Whatever the other library says of its own columns: one sentence of it is what the user can act on.
        reason = str(error).strip().splitlines()
        raise SourceError(
            f"the {kind} cannot be read ({reason[0] if reason else type(error).__name__})",
            hint="give every column one type",
        ) from error
    raise SourceError(
        f"{type(frame).__name__} is no source of rows",
        hint="hand over a file's path, or a polars, pandas or pyarrow frame",
    )
