"""Every online store, empty, for the conformance suite."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast.features.online import OnlineStore
from holdfast.features.online.backend import OnlineBackend

Opener = Callable[[], OnlineBackend]
URL = os.environ.get("HOLDFAST_TEST_REDIS", "redis://127.0.0.1:6379/0")


def redis_opener() -> Iterator[Opener]:
    """Opens one project in Redis of its own name, and empties it afterwards."""
    redis = pytest.importorskip("redis")
    from holdfast.features.online.redis_store import RedisStore

    client = redis.Redis.from_url(URL)
    try:
        client.ping()
    except redis.exceptions.ConnectionError:
        pytest.skip(f"no Redis answers at {URL}")
    project = f"test-{uuid.uuid4().hex}"
    yield lambda: RedisStore(URL, project)
    for key in client.scan_iter(f"holdfast:{project}:*"):
        client.delete(key)


@pytest.fixture(params=["lmdb", pytest.param("redis", marks=pytest.mark.redis)])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens the same store again and again, as several processes would."""
    if request.param == "redis":
        yield from redis_opener()
    else:
        yield lambda: OnlineStore(tmp_path / "online")


@pytest.fixture
def backend(opener: Opener) -> Iterator[OnlineBackend]:
    opened = opener()
    yield opened
    opened.close()
