"""The nouns of features: view, version."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from holdfast.base.clock import Micros
from holdfast.data.records import TableSpec

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


class ViewDraft(msgspec.Struct, frozen=True):
    """A view to register: its declaration, the features that it gives, and its table as it was declared."""

    spec: FeatureViewSpec
    columns: tuple[str, ...]
    table: TableSpec | None = None


class RegisterFeaturesRequest(msgspec.Struct, frozen=True):
    """The views and services of one file, with its code as `base.bundle.encode` packs it."""

    bundle: bytes
    entry: str
    views: tuple[ViewDraft, ...]
    services: tuple[FeatureServiceSpec, ...] = ()


class RegisteredFeatures(msgspec.Struct, frozen=True):
    """The versions that the views and services of a file have."""

    views: tuple[FeatureView, ...]
    services: tuple[FeatureServiceVersion, ...] = ()


class GetViewCodeRequest(msgspec.Struct, frozen=True):
    """The code of one version of a view, by number or `latest`."""

    name: str
    version: str


class ViewCode(msgspec.Struct, frozen=True):
    """What a view is computed with: the blob of its code, the entry file, its table with an absolute source."""

    view: FeatureView
    bundle: str
    entry: str
    table: TableSpec | None


class ListServicesRequest(msgspec.Struct, frozen=True):
    """All feature services of the project in their newest versions."""


class FeatureServiceList(msgspec.Struct, frozen=True):
    """Feature services by name."""

    services: tuple[FeatureServiceVersion, ...]


class GetServiceRequest(msgspec.Struct, frozen=True):
    """One version of a feature service, by number or `latest`."""

    name: str
    version: str


class Materialization(msgspec.Struct, frozen=True):
    """That a view's rows were brought to the online store: those that counted after `from_at` (None: all) and by
    `to_at`."""

    view: str
    from_at: Micros | None
    to_at: Micros
    rows: int
    entities: int
    finished_at: Micros = 0
    by: str = ""


class RecordMaterializationRequest(msgspec.Struct, frozen=True):
    """Tells that a view was materialized; `view` is its URN."""

    materialization: Materialization


class ListMaterializationsRequest(msgspec.Struct, frozen=True):
    """The last materializations of a view (all of its versions), newest first."""

    name: str
    limit: int = 20


class MaterializationList(msgspec.Struct, frozen=True):
    """Materializations, newest first."""

    materializations: tuple[Materialization, ...]


class PushRequest(msgspec.Struct, frozen=True):
    """Rows for a view's online values: each has `time` (ISO 8601), the entity's keys, and every feature; for an
    aggregated view every column that it aggregates. `available_at` and `created_at` may be among them.
    """

    name: str
    rows: tuple[dict[str, Any], ...]
    version: str = "latest"


class Pushed(msgspec.Struct, frozen=True):
    """What was written."""

    view: str
    rows: int
    entities: int


class ForgetEntityRequest(msgspec.Struct, frozen=True):
    """Deletes what online stores keep of an entity, named by its keys."""

    entity: dict[str, str | int | float | bool]


class ForgottenEntity(msgspec.Struct, frozen=True):
    """From which views something was deleted, how many rows and waiting inputs of labelled tables, and which views
    are about the entity together with other keys and must be asked for with all of them."""

    views: tuple[str, ...]
    rows: int = 0
    needing_more_keys: tuple[str, ...] = ()
