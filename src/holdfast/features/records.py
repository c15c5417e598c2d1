"""The nouns of features: view, version."""

from __future__ import annotations

from typing import Literal

import msgspec

from holdfast.base.clock import Micros

ViewKind = Literal["table", "request"]
AggregationOp = Literal["sum", "mean", "count", "distinct", "last", "min", "max"]


class Aggregation(msgspec.Struct, frozen=True):
    """One windowed feature: `op` of `column` over the rows of the last `window_us`.

    At t these are the rows with `t - window < time <= t` that were available at t. `count` may do without a column.
    """

    name: str
    op: AggregationOp
    column: str | None
    window_us: int


class FeatureViewSpec(msgspec.Struct, frozen=True):
    """What a user declares with `@hf.features` or `@hf.request_features`.

    A value may be used for `ttl_us` after its time (inclusive). `lookback_us` is how much history of its table
    the function needs to compute one row. `entity` are the key columns, none for a single series. With
    `aggregations` the function's rows are aggregated over windows instead of being the features themselves.
    `table_digest` stands for how the table is declared. A view of `kind` request is computed from the request:
    `parameters` are the request's fields and the features of other views that its function takes.
    """

    name: str
    table: str
    ttl_us: int
    lookback_us: int
    entity: tuple[str, ...] = ()
    description: str = ""
    code_digest: str = ""
    aggregations: tuple[Aggregation, ...] = ()
    table_digest: str = ""
    kind: ViewKind = "table"
    parameters: tuple[str, ...] = ()
    entity_name: str = ""
    owner: str = ""
    tags: tuple[str, ...] = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that are aggregated."""
        return tuple(sorted({one.column for one in self.aggregations if one.column is not None}))


class FeatureView(msgspec.Struct, frozen=True):
    """A version of a definition: any change of code, table, TTL, lookback, entity or aggregations makes a new one."""

    name: str
    version: int
    spec: FeatureViewSpec
    columns: tuple[str, ...]
    digest: str
    created_at: Micros
    created_by: str

    @property
    def urn(self) -> str:
        return f"features/{self.name}@{self.version}"


class ServiceMember(msgspec.Struct, frozen=True):
    """A view in a feature service: all of its features, or some by name. `view` is a name, or pinned a URN."""

    view: str
    columns: tuple[str, ...] = ()


class FeatureServiceSpec(msgspec.Struct, frozen=True):
    """What a user declares with `hf.FeatureService`: a named set of features."""

    name: str
    members: tuple[ServiceMember, ...]
    description: str = ""
    owner: str = ""
    tags: tuple[str, ...] = ()


class FeatureServiceVersion(msgspec.Struct, frozen=True):
    """A service pinned to versions of its views; other members or versions make a new one."""

    name: str
    version: int
    spec: FeatureServiceSpec
    digest: str
    created_at: Micros
    created_by: str

    @property
    def urn(self) -> str:
        return f"feature-services/{self.name}@{self.version}"


class ListViewsRequest(msgspec.Struct, frozen=True):
    """All feature views of the project in their newest versions."""


class ViewList(msgspec.Struct, frozen=True):
    """Feature views by name."""

    views: tuple[FeatureView, ...]


class GetViewRequest(msgspec.Struct, frozen=True):
    """One version of a feature view, by number or `latest`."""

    name: str
    version: str
