"""The verbs of features: record a definition's version, list and show views."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from blake3 import blake3

from holdfast.base import events, lineage, urn
from holdfast.base.clock import Micros
from holdfast.base.context import Context
from holdfast.base.encoding import to_msgpack
from holdfast.base.ledger.protocol import Ledger, Reader, Transaction
from holdfast.base.operations import operation
from holdfast.features import store
from holdfast.features.errors import ViewNotFoundError
from holdfast.features.records import (
    FeatureView,
    FeatureViewSpec,
    GetViewRequest,
    ListViewsRequest,
    ViewList,
)

_LATEST = "latest"
_PREFIX = "features/"
_WORDS = ("entity_name", "owner", "tags")
_LATER = ("aggregations", "table_digest", "kind", "parameters")


class FeatureService:
    """Feature views and their versions in one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @operation("GET", "/features", "List the feature views of the project in their newest versions.")
    def list_views(self, context: Context, request: ListViewsRequest) -> ViewList:
        with self._ledger.read() as reader:
            return ViewList(tuple(store.list_latest(reader, context.project)))

    @operation(
        "GET", "/features/{name}/versions/{version}", "Show one version of a view, by number or latest."
    )
    def get_view(self, context: Context, request: GetViewRequest) -> FeatureView:
        with self._ledger.read() as reader:
            return self.find(reader, context, request.name, request.version)

    def view(self, context: Context, view_urn: str) -> FeatureView:
        """The view of a URN such as `features/demand_history@2`.

        Raises:
            ViewNotFoundError: there is no such view or version; says which there are.
        """
        name, _, version = view_urn.removeprefix(_PREFIX).partition("@")
        with self._ledger.read() as reader:
            return self.find(reader, context, name, version)

    def record_view(
        self,
        transaction: Transaction,
        context: Context,
        spec: FeatureViewSpec,
        columns: Sequence[str],
        at: Micros,
        dataset: str | None = None,
    ) -> FeatureView:
        """Registers a definition; the same code, entity, TTL and lookback are the version that they were before.

        Args:
            columns: the features that the function returned.
            dataset: the URN of the dataset version that it was computed from, for the lineage.

        Raises:
            InvalidError: the view's name is not a name.
        """
        urn.check_name(spec.name, "feature view")
        view = self._known_or_new(transaction, context, spec, tuple(columns), at)
        if spec.table:
            source = dataset or f"data/{spec.table}"
            lineage.record_edge(transaction, context, source, "computed into", view.urn, at)
        return view

    def _known_or_new(
        self,
        transaction: Transaction,
        context: Context,
        spec: FeatureViewSpec,
        columns: tuple[str, ...],
        at: Micros,
    ) -> FeatureView:
        digest = _digest(spec, columns)
        known = store.find_digest(transaction, context.project, spec.name, digest)
        if known is not None:
            return known
        number = store.latest_number(transaction, context.project, spec.name) + 1
        view = FeatureView(spec.name, number, spec, columns, digest, at, context.actor.name)
        store.insert_view(transaction, context.project, view)
        events.emit(transaction, context, "features.versioned", {"name": view.name, "version": number}, at)
        return view

    def find(self, reader: Reader, context: Context, name: str, version: str) -> FeatureView:
        """One version of a view, by number or `latest`, in a transaction that has begun.

        Raises:
            ViewNotFoundError: there is no such view or version; says which there are.
        """
        newest = store.latest_number(reader, context.project, name)
        number = newest if version == _LATEST else int(version) if version.isdecimal() else -1
        found = store.find_view(reader, context.project, name, number)
        if found is not None:
            return found
        if newest:
            raise ViewNotFoundError(
                f"the feature view {name!r} has no such version", hint=f"its versions are 1 to {newest}"
            )
        names = ", ".join(view.name for view in store.list_latest(reader, context.project))
        raise ViewNotFoundError(
            f"there is no feature view {name!r}",
            hint=f"there are: {names}" if names else "train a model that declares @hf.features first",
        )


def _digest(spec: FeatureViewSpec, columns: tuple[str, ...]) -> str:
    """What makes a version: all that is declared but words about it, and the columns that came out.

    What a later release added to the declaration counts only where it is used, so that a view that uses none of
    it keeps its version.
    """
    defined = msgspec.structs.asdict(spec) | {"description": ""}
    for name in _WORDS:
        del defined[name]
    for name in _LATER:
        if not defined[name] or defined[name] == "table":
            del defined[name]
    return blake3(to_msgpack([defined, columns])).hexdigest()
