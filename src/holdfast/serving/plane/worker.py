"""One process of the data plane, put together from paths: what its handlers share, and its life."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from holdfast.base.clock import SystemClock
from holdfast.base.home import Home
from holdfast.serving.plane.deployments import Deployments
from holdfast.serving.plane.labels import LabelTaker
from holdfast.serving.plane.moments import Moments, RequestIds
from holdfast.serving.plane.open_inference import OpenInference
from holdfast.serving.plane.predict import Predictor
from holdfast.serving.plane.settings import PlaneSettings
from holdfast.serving.plane.shadow import Shadows
from holdfast.serving.spool import recover

_POOL_THREADS = 4
_TOKEN_BYTES = 4


class Worker:
    """Deployments, handlers, the shadows' queue and a thread pool for long work."""

    def __init__(self, settings: PlaneSettings) -> None:
        clock = SystemClock()
        start_at = clock.now()
        moments = Moments(clock, simulated=settings.simulated)
        # The token only has to differ from every other process's, on this machine and on others.
        ids = RequestIds(f"{start_at:x}{os.urandom(_TOKEN_BYTES).hex()}-")
        self._home = Home(Path(settings.home))
        self.deployments = Deployments(
            self._home, settings.project, settings.environment, "serving", start_at, settings.durability
        )
        self.shadows = Shadows(wait=settings.simulated)
        self.predictor = Predictor(moments, ids, self.shadows)
        self.labels = LabelTaker(moments, ids)
        self.open_inference = OpenInference(self.predictor, moments, ids)
        self.pool = ThreadPoolExecutor(_POOL_THREADS, thread_name_prefix="request")
        self._parent = settings.parent

    def start(self) -> None:
        """Loads every deployment, so that the first request finds it warm, and begins to follow changes."""
        recover(self._home.spool)
        self.deployments.start(each_round=self._end_with_parent)

    def stop(self) -> None:
        """Lets shadows finish and closes the segments."""
        self.pool.shutdown(wait=True)
        self.shadows.stop()
        self.deployments.stop()

    def _end_with_parent(self) -> None:
        # A worker that outlived its parent would hold the port and serve unsupervised. What it acknowledged is
        # in the log already, so it may end as abruptly as the parent did.
        if os.getppid() != self._parent:
            os.kill(os.getpid(), signal.SIGKILL)
