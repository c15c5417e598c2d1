"""Follows the prediction log of each deployment and keeps its windows in the ledger up to date.

Windows and the cursor into the log are written in one transaction. What is held in memory besides can be read
from the log again, so a crash at any step is followed by `Windows.resume` and loses or doubles nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.base.ledger.protocol import Ledger, Transaction
from holdfast.monitoring import store
from holdfast.monitoring.records import Window
from holdfast.serving.records import DeploymentKey

if TYPE_CHECKING:
    from holdfast.monitoring.windows import Pins, WindowKey, Windows
    from holdfast.serving.log import PredictionLog

# Project, model and version to what its windows are counted in.
FindPins = Callable[[str, str, int], "Pins"]


@dataclass
class _Followed:
    """The windows of one deployment in memory, and how far into the log they reach."""

    windows: Windows
    cursor: dict[str, int]


class LogFollower:
    """Follows any number of deployments."""

    def __init__(self, ledger: Ledger, log: PredictionLog, pins: FindPins) -> None:
        self._ledger = ledger
        self._log = log
        self._pins = pins
        self._followed: dict[DeploymentKey, _Followed] = {}
        self._lock = threading.Lock()

    def observe(self, key: DeploymentKey) -> int:
        """Takes in what is new in the log; returns how many windows changed."""
        with self._lock:
            # Until the ledger has what memory has, memory does not count: after an error it is read again.
            followed = self._followed.pop(key, None)
            if followed is None:
                followed, changed, cursor = self._resume(key)
            else:
                batch = self._log.read_since(key, followed.cursor)
                changed, cursor = followed.windows.take(batch, self._stored(key)), batch.cursor
            if cursor != followed.cursor:
                self._ledger.write(lambda tx: _save(tx, key, changed, cursor))
                followed.cursor = cursor
            self._followed[key] = followed
            return len(changed)

    def _resume(self, key: DeploymentKey) -> tuple[_Followed, list[Window], dict[str, int]]:
        """Starts where the ledger says that the windows end, or from the beginning."""
        from holdfast.monitoring.windows import Windows

        with self._ledger.read() as reader:
            cursor = store.find_cursor(reader, key.project, key.environment, key.name) or {}
        windows = Windows(lambda version: self._pins(key.project, key.name, version))
        whole = self._log.read_since(key, None)
        changed = windows.resume(whole, self._log.read_since(key, cursor))
        return _Followed(windows, cursor), changed, whole.cursor

    def _stored(self, key: DeploymentKey) -> Callable[[WindowKey], Window | None]:
        def find(window: WindowKey) -> Window | None:
            with self._ledger.read() as reader:
                return store.find_window(reader, key.project, key.environment, key.name, *window)

        return find


def _save(
    transaction: Transaction, key: DeploymentKey, windows: list[Window], cursor: dict[str, int]
) -> None:
    store.save_windows(transaction, key.project, key.environment, key.name, windows)
    store.save_cursor(transaction, key.project, key.environment, key.name, cursor)
