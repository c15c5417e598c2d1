"""The verbs that change online features through the server: push rows, and forget an entity."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from holdfast.base import audit
from holdfast.base.clock import Clock
from holdfast.base.context import Context
from holdfast.base.errors import InvalidError
from holdfast.base.home import Home
from holdfast.base.ledger.protocol import Ledger
from holdfast.base.operations import operation
from holdfast.features import store
from holdfast.features.records import (
    ForgetEntityRequest,
    ForgottenEntity,
    GetViewRequest,
    Pushed,
    PushRequest,
)
from holdfast.features.service import FeatureService

if TYPE_CHECKING:
    from holdfast.features.online.backend import OnlineBackend
    from holdfast.features.online.store import OnlineStore


class OnlineFeatures:
    """Writes to the online store of a project without running anybody's code.

    What reads and writes frames is imported by the first call: a server that nobody pushes to starts without it.
    """

    def __init__(self, ledger: Ledger, clock: Clock, home: Home, features: FeatureService) -> None:
        self._ledger = ledger
        self._clock = clock
        self._home = home
        self._features = features
        self._stores: dict[tuple[str, str], OnlineBackend] = {}
        self._lock = threading.Lock()

    @operation("POST", "/features/{name}/push", "Write rows of a view to the online store, in any order.")
    def push(self, context: Context, request: PushRequest) -> Pushed:
        from holdfast.features.online.writing import write_view
        from holdfast.features.pushing import pushed_frame

        view = self._features.get_view(context, GetViewRequest(request.name, request.version))
        now = self._clock.now()
        rows = pushed_frame(view, request.rows, now)
        entities = write_view(self._store(context.project), view, rows, now)
        return Pushed(view.urn, rows.height, entities)

    @operation("POST", "/features/forget", "Delete what the online stores keep of an entity.")
    def forget(self, context: Context, request: ForgetEntityRequest) -> ForgottenEntity:
        from holdfast.features.online.writing import forget_entity

        if not request.entity:
            raise InvalidError("no entity is named", hint='name its keys, e.g. {"customer": 42}')
        with self._ledger.read() as reader:
            views = store.list_all(reader, context.project)
        asked = request.entity
        about = [view for view in views if set(view.spec.entity) & set(asked)]
        found = [view for view in about if set(view.spec.entity) <= set(asked)]
        configured, local = self._store(context.project), self._local(context.project)
        rows = local.forget_rows(asked)
        forgotten = set()
        for view in found:
            entity = tuple(asked[name] for name in view.spec.entity)
            for backend in (configured, local):
                if forget_entity(backend, view, entity):
                    forgotten.add(view.urn)
        more = {view.urn for view in about} - {view.urn for view in found}
        self._audit(context, asked, sorted(forgotten))
        return ForgottenEntity(tuple(sorted(forgotten)), rows, tuple(sorted(more)))

    def _audit(self, context: Context, entity: Mapping[str, Any], views: list[str]) -> None:
        """Who had something deleted, and where; the trail names the keys, not the person's values."""
        detail = {"keys": sorted(entity), "views": views}
        now = self._clock.now()
        self._ledger.write(
            lambda transaction: audit.record(transaction, context, "features.forget", "features", detail, now)
        )

    def _store(self, project: str) -> OnlineBackend:
        """The configured store."""
        from holdfast.base.config import load

        return self._opened(project, load().online)

    def _local(self, project: str) -> OnlineStore:
        """The file that labels feed; it is the configured store where no other is named."""
        from holdfast.features.online.store import OnlineStore

        found = self._opened(project, "")
        assert isinstance(found, OnlineStore)
        return found

    def _opened(self, project: str, address: str) -> OnlineBackend:
        """LMDB must not be opened twice by one process, so each store is opened once and kept."""
        from holdfast.features.online.opening import open_online

        with self._lock:
            if (project, address) not in self._stores:
                self._stores[project, address] = open_online(self._home, project, address)
            return self._stores[project, address]
