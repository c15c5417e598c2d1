"""Which online store a project uses: LMDB in the home, or the Redis that the setting `online` names."""

from __future__ import annotations

from holdfast.base.config import load
from holdfast.base.home import Home
from holdfast.features.errors import OnlineStoreError
from holdfast.features.online.backend import OnlineBackend
from holdfast.features.online.store import OnlineStore


def open_online(home: Home, project: str, setting: str | None = None) -> OnlineBackend:
    """Opens the online store of a project.

    Args:
        setting: `redis://…`, or empty for LMDB in the home; that of the configuration by default.

    Raises:
        OnlineStoreError: it cannot be opened, or the setting names no store.
    """
    address = load().online if setting is None else setting
    if not address:
        return OnlineStore(home.online / project)
    if not address.startswith(("redis://", "rediss://", "unix://")):
        raise OnlineStoreError(
            f"the setting online = {address!r} names no online store",
            hint="write redis://host:6379/0 or nothing",
        )
    from holdfast.features.online.redis_store import RedisStore

    return RedisStore(address, project)
