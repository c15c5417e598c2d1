"""Features at request time: looked up by entity, and fresh with the last accepted label.

Only versions with feature views pay for this. What a request carried is remembered until its label comes; an
accepted label is pushed through the views before the caller hears of it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from holdfast.base.blobs import Blobs
from holdfast.base.clock import Micros, to_datetime
from holdfast.base.config import load
from holdfast.base.errors import UserCodeError
from holdfast.base.home import Home
from holdfast.features.errors import RequestFeatureError
from holdfast.features.records import FeatureView
from holdfast.serving.plane.bundles import Bundles
from holdfast.serving.records import LabelFrame, ServedVersion

if TYPE_CHECKING:
    from holdfast.features.online import OnlineStore, OnlineTable
    from holdfast.features.online.backend import OnlineBackend

logger = logging.getLogger(__name__)

TIME = "time"

LookedUp = Mapping[str, Sequence[Sequence[Any]]]
"""By the URN of a feature view: its columns, each with one value a row."""


class Lookups:
    """The online store of a worker, opened when the first version with feature views is loaded."""

    def __init__(self, home: Home, project: str, blobs: Blobs) -> None:
        self._folder = home.online / project
        self._blobs = blobs
        self._bundles = Bundles(blobs, home.tmp / "bundles")
        self._home, self._project = home, project
        self._store: OnlineStore | None = None
        self._materialized: OnlineBackend | None = None

    def of_deployment(
        self, versions: Iterable[ServedVersion], champion: ServedVersion, before: DeploymentFeatures | None
    ) -> DeploymentFeatures | None:
        """What the views of all loaded versions of a deployment need; None where no version has views.

        Raises:
            HoldfastError: code or history of a version cannot be loaded.
        """
        with_views = sorted((item for item in versions if item.views), key=lambda item: item.version)
        if not with_views:
            return None
        pinned = tuple((item.version, item.bundle) for item in with_views)
        if before is not None and before.pinned == (champion.contract, pinned):
            return before
        from holdfast.features.online import OnlineTable

        table_name = champion.contract.table

        # The same version of a view may come with several bundles; its code is the same in each.
        views = {
            view.urn: (view, function) for item in with_views for view, function in self._bundles.views(item)
        }
        time = self._bundles.table_time(with_views[-1])
        fed = [bound for bound in views.values() if is_fed_by_labels(bound[0], table_name)]
        table = OnlineTable(self.store(), champion.contract, time, fed)
        for item in with_views:
            if item.history is not None and fed:
                table.seed(self._blobs.path(item.history), item.history)
        materialized = any(_is_materialized(view, table_name) for view, _ in views.values())
        return DeploymentFeatures(
            self.store(),
            table,
            (champion.contract, pinned),
            materialized=self._materialized_store() if materialized else None,
            functions={
                view.urn: function for view, function in views.values() if view.spec.kind == "request"
            },
            labels_feed=bool(fed),
        )

    def _materialized_store(self) -> OnlineBackend:
        """Where materialized views are: the same file, unless the configuration names the store of a team."""
        from holdfast.features.online.opening import open_online

        if self._materialized is None:
            address = load().online
            self._materialized = open_online(self._home, self._project, address) if address else self.store()
        return self._materialized

    def store(self) -> OnlineStore:
        if self._store is None:
            from holdfast.features.online import OnlineStore

            self._store = OnlineStore(self._folder)
        return self._store


def is_fed_by_labels(view: FeatureView, table: str) -> bool:
    """Whether the labels of a table keep a view fresh; others are materialized, or computed on request."""
    return view.spec.kind == "table" and view.spec.table == table


def _is_materialized(view: FeatureView, table: str) -> bool:
    return view.spec.kind == "table" and view.spec.table != table


def compute_on_request(
    function: Callable[..., Any], view: FeatureView, values: Mapping[str, Sequence[Any]]
) -> Sequence[Sequence[Any]]:
    """The columns of a view that is computed from the request.

    Raises:
        RequestFeatureError: the function failed; nothing that the caller could change.
    """
    from holdfast.features.request import compute_request

    try:
        _, rows = compute_request(function, view.spec, values, view.columns)
    except UserCodeError as error:
        raise RequestFeatureError(str(error)) from error
    return list(zip(*rows, strict=True)) if rows else [()] * len(view.columns)


class DeploymentFeatures:
    """The views of one deployment in one worker. `pinned` identifies what it was made of."""

    def __init__(
        self,
        store: OnlineStore,
        table: OnlineTable,
        pinned: Any,
        *,
        materialized: OnlineBackend | None = None,
        functions: Mapping[str, Callable[..., Any]] | None = None,
        labels_feed: bool = True,
    ) -> None:
        self.pinned = pinned
        self._store = store
        self._table = table
        self._materialized = materialized
        self._functions = functions or {}
        self._labels_feed = labels_feed
        self._lock = threading.Lock()

    def look_up(
        self,
        views: Sequence[FeatureView],
        names: Sequence[str],
        columns: Sequence[Sequence[Any]],
        at: Micros,
        known: LookedUp,
    ) -> dict[str, Sequence[Sequence[Any]]]:
        """The features of each row as of `at`; `known` ones are not looked up again."""
        found: dict[str, Sequence[Sequence[Any]]] = {}
        for view in views:
            if view.urn in known:
                found[view.urn] = known[view.urn]
            elif view.spec.kind == "request":
                values = self._values(views, names, columns, found)
                found[view.urn] = compute_on_request(self._functions[view.urn], view, values)
            else:
                found[view.urn] = self._look_up_view(view, names, columns, at)
        return found

    def _look_up_view(
        self, view: FeatureView, names: Sequence[str], columns: Sequence[Sequence[Any]], at: Micros
    ) -> Sequence[Sequence[Any]]:
        keys = [columns[names.index(name)] for name in view.spec.entity]
        entities = list(zip(*keys, strict=True)) if keys else [()] * len(columns[0])
        different = list(dict.fromkeys(entities))
        store = self._store if self._materialized is None or self._table.feeds(view) else self._materialized
        values = dict(zip(different, store.lookup(view, different, at), strict=True))
        nothing = (None,) * len(view.columns)
        return list(zip(*(values[entity] or nothing for entity in entities), strict=True))

    def _values(
        self,
        views: Sequence[FeatureView],
        names: Sequence[str],
        columns: Sequence[Sequence[Any]],
        found: Mapping[str, Sequence[Sequence[Any]]],
    ) -> dict[str, Sequence[Any]]:
        """By name what a function of the request may take: the fields, the event time, the features so far."""
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        values: dict[str, Sequence[Any]] = dict(self._table.plain_columns(names, columns))
        values[TIME] = [to_datetime(at).replace(tzinfo=None) for at in self._table.event_times(rows)]
        for view in views:
            if view.urn in found:
                values.update(zip(view.columns, found[view.urn], strict=True))
        return values

    def times(self, rows: Sequence[dict[str, Any]]) -> list[Micros]:
        """The event time of each row.

        Raises:
            InvalidError: it cannot be computed, which makes the request invalid.
        """
        return self._table.event_times(rows)

    def remember(
        self, request_id: str, at: Micros, rows: Sequence[dict[str, Any]], times: Sequence[Micros]
    ) -> None:
        """Keeps the inputs of an answered request until their labels come, where features wait for these."""
        if not self._labels_feed:
            return
        self._table.on_predict([f"p_{request_id}.{row}" for row in range(len(rows))], at, rows, times)

    def push(self, labels: LabelFrame) -> None:
        """Brings the views up to date with accepted labels; when it returns, lookups see them.

        Raises:
            OnlineStoreError: the store cannot be written.
        """
        if not self._labels_feed:
            return
        with self._lock:
            outcome = self._table.on_labels(labels.ids, labels.values, labels.known_at)
        for failure in outcome.failures:
            logger.error("a feature view keeps its last values: %s", failure)
