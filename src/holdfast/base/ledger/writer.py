"""One thread that writes: changes of many threads queue up, and whatever is queued shares one commit.

Under load many changes share one sync of the disk, and an idle ledger commits at once, without a timer.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any, NamedTuple, TypeVar

from holdfast.base.errors import UnavailableError
from holdfast.base.ledger.protocol import Transaction

T = TypeVar("T")

_GROUP_MOST = 512


class Change(NamedTuple):
    """A queued change, where its caller waits, and the term of leadership it was decided in, if any."""

    run: Callable[[Transaction], Any]
    result: Future[Any]
    term: int | None = None


class Outcome(NamedTuple):
    """What became of a change: its value, or what it raised."""

    result: Future[Any]
    value: Any = None
    raised: BaseException | None = None

    def answer(self) -> None:
        """Wakes the caller; called only once the group is durable."""
        if self.raised is None:
            self.result.set_result(self.value)
        else:
            self.result.set_exception(self.raised)


class GroupWriter:
    """Runs `commit` with everything that is queued, again and again, on a thread of its own.

    Args:
        commit: makes a group durable; returns the outcome of each change, or raises for the whole group.
        end: called on the same thread when the last group is done.
    """

    def __init__(self, commit: Callable[[list[Change]], list[Outcome]], end: Callable[[], None]) -> None:
        self._commit = commit
        self._end = end
        self._queue: queue.SimpleQueue[Change | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    def write(self, change: Callable[[Transaction], T], term: int | None = None) -> T:
        """Queues a change and waits until it is durable."""
        assert threading.current_thread() is not self._thread, "a change must not write to the ledger again"
        return self.submit(change, term).result()

    def submit(self, change: Callable[[Transaction], T], term: int | None = None) -> Future[T]:
        """Queues a change; the future is done once it is durable."""
        if self._closed:
            raise UnavailableError("the ledger is closed", hint="start the server again")
        result: Future[T] = Future()
        self._queue.put(Change(change, result, term))
        return result

    def close(self) -> None:
        """Finishes what is queued and ends the thread."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        going_on = True
        while going_on:
            batch, going_on = self._take()
            if batch:
                self._settle(batch)
        self._end()

    def _settle(self, batch: list[Change]) -> None:
        try:
            outcomes = self._commit(batch)
        except Exception as failure:  # nobody may be left waiting, whatever went wrong
            outcomes = [Outcome(change.result, raised=failure) for change in batch]
        for outcome in outcomes:
            with contextlib.suppress(InvalidStateError):
                outcome.answer()

    def _take(self) -> tuple[list[Change], bool]:
        """Everything queued, at least one item; the flag says whether to go on."""
        batch: list[Change] = []
        item = self._queue.get()
        while item is not None:
            batch.append(item)
            if len(batch) >= _GROUP_MOST:
                return batch, True
            if self._queue.empty():  # nobody else takes from it
                return batch, True
            item = self._queue.get_nowait()
        return batch, False
