"""The home: where everything of one holdfast lives, and who is its server.

    ledger.db   blobs/   serving/{deployments,spool}/   segments/   online/   run/   runs/   tmp/

`run/server.lock` is locked by the one server for as long as it lives; `run/server.json` says its pid and URL.
The lock is the truth: the kernel lets go of it when the process dies, however it dies.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import msgspec

from holdfast.base.blobs import replace_file
from holdfast.base.encoding import to_json
from holdfast.base.errors import HomeError

_CLAIM_WITHIN_S = 0.05
_CLAIM_PAUSE_S = 0.005


class ServerInfo(msgspec.Struct, frozen=True):
    """Where the server of a home listens.

    `until_idle` marks a server that a command or script started in the background: it leaves by itself, and gives way
    to one that a person starts.
    """

    pid: int
    url: str
    until_idle: bool = False


class Home:
    """The paths of a home. Creating the object touches nothing; `prepare` makes the folders."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self.ledger = self.root / "ledger.db"
        self.blobs = self.root / "blobs"
        self.deployments = self.root / "serving" / "deployments"
        self.spool = self.root / "serving" / "spool"
        self.segments = self.root / "segments"
        self.online = self.root / "online"
        self.run = self.root / "run"
        self.runs = self.root / "runs"
        self.tmp = self.root / "tmp"

    def prepare(self) -> None:
        """Makes the folders; a home that is new is its owner's alone.

        Raises:
            HomeError: when they cannot be made.
        """
        try:
            make_private(self.root)
            for folder in (
                self.blobs,
                self.deployments,
                self.spool,
                self.segments,
                self.online,
                self.run,
                self.tmp,
            ):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HomeError(
                f"the home {self.root} cannot be created ({error.strerror})",
                hint="name another with --home or HOLDFAST_HOME",
            ) from error

    def server(self) -> ServerInfo | None:
        """The running server of this home, or None. A file left behind by a dead server does not count."""
        try:
            info = msgspec.json.decode((self.run / "server.json").read_bytes(), type=ServerInfo)
        except (OSError, msgspec.DecodeError):
            return None
        return info if _is_locked(self.run / "server.lock") else None

    def serving(self) -> ServerInfo | None:
        """The running serving process of this home, or None."""
        try:
            info = msgspec.json.decode((self.run / "serving.json").read_bytes(), type=ServerInfo)
        except (OSError, msgspec.DecodeError):
            return None
        return info if _is_locked(self.run / "serving.lock") else None

    def announce(self, role: str, info: ServerInfo) -> None:
        """Publishes where this process (role `server` or `serving`) listens."""
        replace_file(self.run / f"{role}.json", to_json(info).encode())

    def claim(self, role: str, *, within_s: float = _CLAIM_WITHIN_S) -> ProcessLock:
        """Takes the lock of a role for the life of this process.

        Args:
            within_s: how long to wait for whoever holds it, by default no longer than somebody who only looks.

        Raises:
            HomeError: when another process holds it.
        """
        self.prepare()
        lock = ProcessLock(self.run / f"{role}.lock")
        if not acquire_patiently(lock, within_s):
            info = self.server() if role == "server" else self.serving()
            where = f" (pid {info.pid}, {info.url})" if info else ""
            raise HomeError(
                f"the home {self.root} already has a running {role} process{where}",
                hint="use it, stop it, or name another home with --home",
            )
        # What a killed process announced must not be taken for this one's address before it has its own.
        (self.run / f"{role}.json").unlink(missing_ok=True)
        return lock


def make_private(folder: Path) -> None:
    """Makes a folder that nobody else on this machine can look into; one that exists keeps its permissions.

    A home and its backups hold what must not be read by others, such as the secrets of webhooks.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


class ProcessLock:
    """An exclusive lock on a file that ends with the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Whether the lock was free and is now ours."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Lets go of the lock, also where a forked child has its file open."""
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            self.forget()

    def forget(self) -> None:
        """In a forked child: leaves the lock to the parent."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def acquire_patiently(lock: ProcessLock, within_s: float = _CLAIM_WITHIN_S) -> bool:
    """Takes a lock that someone may hold for an instant only to see whether it is held."""
    deadline = time.monotonic() + within_s
    while not lock.acquire():
        if time.monotonic() > deadline:
            return False
        time.sleep(_CLAIM_PAUSE_S)
    return True


def _is_locked(path: Path) -> bool:
    probe = ProcessLock(path)
    if probe.acquire():
        probe.release()
        return False
    return True
