"""Plays a world over HTTP in compressed time: predictions, labels as they become known, and the clock behind them.

The order is that of the world. At the end of every simulated day, once all of the day's predictions and labels
are acknowledged and the shadows have seen them, the server's clock moves there and the loop settles; the next
request is sent when serving runs what the loop has decided. So two runs of one world take the same decisions.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable

import msgspec

from holdfast.base.clock import DAY_US, Micros, format_time
from holdfast.base.errors import HoldfastError, UnavailableError
from holdfast.base.simulation import AdvanceClockRequest, ClockService
from holdfast.cli.demo.plane import Answer, Plane
from holdfast.cli.demo.processes import Processes
from holdfast.cli.demo.worlds.batch import Batch
from holdfast.serving.service import DeploymentService, GetDeploymentRequest

_LABELS_MOST = 10_000
_SWITCH_WITHIN_S = 30.0
_POLL_S = 0.002
_SLOWLY_S = 0.3
"""How long a day without a server takes at least, so that the world does not end before the server is back."""


class Driver:
    """One run through a world.

    `predictions` and `labels` count the rows and labels that were acknowledged, `at` is the time of the world.

    Args:
        after_day: called when the loop has settled the end of a day.
    """

    def __init__(
        self,
        model: str,
        start_at: Micros,
        processes: Processes,
        plane: Plane,
        after_day: Callable[[Micros], None],
    ) -> None:
        self.predictions = 0
        self.labels = 0
        self.at = start_at
        self._model = model
        self._processes = processes
        self._plane = plane
        self._after_day = after_day
        self._next_day_at = start_at // DAY_US * DAY_US + DAY_US
        self._settled_at = start_at
        self._due: list[tuple[Micros, str, int]] = []
        self._requests = 0

    def play(self, batches: Iterable[Batch]) -> None:
        """Plays requests in their order, and everything that is due before each."""
        for batch in batches:
            self.reach(batch.at)
            self.ask(batch)

    def reach(self, at: Micros) -> None:
        """Sends the labels that are known by a time, and ends the days before it."""
        while self._next_day_at <= at:
            self.tell(self._next_day_at)
            self._end_day()
        self.tell(at)
        self.at = max(self.at, at)

    def finish(self) -> None:
        """Waits, in the world's time, for the last label, and ends that day."""
        last = max((known_at for known_at, _, _ in self._due), default=self.at)
        self.reach(last)
        self._end_day()
        self.catch_up()

    def catch_up(self) -> None:
        """Waits until the loop has settled the last day that ended."""
        while self._settled_at < self._next_day_at - DAY_US:
            self._settle(self._next_day_at - DAY_US)

    def ask(self, batch: Batch) -> Answer:
        """Sends one request and remembers the labels of its rows until they are due."""
        self._requests += 1
        body = {"id": f"demo-{self._requests:06d}", "at": format_time(batch.at), "rows": batch.rows}
        answer = self._plane.predict(msgspec.json.encode(body))
        self.predictions += len(answer.predictions)
        for row, label, delay_us in zip(answer.predictions, batch.labels, batch.label_delays_us, strict=True):
            heapq.heappush(self._due, (batch.at + delay_us, row.id, label))
        return answer

    def tell(self, at: Micros) -> None:
        """Sends the labels that are known by a time, in the order in which they became known."""
        while self._due and self._due[0][0] <= at:
            labels: list[dict[str, object]] = []
            while self._due and self._due[0][0] <= at and len(labels) < _LABELS_MOST:
                known_at, identity, value = heapq.heappop(self._due)
                labels.append({"id": identity, "value": value, "at": format_time(known_at)})
            self._plane.label(msgspec.json.encode({"labels": labels}))
            self.labels += len(labels)

    def follow_revision(self) -> None:
        """Waits until serving runs the revision that the ledger has."""
        request = GetDeploymentRequest(self._model)
        wanted = self._processes.call_once(DeploymentService.get_deployment, request).revision.number
        self._until(lambda: self._serves(wanted), f"serving does not switch to revision {wanted}")

    def _end_day(self) -> None:
        self._settle(self._next_day_at)
        self._next_day_at += DAY_US

    def _settle(self, at: Micros) -> None:
        """Moves the server's clock and waits until serving runs what the loop has decided by then.

        Without a server it does neither: callers do not wait for one, and a later day's end makes up for this one.
        """
        if self._processes.server_is_away():
            time.sleep(_SLOWLY_S)
            return
        self._until(self._shadows_are_done, "the shadows did not catch up")
        try:
            self._processes.call_once(ClockService.advance, AdvanceClockRequest(at))
            self.follow_revision()
            self._after_day(at)
        except UnavailableError:
            return
        self._settled_at = at

    def _serves(self, revision: int) -> bool:
        served = self._plane.served()
        return served is not None and served.revision >= revision

    def _shadows_are_done(self) -> bool:
        served = self._plane.served()
        return served is None or served.shadow_pending == 0

    def _until(self, condition: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + _SWITCH_WITHIN_S
        while not condition():
            if time.monotonic() > deadline:
                raise HoldfastError(otherwise, hint="the log of serving is run/serve.log in the home")
            time.sleep(_POLL_S)
