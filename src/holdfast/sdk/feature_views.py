"""`hf.Entity`, `@hf.features`, `@hf.request_features`, `hf.FeatureService`: features, defined once for both paths."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from holdfast.base.errors import DeclarationError
from holdfast.features.records import Aggregation, FeatureServiceSpec, FeatureViewSpec, ServiceMember
from holdfast.sdk import checks
from holdfast.sdk.code_digest import code_digest
from holdfast.sdk.table import Table

if TYPE_CHECKING:
    import polars as pl

F = TypeVar("F", bound="Callable[[pl.LazyFrame], pl.LazyFrame]")
R = TypeVar("R", bound="Callable[..., Any]")


class Entity:
    """Who or what features are about: a name and the columns whose values name one of them.

    Args:
        name: such as `carrier`.
        keys: the key columns; by default one of the entity's name.
        description: one sentence for whoever looks for features.

    Example:
        >>> Entity("carrier").keys
        ('carrier',)
    """

    def __init__(self, name: str, keys: str | Sequence[str] | None = None, description: str = "") -> None:
        self.name = checks.name(name, "entity")
        self.keys = checks.names(keys, "keys") or (name,)
        self.description = description

    def __repr__(self) -> str:
        return f"Entity({self.name!r}, keys={self.keys!r})"


def features(
    *,
    ttl: str | timedelta | None = None,
    table: Table | None = None,
    lookback: str | timedelta | None = None,
    entity: Entity | str | Sequence[str] | None = None,
    name: str | None = None,
    aggregate: Sequence[Aggregation | Sequence[Aggregation]] = (),
    owner: str = "",
    tags: Sequence[str] = (),
) -> Callable[[F], F]:
    """Declares a function of a table's rows as a feature view.

    The function receives the table as a polars LazyFrame (its columns, `time`, and the label) and returns a frame
    with `time`, the entity columns where there are some, and the features. A row at time t may use only what
    was known at t; training proves that on a sample and refuses the model otherwise. Where it also returns
    `available_at`, a row may be used from then on only; where it returns `created_at`, that decides between rows
    of one time. With `aggregate` it returns the rows to aggregate, and the features are the aggregations.

    Args:
        ttl: how long a value may be used after its time (inclusive). With `aggregate` how old the entity's latest
            row may be; the longest window by default.
        table: the table; by default the table named like the function's parameter.
        lookback: how much history the function needs for one row; `ttl` by default.
        entity: who the features are about; the table's key by default.
        name: the view's name; the function's by default.
        aggregate: what `hf.aggregate.sum`, `mean`, `count`, `distinct`, `last`, `min` and `max` return.
        owner: whom to ask.
        tags: words to find it by.

    Raises:
        DeclarationError: at once, where the declaration is written.

    Example:
        @hf.features(ttl="14d")
        def demand_history(rides: pl.LazyFrame) -> pl.LazyFrame:
            return rides.select(pl.col("time") + pl.duration(hours=1), pl.col("cnt").alias("cnt_1h"))
    """
    aggregations = _flat(aggregate)
    longest = max((one.window_us for one in aggregations), default=None)
    if ttl is None and longest is None:
        raise DeclarationError("ttl: say how long a value may be used", hint='write @hf.features(ttl="7d")')
    ttl_us = checks.span(ttl, "ttl") if ttl is not None else longest or 0
    back_us = checks.span(lookback, "lookback") if lookback is not None else None
    keys = entity.keys if isinstance(entity, Entity) else checks.names(entity, "entity")

    def declare(function: F) -> F:
        spec = FeatureViewSpec(
            name=checks.name(name or function.__name__, "feature view"),
            table=table.spec.name if table else _only_parameter(function),
            ttl_us=ttl_us,
            lookback_us=(longest or 0) + (back_us or 0)
            if aggregations
            else ttl_us
            if back_us is None
            else back_us,
            entity=keys if entity is not None else table.spec.key if table else (),
            description=inspect.getdoc(function) or "",
            code_digest=code_digest(function),
            aggregations=aggregations,
            table_digest=table.digest if table is not None else "",
            entity_name=entity.name if isinstance(entity, Entity) else "",
            owner=owner,
            tags=checks.names(tags, "tags"),
        )
        function.__holdfast_features__ = spec  # type: ignore[attr-defined]
        function.__holdfast_feature_table__ = table  # type: ignore[attr-defined]
        function.select = _selector(spec)  # type: ignore[attr-defined]
        return function

    return declare


def request_features(
    *, name: str | None = None, owner: str = "", tags: Sequence[str] = ()
) -> Callable[[R], R]:
    """Declares a plain Python function as features that are computed from each request.

    Its parameters are named like fields of the request, or like features of the views that stand before it in the
    model; `time` is the row's event time as a naive datetime in UTC. It returns a dict of numbers, booleans or
    strings, always with the same keys. In training it runs row by row over the same values, so it may do nothing
    but compute: no clock, no files, no network.

    Example:
        @hf.request_features()
        def speed(distance: float, air_time: float | None) -> dict[str, float | None]:
            return {"speed": distance / air_time if air_time else None}
    """

    def declare(function: R) -> R:
        parameters = inspect.signature(function).parameters.values()
        if not parameters or any(
            one.kind not in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY) for one in parameters
        ):
            raise DeclarationError(
                f"{function.__name__}: a function of the request takes its fields by name",
                hint="name each parameter like a field of the request or a feature",
            )
        spec = FeatureViewSpec(
            name=checks.name(name or function.__name__, "feature view"),
            table="",
            ttl_us=0,
            lookback_us=0,
            description=inspect.getdoc(function) or "",
            code_digest=code_digest(function),
            kind="request",
            parameters=tuple(one.name for one in parameters),
            owner=owner,
            tags=checks.names(tags, "tags"),
        )
        function.__holdfast_features__ = spec  # type: ignore[attr-defined]
        function.select = _selector(spec)  # type: ignore[attr-defined]
        return function

    return declare


class FeatureService:
    """A named set of features, pinned to the versions of their views when it is registered.

    Args:
        name: the service's name, unique in its project.
        features: views, or some features of one by `view.select("a", "b")`.
        description: one sentence for whoever looks for features.
        owner: whom to ask.
        tags: words to find it by.

    Raises:
        DeclarationError: something else is among the features, or a view twice.

    Example:
        service = hf.FeatureService("delays", [weather_now, carrier_record.select("late_mean_1d")])
    """

    def __init__(
        self,
        name: str,
        features: Sequence[Any],
        *,
        description: str = "",
        owner: str = "",
        tags: Sequence[str] = (),
    ) -> None:
        members = tuple(_member(item) for item in features)
        names = [member.view for member in members]
        twice = sorted({one for one in names if names.count(one) > 1})
        if not members or twice:
            what = f"the view {twice[0]} is in it twice" if twice else "it has no features"
            raise DeclarationError(
                f"{name}: {what}", hint="name each view once, with view.select for some of it"
            )
        self.spec = FeatureServiceSpec(
            checks.name(name, "feature service"), members, description, owner, checks.names(tags, "tags")
        )
        self.__holdfast_feature_service__ = self.spec

    def __repr__(self) -> str:
        return f"FeatureService({self.spec.name!r})"


def feature_spec(item: Any) -> FeatureViewSpec:
    """The declaration of a decorated function.

    Raises:
        DeclarationError: it is none.
    """
    spec = getattr(item, "__holdfast_features__", None)
    if not isinstance(spec, FeatureViewSpec):
        raise DeclarationError(
            f"features: {getattr(item, '__name__', item)!r} is not a feature view",
            hint='put @hf.features(ttl="7d") above it',
        )
    return spec


def _member(item: Any) -> ServiceMember:
    return item if isinstance(item, ServiceMember) else ServiceMember(feature_spec(item).name)


def _selector(spec: FeatureViewSpec) -> Callable[..., ServiceMember]:
    def select(*columns: str) -> ServiceMember:
        """Some features of this view, for a feature service."""
        known = [one.name for one in spec.aggregations]
        for column in columns:
            if known and column not in known:
                raise DeclarationError(
                    f"{spec.name} has no feature {column!r}", hint=f"it has: {', '.join(known)}"
                )
        if not columns:
            raise DeclarationError(f"{spec.name}: select names at least one feature")
        return ServiceMember(spec.name, checks.names(columns, "select"))

    return select


def _flat(aggregate: Iterable[Aggregation | Sequence[Aggregation]]) -> tuple[Aggregation, ...]:
    found: list[Aggregation] = []
    for item in aggregate:
        found += [item] if isinstance(item, Aggregation) else list(item)
    for one in found:
        if not isinstance(one, Aggregation):
            raise DeclarationError(
                f"aggregate: {one!r} does not belong here", hint='write hf.aggregate.mean("late", over="1h")'
            )
    names = [one.name for one in found]
    twice = sorted({one for one in names if names.count(one) > 1})
    if twice:
        raise DeclarationError(f"aggregate: {twice[0]} is declared twice", hint="give one of them a name=")
    return tuple(found)


def _only_parameter(function: Callable[..., object]) -> str:
    parameters = list(inspect.signature(function).parameters)
    if len(parameters) != 1:
        raise DeclarationError(
            f"{function.__name__}: a feature function takes exactly one parameter, its table",
            hint="name the parameter like the table, or pass table=",
        )
    return parameters[0]
