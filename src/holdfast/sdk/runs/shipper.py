"""One thread a process sends the journals of its runs, so that logging never waits for anybody.

It also sends what processes that were killed left in the home, once at its beginning.
"""

from __future__ import annotations

import os
import threading
import time

import msgspec

from holdfast.base.errors import RemoteError, UnavailableError
from holdfast.base.home import Home
from holdfast.sdk.runs.folder import Destination, RunFolder, folders
from holdfast.sdk.runs.sending import Link, RunRefusedError, end_as_killed, send
from holdfast.sdk.runs.target import Target, say

_INTERVAL_S = 0.5
_PAUSE_MOST_S = 2.0
_TELL_AFTER_S = 5.0
_START_AFTER_S = 3.0
_POLL_S = 0.005
_QUIET_WAIT_S = 1.0


class Shipper:
    """Sends the runs of this process to one target."""

    def __init__(self, home: Home, url: str) -> None:
        self.target = Target(home, url)
        self._mutex = threading.RLock()
        self._folders: dict[str, tuple[RunFolder, Destination]] = {}
        self._held: set[str] = set()
        self._leaving: dict[str, tuple[RunFolder, str]] = {}
        self._links: dict[tuple[str, str], Link] = {}
        self._url = ""
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._away_since: float | None = None
        self._told = False
        self._last_chance_at: float | None = None
        self._reached_at = float("-inf")
        self._has_given_up = False
        self._has_told_of_waiting = False
        self._swept = False

    @property
    def url(self) -> str:
        """Where the server was found last; empty while none was."""
        return self._url

    @property
    def is_away(self) -> bool:
        """Whether the last attempt to reach the server failed."""
        return self._away_since is not None

    def add(self, folder: RunFolder, destination: Destination) -> None:
        """Takes a run on."""
        with self._mutex:
            self._folders[folder.run_id] = (folder, destination)
            self._hold(folder)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="holdfast-shipper", daemon=True)
            self._thread.start()

    def link(self, destination: Destination, *, start: bool = False) -> Link:
        """A connection to the server for the caller alone.

        Raises:
            UnavailableError: there is none.
        """
        return Link(self.target.find(start=start), destination.project, destination.actor)

    def send_now(self, folder: RunFolder, destination: Destination) -> None:
        """Sends the beginning of a run in the caller's thread, starting a server where none runs.

        Raises:
            UnavailableError: the server does not answer; the thread goes on trying.
            RunRefusedError: it does not take the run.
        """
        if self.is_away:
            raise UnavailableError("the server does not answer")
        with self._mutex:
            try:
                self._hold(folder)
                self._send(folder, destination, start=True)
            except UnavailableError:
                self._note_away()
                raise

    def leave(self, folder: RunFolder, own: str) -> None:
        """Lets a run that ended within another one go as soon as it is sent; the end of the outer one waits for it."""
        with self._mutex:
            self._leaving[folder.run_id] = (folder, own)
        self._wake.set()

    def wait_at_end(self, folder: RunFolder, own: str, timeout_s: float, sending: str) -> bool:
        """Waits for a run that ended, and for those that ended within it; tells whoever watches what takes so long.

        The patience is one for the whole process: once nobody was reached at the end of a run, later ends do not
        wait again before the server has answered. A script of many runs would wait for hours otherwise.
        """
        begun_at = time.monotonic()
        quiet_s = 0.0 if self._has_given_up else min(_QUIET_WAIT_S, timeout_s)
        if self.wait(folder, own, quiet_s, leaving=True):
            return True
        left = timeout_s - quiet_s
        if left > 0 and not self._has_given_up:
            say(f"{sending}, for at most {left:.0f} s (Ctrl-C leaves it for later)")
            if self.wait(folder, own, left, leaving=True):
                return True
        self._has_given_up = self._reached_at < begun_at
        return False

    def first_time_waiting(self) -> bool:
        """Whether nobody was told yet, since the server answered last, that runs are kept for later."""
        told, self._has_told_of_waiting = self._has_told_of_waiting, True
        return not told

    def wait(self, folder: RunFolder, own: str, timeout_s: float, *, leaving: bool = False) -> bool:
        """Waits until the journals of one process (`own`: how their names begin) are acknowledged.

        Args:
            leaving: also those of the runs that ended and are still on their way.
        """
        deadline = time.monotonic() + timeout_s
        self._last_chance_at = self._last_chance_at or time.monotonic() + min(_START_AFTER_S, timeout_s / 2)
        try:
            pause = _POLL_S
            while self._is_waiting(folder, own, leaving):
                if time.monotonic() > deadline:
                    return False
                self._wake.set()
                time.sleep(pause)
                pause = min(pause * 1.5, 0.1)
            return True
        finally:
            self._last_chance_at = None

    def drop_all(self, folder: RunFolder) -> None:
        """Lets a run go and those that ended within it, sent or not."""
        self.drop(folder)
        for left, _ in list(self._leaving.values()):
            self.drop(left)

    def drop(self, folder: RunFolder) -> None:
        """Lets a run go; what is left of it is sent by whoever comes next."""
        with self._mutex:
            self._folders.pop(folder.run_id, None)
            self._leaving.pop(folder.run_id, None)
            if folder.run_id in self._held:
                folder.remove_sent()
                folder.lock.release()
                self._held.discard(folder.run_id)

    def forget(self) -> None:
        """In a forked child: the locks are the parent's, and so is the connection."""
        for folder, _ in self._folders.values():
            folder.lock.forget()

    def _work(self) -> None:
        pause = _INTERVAL_S
        while True:
            self._wake.wait(pause)
            self._wake.clear()
            try:
                more = self._round()
                self._note_back()
                pause = 0.001 if more else _INTERVAL_S
            except UnavailableError:
                self._note_away()
                self._wake.clear()
                pause = min(max(pause, 0.1) * 1.5, _PAUSE_MOST_S)
                time.sleep(0.05)
            except Exception as error:  # whatever it is, the training goes on and the journals stay
                say(f"sending failed ({type(error).__name__}: {error}); it is tried again")
                time.sleep(_PAUSE_MOST_S)

    def _is_waiting(self, folder: RunFolder, own: str, leaving: bool) -> bool:
        asked = [(folder, own), *(list(self._leaving.values()) if leaving else ())]
        return any(
            item.waiting()
            for found, prefix in asked
            for item in found.journals()
            if item.path.name.startswith(prefix)
        )

    def _round(self) -> bool:
        more = False
        for folder, destination in list(self._folders.values()):
            with self._mutex:
                if folder.run_id in self._folders and self._hold(folder) and folder.waiting():
                    more = self._try(folder, destination) or more
        for folder, _ in list(self._leaving.values()):
            if not folder.waiting():
                self.drop(folder)
        if not self._swept and not more:
            self._swept = True
            sweep(self.target, known=set(self._folders))
        return more

    def _try(self, folder: RunFolder, destination: Destination) -> bool:
        try:
            return self._send(folder, destination)
        except RunRefusedError as error:
            self._folders.pop(folder.run_id, None)
            kept = folder.set_aside(str(error))
            say(f"the server does not take run {folder.run_id}: {error}; what was logged is kept in {kept}")
            return False

    def _send(self, folder: RunFolder, destination: Destination, *, start: bool = False) -> bool:
        last_chance = self._last_chance_at is not None and time.monotonic() > self._last_chance_at
        key = (destination.project, destination.actor)
        if key not in self._links:
            self._url = self.target.find(start=start or last_chance)
            self._links[key] = Link(self._url, *key)
        problems: list[str] = []
        try:
            more = send(folder, destination, self._links[key], problems)
        except UnavailableError:
            self._links.clear()
            raise
        else:
            self._reached_at = time.monotonic()
            self._has_given_up = self._has_told_of_waiting = False
            return more
        finally:
            for problem in problems:
                say(f"something of run {folder.run_id} was refused: {problem}")

    def _hold(self, folder: RunFolder) -> bool:
        if folder.run_id not in self._held and folder.path.is_dir() and folder.lock.acquire():
            self._held.add(folder.run_id)
        return folder.run_id in self._held

    def _note_away(self) -> None:
        self._away_since = self._away_since or time.monotonic()
        if not self._told and time.monotonic() - self._away_since > _TELL_AFTER_S:
            self._told = True
            say(f"the server does not answer; logging goes on in {self.target.home.runs} and is sent later")

    def _note_back(self) -> None:
        if self._told:
            say("the server is back; what was logged meanwhile is on its way")
        self._away_since, self._told = None, False


class Swept(msgspec.Struct):
    """What a sweep did: ids of runs that were sent, ended as killed, or still wait, and sentences about the rest."""

    sent: list[str] = []
    killed: list[str] = []
    waiting: list[str] = []
    problems: list[str] = []


def sync(home: Home, url: str = "") -> Swept:
    """Sends everything that waits in a home, starting its server where one is needed and none runs.

    Args:
        url: the server that takes what was logged to any other address, which may have been mistyped or have moved.
    """
    swept = sweep(Target(home, ""), start=True)
    named = {found.url for folder in folders(home) if (found := folder.destination())} - {""}
    for other in sorted(named):
        more = sweep(Target(home, url or other), stored=other)
        swept.sent += more.sent
        swept.killed += more.killed
        swept.waiting += more.waiting
        swept.problems += more.problems
    return swept


def sweep(
    target: Target, *, known: set[str] | None = None, start: bool = False, stored: str | None = None
) -> Swept:
    """Sends what processes that are gone left in the home, and ends their runs as killed.

    Args:
        known: runs that this process sends itself.
        start: whether a server is started where none runs and something is to be sent.
        stored: the address that the runs were logged to, where it is not the target's.

    Runs that another living process sends are left to it.
    """
    swept = Swept()
    stored = target.url if stored is None else stored
    for folder in folders(target.home):
        destination = folder.destination()
        if folder.run_id in (known or ()) or destination is None:
            continue
        if destination.url != stored or not folder.lock.acquire():
            continue
        try:
            _sweep_one(folder, destination, target, swept, start)
        except RunRefusedError as error:
            if stored != target.url:
                # Another server than the one that it was logged to may not know the run, which may still know it.
                swept.waiting.append(folder.run_id)
                swept.problems.append(
                    f"run {folder.run_id} waits: {target.url} does not take what was logged to {stored}: {error}"
                )
                continue
            kept = folder.set_aside(str(error))
            swept.problems.append(
                f"run {folder.run_id} was refused: {error}; what it logged is kept in {kept}"
            )
        except (UnavailableError, RemoteError) as error:
            swept.waiting.append(folder.run_id)
            swept.problems.append(f"run {folder.run_id} waits: {error}")
        finally:
            folder.lock.release()
    return swept


def _sweep_one(
    folder: RunFolder, destination: Destination, target: Target, swept: Swept, start: bool
) -> None:
    had, last_at = folder.waiting(), folder.last_written_at()
    link = Link(target.find(start=start), destination.project, destination.actor)
    try:
        while send(folder, destination, link, swept.problems):
            pass
        if folder.path.is_dir() and end_as_killed(folder, link, last_at):
            swept.killed.append(folder.run_id)
        if had or folder.run_id in swept.killed:
            swept.sent.append(folder.run_id)
    finally:
        link.close()


_shippers: dict[tuple[str, str], Shipper] = {}
_lock = threading.Lock()


def shipper_for(home: Home, url: str) -> Shipper:
    """The shipper of this process for a target."""
    with _lock:
        return _shippers.setdefault((str(home.root), url), Shipper(home, url))


def _forget_shippers_of_the_parent() -> None:
    global _lock
    _lock = threading.Lock()
    for shipper in _shippers.values():
        shipper.forget()
    _shippers.clear()


os.register_at_fork(after_in_child=_forget_shippers_of_the_parent)
