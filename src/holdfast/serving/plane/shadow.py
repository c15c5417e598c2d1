"""Shadows: versions that score the same requests after the caller has the answer; nobody sees what they say.

One thread takes requests from a bounded queue. When it cannot keep up, requests are dropped and counted, because
a shadow must never slow the answer down; under a simulated clock the caller waits instead, so that two runs log
the same rows.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.base.clock import Micros
from holdfast.rollout.records import Variant
from holdfast.serving.plane.errors import ModelFailedError
from holdfast.serving.plane.loaded import LoadedDeployment, LoadedVersion
from holdfast.serving.plane.lookup import LookedUp
from holdfast.serving.records import PredictionFrame

logger = logging.getLogger(__name__)

QUEUE_MOST = 2_000


@dataclass(frozen=True, slots=True)
class ShadowRequest:
    """A request that was answered, as its shadow needs it."""

    deployment: LoadedDeployment
    variant: Variant
    version: LoadedVersion
    request_id: str
    at: Micros
    received_at: Micros
    columns: Sequence[list[Any]]
    times: list[Micros]
    looked_up: LookedUp
    flags: list[str]


class Shadows:
    """The queue and its thread; `wait` makes a full queue hold the caller up instead of dropping."""

    def __init__(self, *, wait: bool, most: int = QUEUE_MOST) -> None:
        self._wait = wait
        self._queue: queue.Queue[ShadowRequest | None] = queue.Queue(most)
        self._pending: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="shadows", daemon=True)
        self._thread.start()

    def pending(self, name: str) -> int:
        """Requests of a deployment that its shadows have yet to score."""
        return self._pending[name]

    def dropped(self, name: str) -> int:
        """Requests of a deployment that its shadows never saw."""
        return self._dropped[name]

    def submit(self, request: ShadowRequest) -> None:
        """Hands a request over."""
        name = request.deployment.file.name
        with self._lock:
            self._pending[name] += 1
        try:
            self._queue.put(request, block=self._wait)
        except queue.Full:
            with self._lock:
                self._pending[name] -= 1
                self._dropped[name] += 1

    def stop(self) -> None:
        """Scores what waits and ends the thread."""
        self._queue.put(None)
        self._thread.join(timeout=10)

    def _work(self) -> None:
        while (request := self._queue.get()) is not None:
            try:
                request.deployment.writer.append_prediction(score(request))
            except Exception:
                logger.exception("a shadow of %s failed", request.deployment.file.name)
            with self._lock:
                self._pending[request.deployment.file.name] -= 1


def score(request: ShadowRequest) -> PredictionFrame:
    """What the shadow would have answered, or how it failed."""
    started = time.perf_counter_ns()
    outputs: list[float | None] = [None] * len(request.columns[0])
    features: list[list[float | None]] = []
    failure = None
    try:
        matrix = request.version.matrix(request.columns, request.looked_up)
        features = matrix.tolist()
        outputs = list(request.version.predict(matrix))
    except ModelFailedError as error:
        failure = str(error)
    return PredictionFrame(
        request.request_id,
        request.at,
        request.received_at,
        request.deployment.file.revision,
        request.version.number,
        request.variant.role,
        0.0,
        list(request.columns),
        features,
        outputs,
        (time.perf_counter_ns() - started) // 1_000,
        True,
        request.flags,
        failure,
        request.times,
    )
