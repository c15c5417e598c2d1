"""Features at request time: looked up by entity, and fresh with the last accepted label.

Only versions with feature views pay for this. What a request carried is remembered until its label comes; an
accepted label is pushed through the views before the caller hears of it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from holdfast.base.blobs import Blobs
from holdfast.base.clock import Micros
from holdfast.base.home import Home
from holdfast.features.records import FeatureView
from holdfast.serving.plane.bundles import Bundles
from holdfast.serving.records import LabelFrame, ServedVersion

if TYPE_CHECKING:
    from holdfast.features.online import OnlineStore, OnlineTable

logger = logging.getLogger(__name__)

LookedUp = Mapping[str, Sequence[Sequence[Any]]]
"""By the URN of a feature view: its columns, each with one value a row."""


class Lookups:
    """The online store of a worker, opened when the first version with feature views is loaded."""

    def __init__(self, home: Home, project: str, blobs: Blobs) -> None:
        self._folder = home.online / project
        self._blobs = blobs
        self._bundles = Bundles(blobs, home.tmp / "bundles")
        self._store: OnlineStore | None = None

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

        # The same version of a view may come with several bundles; its code is the same in each.
        views = {
            view.urn: (view, function) for item in with_views for view, function in self._bundles.views(item)
        }
        time = self._bundles.table_time(with_views[-1])
        table = OnlineTable(self.store(), champion.contract, time, list(views.values()))
        for item in with_views:
            if item.history is not None:
                table.seed(self._blobs.path(item.history), item.history)
        return DeploymentFeatures(self.store(), table, (champion.contract, pinned))

    def store(self) -> OnlineStore:
        if self._store is None:
            from holdfast.features.online import OnlineStore

            self._store = OnlineStore(self._folder)
        return self._store


class DeploymentFeatures:
    """The views of one deployment in one worker. `pinned` identifies what it was made of."""

    def __init__(self, store: OnlineStore, table: OnlineTable, pinned: Any) -> None:
        self.pinned = pinned
        self._store = store
        self._table = table
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
        count = len(columns[0])
        for view in views:
            if view.urn in known:
                found[view.urn] = known[view.urn]
                continue
            keys = [columns[names.index(name)] for name in view.spec.entity]
            entities = list(zip(*keys, strict=True)) if keys else [()] * count
            different = list(dict.fromkeys(entities))
            values = dict(zip(different, self._store.lookup(view, different, at), strict=True))
            nothing = (None,) * len(view.columns)
            found[view.urn] = list(zip(*(values[entity] or nothing for entity in entities), strict=True))
        return found

    def times(self, rows: Sequence[dict[str, Any]]) -> list[Micros]:
        """The event time of each row.

        Raises:
            InvalidError: it cannot be computed, which makes the request invalid.
        """
        return self._table.event_times(rows)

    def remember(
        self, request_id: str, at: Micros, rows: Sequence[dict[str, Any]], times: Sequence[Micros]
    ) -> None:
        """Keeps the inputs of an answered request until their labels come."""
        self._table.on_predict([f"p_{request_id}.{row}" for row in range(len(rows))], at, rows, times)

    def push(self, labels: LabelFrame) -> None:
        """Brings the views up to date with accepted labels; when it returns, lookups see them.

        Raises:
            OnlineStoreError: the store cannot be written.
        """
        with self._lock:
            outcome = self._table.on_labels(labels.ids, labels.values, labels.known_at)
        for failure in outcome.failures:
            logger.error("a feature view keeps its last values: %s", failure)
