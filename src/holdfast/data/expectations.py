"""Expectations: plain Python functions on a frame, for what a contract cannot say.

A function takes the frame and answers with whether all is well (True or None, or False), or with one boolean a row,
as a polars expression or series; a failed `assert` counts as False and its message is kept.

    def expect_parts_to_add_up(rides):
        return pl.col("casual") + pl.col("registered") == pl.col("cnt")
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from holdfast.data.errors import ExpectationError
from holdfast.data.records import Violation

PREFIX = "expect_"
_EXAMPLES = 3
Expectation = Callable[[pl.DataFrame], Any]


def find_expectations(namespace: Mapping[str, Any]) -> list[Expectation]:
    """The functions of a module whose names begin with `expect_`, in the order in which they stand there."""
    return [
        value for name, value in namespace.items() if name.startswith(PREFIX) and inspect.isfunction(value)
    ]


def check_expectation(frame: pl.DataFrame, expectation: Expectation) -> Violation | None:
    """What one function says of a frame; None when all is well. A null counts as well: nothing is known of it.

    Raises:
        ExpectationError: the function raised, or answered with something else.

    Example:
        >>> def expect_warmth(rides):
        ...     return pl.col("temp") > 0
        >>> check_expectation(pl.DataFrame({"temp": [0.5, -3.0]}), expect_warmth).rows
        (2,)
    """
    name = expectation.__name__
    what = (inspect.getdoc(expectation) or name.removeprefix(PREFIX).replace("_", " ")).splitlines()[0]
    try:
        answer = expectation(frame)
        if isinstance(answer, pl.Expr):
            answer = frame.select(answer).to_series()
    except AssertionError as error:
        return _failed(name, frame.height, f"{name}: {error}" if str(error) else f"{name}: not so: {what}")
    except Exception as error:
        raise ExpectationError(
            f"{name} raised {type(error).__name__}: {' '.join(str(error).split())[:300]}",
            hint="correct the function; it gets the whole frame as polars reads the file",
        ) from error
    if isinstance(answer, pl.Series) and answer.dtype == pl.Boolean and len(answer) in (1, frame.height):
        return _of_rows(name, what, frame, answer)
    if answer is None or isinstance(answer, bool):
        return None if answer in (None, True) else _failed(name, frame.height, f"{name}: not so: {what}")
    raise ExpectationError(
        f"{name} answered {type(answer).__name__}",
        hint="answer True, False, None, or one boolean a row as a polars expression or series",
    )


def _failed(name: str, rows: int, message: str) -> Violation:
    return Violation("expectation", name, rows, message)


def _of_rows(name: str, what: str, frame: pl.DataFrame, answer: pl.Series) -> Violation | None:
    wrong = (~answer).fill_null(False).arg_true()
    if not len(wrong):
        return None
    if len(answer) == 1:
        return _failed(name, frame.height, f"{name}: not so: {what}")
    first = wrong.head(_EXAMPLES).to_list()
    examples = tuple(str(frame.row(index, named=True))[:200] for index in first)
    message = f"{name}: not so in {len(wrong)} of {frame.height} rows: {what}"
    rows = tuple(index + 1 for index in first)
    return Violation("expectation", name, len(wrong), message, "error", examples, rows)
