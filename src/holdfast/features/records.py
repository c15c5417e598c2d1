"""The nouns of features: view, version."""

from __future__ import annotations

from typing import Literal

import msgspec

from holdfast.base.clock import Micros

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
    """What a user declares with `@hf.features`.

    A value may be used for `ttl_us` after its time (inclusive). `lookback_us` is how much history of its table
    the function needs to compute one row. `entity` are the key columns, none for a single series.
    """

    name: str
    table: str
    ttl_us: int
    lookback_us: int
    entity: tuple[str, ...] = ()
    description: str = ""
    code_digest: str = ""


class FeatureView(msgspec.Struct, frozen=True):
    """A version of a definition: any change of code, TTL, lookback or entity makes a new one."""

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


class ListViewsRequest(msgspec.Struct, frozen=True):
    """All feature views of the project in their newest versions."""


class ViewList(msgspec.Struct, frozen=True):
    """Feature views by name."""

    views: tuple[FeatureView, ...]


class GetViewRequest(msgspec.Struct, frozen=True):
    """One version of a feature view, by number or `latest`."""

    name: str
    version: str
