"""Rolling back under load: callers go on while a person takes the new version out, and the time is taken."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import msgspec

from holdfast.cli.demo.driver import Driver
from holdfast.cli.demo.processes import Processes
from holdfast.cli.demo.worlds.batch import Batch
from holdfast.loop.records import RollbackRequest
from holdfast.loop.service import LoopService

_BEFORE = 6
_PAUSE_S = 0.004
_REASON = "the demo shows how long it takes"


class RollbackTiming(msgspec.Struct, frozen=True):
    """A rollback as its callers saw it, in milliseconds from the moment it was asked for.

    `first_ms` is the first answer of the version that came back, `last_ms` the last answer of the one that left
    (None: it gave none any more), `reply_ms` the reply to whoever asked. `requests` were answered meanwhile.
    """

    from_version: int
    to_version: int
    first_ms: float
    last_ms: float | None
    reply_ms: float
    requests: int


def roll_back_under_load(
    driver: Driver, processes: Processes, model: str, batches: Sequence[Batch]
) -> RollbackTiming:
    """Plays the batches in another thread and rolls the model back in the midst of them.

    Raises:
        HoldfastError: there is nothing to roll back to, or a request failed.
    """
    driver.reach(batches[0].at)
    driver.catch_up()
    callers = _Callers(driver, batches)
    callers.start()
    try:
        callers.wait_for(_BEFORE)
        asked = time.perf_counter()
        result = processes.call_once(LoopService.rollback, RollbackRequest(model, reason=_REASON))
        replied = time.perf_counter()
    finally:
        callers.finish()
    driver.follow_revision()
    switched = time.perf_counter()
    back = [
        moment for moment, version in callers.answers if moment > asked and version == str(result.to_version)
    ]
    gone = [
        moment
        for moment, version in callers.answers
        if moment > asked and version == str(result.from_version)
    ]
    return RollbackTiming(
        result.from_version,
        result.to_version,
        _ms(back[0] if back else switched, asked),
        _ms(gone[-1], asked) if gone else None,
        _ms(replied, asked),
        len(callers.answers),
    )


class _Callers(threading.Thread):
    """Sends the batches one after another and notes when which version answered."""

    def __init__(self, driver: Driver, batches: Sequence[Batch]) -> None:
        super().__init__(name="callers", daemon=True)
        self.answers: list[tuple[float, str]] = []
        self._driver = driver
        self._batches = batches
        self._failure: BaseException | None = None

    def run(self) -> None:
        try:
            for batch in self._batches:
                self._driver.tell(batch.at)
                answer = self._driver.ask(batch)
                self.answers.append((time.perf_counter(), answer.version))
                time.sleep(_PAUSE_S)
        except BaseException as failure:
            self._failure = failure

    def wait_for(self, answers: int) -> None:
        """Until so many answers have come."""
        while len(self.answers) < answers and self.is_alive():
            time.sleep(_PAUSE_S)

    def finish(self) -> None:
        """Waits for the last answer.

        Raises:
            HoldfastError: a request failed.
        """
        self.join()
        if self._failure is not None:
            raise self._failure


def _ms(until: float, since: float) -> float:
    return round((until - since) * 1000, 1)
