"""The online store of a team: Redis, which several machines read and write.

A key of Redis is what the key in LMDB is, with the project before it. A change reads the values, works out the new
ones here, and hands both to one script, which Redis runs alone: it writes only if every value still has the digest it
was read with. Whoever was overtaken reads again. So a batch and its marks appear together, or not at all.

What an acknowledged write survives is what Redis is configured for (`appendonly yes` survives its death).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.base.clock import Micros
from holdfast.features.errors import OnlineStoreError
from holdfast.features.online.backend import Change, Found, Stored
from holdfast.features.online.packing import Entity, digest_key, entity_key, find_row, look_up
from holdfast.features.records import FeatureView

_ATTEMPTS = 50
_TIMEOUT_S = 5

_SWAP = """
local guarded = tonumber(ARGV[1])
for place = 1, guarded do
  local value = redis.call('GET', KEYS[place])
  local digest = value and redis.sha1hex(value) or ''
  if digest ~= ARGV[2 * place] then return 0 end
end
for place = 1, #KEYS do
  local value = ARGV[2 * place + 1]
  if value == '' then redis.call('DEL', KEYS[place]) else redis.call('SET', KEYS[place], value) end
end
return 1
"""


class RedisStore:
    """An online store in Redis.

    Args:
        url: such as `redis://localhost:6379/0`.
        project: stands before every key, so that projects may share a database.

    Raises:
        OnlineStoreError: Redis cannot be reached; from every verb, when it went away.
    """

    entities_at_once = 500

    def __init__(self, url: str, project: str) -> None:
        redis = _library()
        self._failures = (redis.exceptions.RedisError, OSError)
        self._prefix = f"holdfast:{project}:".encode()
        self._views: dict[tuple[str, int], bytes] = {}
        try:
            self._client = redis.Redis.from_url(
                url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S, protocol=2
            )
            self._client.ping()
        except (*self._failures, ValueError) as error:
            raise OnlineStoreError(
                f"the online store {url} cannot be reached ({error})",
                hint="start Redis, or correct its URL",
            ) from error
        self._swap = self._client.register_script(_SWAP)

    def lookup(
        self, view: FeatureView, entities: Sequence[Entity], at: Micros
    ) -> list[tuple[Any, ...] | None]:
        """The usable values of each entity at a time; see `OnlineBackend`."""
        tails = self._get([b"t" + self._key(view, entity) for entity in entities])
        return [None if tail is None else look_up(tail, at, view.spec.ttl_us) for tail in tails]

    def find(self, view: FeatureView, entities: Sequence[Entity], at: Micros) -> list[Found | None]:
        """Event time and values of each entity's latest row, also where the TTL has passed."""
        tails = self._get([b"t" + self._key(view, entity) for entity in entities])
        return [None if tail is None else find_row(tail, at) for tail in tails]

    def change(
        self,
        view: FeatureView,
        entities: Sequence[Entity],
        how: Change,
        marks: Mapping[bytes, bytes] | None = None,
    ) -> None:
        """Swaps what is kept of different entities, with the marks, by one script; see `OnlineBackend`.

        Raises:
            OnlineStoreError: Redis went away, or others kept changing the same entities.
        """
        keys = [self._key(view, entity) for entity in entities]
        for _ in range(_ATTEMPTS):
            values = self._get([b"t" + key for key in keys] + [b"e" + key for key in keys])
            old = [Stored(*pair) for pair in zip(values[: len(keys)], values[len(keys) :], strict=True)]
            if self._swapped(keys, old, how(old), marks or {}):
                return
        raise OnlineStoreError(
            "the online store is too busy: others keep changing the same entities", hint="try again"
        )

    def mark_of(self, key: bytes) -> bytes | None:
        """What was last kept under a mark."""
        return self._get([b"m" + key])[0]

    def close(self) -> None:
        self._client.close()

    def _swapped(
        self, keys: list[bytes], old: Sequence[Stored], new: Sequence[Stored], marks: Mapping[bytes, bytes]
    ) -> bool:
        names, arguments = [], []
        for key, before, after in zip(keys, old, new, strict=True):
            for kind, was, value in ((b"t", before.tail, after.tail), (b"e", before.events, after.events)):
                if was is None and value is None:
                    continue
                names.append(self._prefix + kind + key)
                arguments += [b"" if was is None else hashlib.sha1(was).hexdigest().encode(), value or b""]
        guarded = len(names)
        for key, value in marks.items():
            names.append(self._prefix + b"m" + key)
            arguments += [b"", value]
        if not names:
            return True
        try:
            return bool(self._swap(keys=names, args=[guarded, *arguments]))
        except self._failures as error:
            raise self._gone(error) from error

    def _get(self, keys: list[bytes]) -> list[bytes | None]:
        if not keys:
            return []
        try:
            found: list[bytes | None] = self._client.mget([self._prefix + key for key in keys])
        except self._failures as error:
            raise self._gone(error) from error
        return found

    def _key(self, view: FeatureView, entity: Entity) -> bytes:
        name = (view.name, view.version)
        prefix = self._views.get(name)
        if prefix is None:
            prefix = self._views[name] = digest_key("view", *name, view.digest)
        return entity_key(prefix, entity)

    @staticmethod
    def _gone(error: Exception) -> OnlineStoreError:
        return OnlineStoreError(f"the online store does not answer ({error})", hint="check Redis")


def _library() -> Any:
    try:
        import redis
    except ImportError as error:
        raise OnlineStoreError(
            "Redis is not installed", hint="type: pip install 'holdfast[redis]'"
        ) from error
    return redis
