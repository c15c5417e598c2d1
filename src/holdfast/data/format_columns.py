"""Formats of whole columns: whether strings fit, and which format they all have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import polars as pl

from holdfast.data.formats import FORMATS, python_pattern

# `date` and the rest are looked for only where there are enough strings to say: `1.1.1.1` may be one version.
INFERRED = ("uuid", "email", "url", "ipv4", "date")
INFER_ROWS_LEAST = 20


def fits(column: pl.Expr, format_: str | None, pattern: str | None) -> pl.Expr:
    """Whether strings fit, as a boolean expression; null where the string is."""
    if pattern is None:
        return column.str.contains(rf"^(?:{FORMATS[format_ or '']})\z")
    return column.map_batches(lambda texts: _fits_pattern(texts, pattern), return_dtype=pl.Boolean)


def infer_format(texts: pl.Series) -> str | None:
    """The one format that all strings of a column have, when there are enough of them to say."""
    present = texts.drop_nulls()
    if len(present) < INFER_ROWS_LEAST:
        return None
    return next(iter(fitting(present, INFERRED)), None)


def fitting(texts: pl.Series, formats: Sequence[str]) -> tuple[str, ...]:
    """Those of some formats that all strings have; a few strings rule most of them out at once."""
    frame = texts.to_frame("x")
    few = frame.head(INFER_ROWS_LEAST)
    return tuple(
        name
        for name in formats
        if few.select(fits(pl.col("x"), name, None).all()).item()
        and frame.select(fits(pl.col("x"), name, None).all()).item()
    )


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(python_pattern(None, pattern) or "")


def _fits_pattern(texts: pl.Series, pattern: str) -> pl.Series:
    """Judged once a different string: columns repeat themselves, and Python is slow."""
    different = texts.drop_nulls().unique()
    search = _compiled(pattern).search
    fitting = pl.Series([text for text in different.to_list() if search(text) is not None], dtype=pl.String)
    return texts.is_in(fitting.implode())
