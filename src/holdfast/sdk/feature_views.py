"""`@hf.features`: a feature view as one function, run the same for training and for serving."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from blake3 import blake3

from holdfast.base.errors import DeclarationError
from holdfast.features.records import FeatureViewSpec
from holdfast.sdk import checks
from holdfast.sdk.table import Table

if TYPE_CHECKING:
    import polars as pl

F = TypeVar("F", bound="Callable[[pl.LazyFrame], pl.LazyFrame]")


def features(
    *,
    ttl: str | timedelta,
    table: Table | None = None,
    lookback: str | timedelta | None = None,
    entity: str | Sequence[str] | None = None,
    name: str | None = None,
) -> Callable[[F], F]:
    """Declares a function of a table's rows as a feature view.

    The function receives the table as a polars LazyFrame (its columns, `time`, and the label) and returns a frame
    with `time`, the entity columns where there are some, and the features. A row at time t may use only what
    was known at t; training proves that on a sample and refuses the model otherwise.

    Args:
        ttl: how long a value may be used after its time (inclusive).
        table: the table; by default the table named like the function's parameter.
        lookback: how much history the function needs for one row; `ttl` by default.
        entity: the columns that name the entity; the table's key by default.
        name: the view's name; the function's by default.

    Example:
        @hf.features(ttl="14d")
        def demand_history(rides: pl.LazyFrame) -> pl.LazyFrame:
            return rides.select(pl.col("time") + pl.duration(hours=1), pl.col("cnt").alias("cnt_1h"))
    """

    def declare(function: F) -> F:
        spec = FeatureViewSpec(
            name=checks.name(name or function.__name__, "feature view"),
            table=table.spec.name if table else _only_parameter(function),
            ttl_us=checks.span(ttl, "ttl"),
            lookback_us=checks.span(lookback if lookback is not None else ttl, "lookback"),
            entity=checks.names(entity, "entity") if entity is not None else table.spec.key if table else (),
            description=inspect.getdoc(function) or "",
            code_digest=_code_digest(function),
        )
        function.__holdfast_features__ = spec  # type: ignore[attr-defined]
        return function

    return declare


def _only_parameter(function: Callable[..., object]) -> str:
    parameters = list(inspect.signature(function).parameters)
    if len(parameters) != 1:
        raise DeclarationError(
            f"{function.__name__}: a feature function takes exactly one parameter, its table",
            hint="name the parameter like the table, or pass table=",
        )
    return parameters[0]


def _code_digest(function: Callable[..., object]) -> str:
    try:
        source = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        source = function.__code__.co_code.hex()  # a function without a file, as in an interactive session
    return blake3(source.encode()).hexdigest()
