"""What a server does besides answering: deliver events, run jobs, let the loop look.

On real time two threads do it: one looks every few seconds or when woken, the other runs jobs, so that a long
training never delays a rollback. On a simulated clock nothing happens by itself: each move of the clock settles
everything due at that time before it is answered, one thing after another, so that a simulation repeats exactly.

Of several servers that share a ledger one leads and does all this; the others answer, and try at every tick whether the
lead is free. A server that takes the lead first mends what the one before may have left behind.
"""

from __future__ import annotations

import logging
import threading

from holdfast.base.clock import Clock
from holdfast.base.context import system_context
from holdfast.base.errors import HoldfastError, HomeError, UnavailableError
from holdfast.server.compose import Services

logger = logging.getLogger(__name__)

_ROUNDS_MOST = 1000


class Runtime:
    """Drives the services of one server."""

    def __init__(self, clock: Clock, tick_seconds: float) -> None:
        self._services: Services
        self._simulated = clock.simulated
        self._tick_seconds = tick_seconds
        self._settling = threading.Lock()
        self._woken = threading.Event()
        self._job_woken = threading.Event()
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._term: int | None = None

    def start(self, services: Services) -> None:
        """Mends what a crash left behind where this server leads, then starts the threads.

        Raises:
            HomeError: the clock is simulated and another server leads: nobody else would move this clock.
        """
        self._services = services
        # Uploads in parts are in the home of this server alone, and none of them outlives it. A server that takes
        # the lead later on has uploads of its own under way, so this belongs to the start and not to the lead.
        services.logging.artifacts.clear_uploads()
        with services.ledger.leading() as term:
            if term is None and self._simulated:
                raise HomeError(
                    "another server leads this ledger, and a simulated clock has only one",
                    hint="stop the other server, or name another schema with ?schema=NAME",
                )
            self._mend(term)
        targets = [self._look] if self._simulated else [self._look, self._work]
        for target in targets:
            thread = threading.Thread(target=target, name=f"runtime{target.__name__}", daemon=True)
            thread.start()
            self._threads.append(thread)
        self.wake()

    def prepare_training(self) -> None:
        """Starts the child that waits for the next training; its imports take seconds of a small machine, so
        this is called once the server answers."""
        self._services.launcher.warm()

    def stop(self) -> None:
        """Ends the threads; a job under way is queued again at the next start."""
        self._stopped.set()
        self.wake()
        for thread in self._threads:
            thread.join(timeout=5)
        self._services.webhook_sender.stop()
        self._services.launcher.close()

    def wake(self) -> None:
        """Something was submitted: look now rather than at the next tick."""
        self._woken.set()
        self._job_woken.set()

    def settle(self) -> bool:
        """Decides and does everything that is due now, if this server leads; True once nothing is left to do."""
        with self._settling, self._services.ledger.leading() as term:
            if term is None:
                # Another server leads, and it delivers: what both sent would arrive twice.
                self._services.webhook_sender.stop()
                return True
            self._mend(term)
            for _ in range(_ROUNDS_MOST):
                if self._stopped.is_set():
                    return False
                progress = self._round()
                if self._simulated:
                    progress = self._services.jobs.run_next() or progress
                if not progress:
                    return True
        logger.error("the loop did not settle within %d rounds", _ROUNDS_MOST)
        return False

    def busy(self) -> bool:
        """Whether leaving now would interrupt or forget something."""
        return bool(self._services.jobs.open_jobs()) or self._services.loop.has_active_models()

    def _mend(self, term: int | None) -> None:
        """At the beginning of a term: what the server that led before may have left behind."""
        if term is None:
            return
        services = self._services
        services.webhook_sender.start()
        if term == self._term:
            return
        services.tracking.upgrade()
        services.garbage.mend()
        services.jobs.recover()
        contexts = [system_context(project) for project in services.deployments.projects()]
        for context in contexts:
            services.loop.adopt_local_changes(context)
        services.deployments.publish_all(contexts)
        self._term = term
        logger.info("this server leads (term %d)", term)

    def _round(self) -> bool:
        services = self._services
        delivered = services.events.dispatch()
        decided = 0
        for context in services.loop.contexts():
            try:
                decided += services.loop.tick(context)
            except HoldfastError as error:
                logger.warning("the loop could not look at project %s: %s", context.project, error)
        return bool(delivered or decided)

    def _look(self) -> None:
        while not self._stopped.is_set():
            self._woken.wait(None if self._simulated else self._tick_seconds)
            self._woken.clear()
            try:
                self.settle()
                self._services.webhook_sender.wake()
            except UnavailableError as error:
                logger.warning("the loop could not look: %s", error)
            except Exception:
                logger.exception("the loop failed; it looks again at the next tick")

    def _work(self) -> None:
        while not self._stopped.is_set():
            self._job_woken.wait(self._tick_seconds)
            self._job_woken.clear()
            try:
                with self._services.ledger.leading() as term:
                    while term == self._term is not None and not self._stopped.is_set():
                        if not self._services.jobs.run_next():
                            break
                        self._woken.set()
            except UnavailableError as error:
                logger.warning("no job could be taken: %s", error)
            except Exception:
                logger.exception("the job runner failed; it goes on at the next tick")
