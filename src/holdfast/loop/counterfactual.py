"""What the quality would have been had the first version never been replaced.

Nothing is simulated: every answered request is in the prediction log with the features as they were served. The
first champion scores the same rows, and the same labels judge both. The log is followed by its cursor, so that a
page that asks again costs what is new.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from holdfast.base.blobs import Blobs
from holdfast.base.context import Context
from holdfast.base.errors import NotFoundError
from holdfast.base.ledger import Ledger
from holdfast.base.operations import operation
from holdfast.loop import store
from holdfast.loop.records import WithoutRetraining, WithoutRetrainingRequest
from holdfast.registry.records import ModelVersion
from holdfast.registry.service import RegistryService
from holdfast.serving.records import DeploymentKey

if TYPE_CHECKING:
    from holdfast.loop.replay import Replay
    from holdfast.serving.log import PredictionLog


class CounterfactualService:
    """Replays what was served through a version that was replaced."""

    def __init__(self, ledger: Ledger, blobs: Blobs, registry: RegistryService, log: PredictionLog) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._registry = registry
        self._log = log
        self._replays: dict[tuple[DeploymentKey, int], Replay] = {}
        self._lock = threading.Lock()

    @operation(
        "GET", "/models/{name}/without-retraining", "The served quality beside that of the first version."
    )
    def without_retraining(self, context: Context, request: WithoutRetrainingRequest) -> WithoutRetraining:
        """See `WithoutRetraining`.

        Raises:
            NotFoundError: nothing was ever deployed under the name.
            NotReplayableError: a logged row lacks a column that the version needs.
        """
        version = self._version(context, request)
        key = DeploymentKey(context.project, request.environment, request.name)
        with self._lock:
            replay = self._replay(context, key, version)
            replay.follow(self._log, key)
            return replay.compare(request.from_at)

    def _version(self, context: Context, request: WithoutRetrainingRequest) -> ModelVersion:
        number = request.version
        if number is None:
            with self._ledger.read() as reader:
                number = store.first_champion(reader, context, request.environment, request.name)
        if number is None:
            raise NotFoundError(
                f"no version of {request.name} was ever live in {request.environment}",
                hint=f"deploy one with `holdfast deploy {request.name}`",
            )
        return self._registry.version(context, request.name, number)

    def _replay(self, context: Context, key: DeploymentKey, version: ModelVersion) -> Replay:
        place = (key, version.version)
        if place not in self._replays:
            from holdfast.loop.replay import Replay
            from holdfast.registry.formats import load_predictor

            predictor = load_predictor(version.files, version.task, self._blobs)
            self._replays[place] = Replay(
                version,
                predictor,
                key.environment,
                lambda number: self._registry.version(context, key.name, number).signature,
            )
        return self._replays[place]
