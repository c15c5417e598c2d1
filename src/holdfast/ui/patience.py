"""A slow answer that a page does not wait for: the last one that is known, and a new one on its way.

What the quality would have been without retraining scores every logged row again. The first time that takes a
second or more; a page shows the line with the refresh after.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYetError

from holdfast.base.context import Context
from holdfast.base.errors import UnavailableError
from holdfast.loop.records import WithoutRetraining, WithoutRetrainingRequest
from holdfast.ui.services import Counterfactual

_WAIT_S = 0.02

_Key = tuple[str, str, str]


class LastKnown:
    """Asks in one thread of its own, one question after another, and answers with what came last."""

    def __init__(self, inner: Counterfactual) -> None:
        self._inner = inner
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="counterfactual")
        self._asked: dict[_Key, Future[WithoutRetraining]] = {}
        self._known: dict[_Key, WithoutRetraining] = {}
        self._lock = threading.Lock()

    def without_retraining(self, context: Context, request: WithoutRetrainingRequest) -> WithoutRetraining:
        """The newest answer that is there within a moment.

        Raises:
            UnavailableError: none is there yet; it is being worked out.
            HoldfastError: whatever the question itself is refused with.
        """
        key = (context.project, request.environment, request.name)
        with self._lock:
            future = self._asked.get(key) or self._executor.submit(
                self._inner.without_retraining, context, request
            )
            self._asked[key] = future
        try:
            found = future.result(_WAIT_S)
        except NotYetError:
            if key in self._known:
                return self._known[key]
            raise UnavailableError("the line without retraining is being worked out") from None
        finally:
            if future.done():
                self._asked.pop(key, None)
        self._known[key] = found
        return found
