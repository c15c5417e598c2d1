"""The folder of one run in the home: its journals, where it goes, and who sends it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from holdfast.base.blobs import replace_file
from holdfast.base.clock import Micros
from holdfast.base.encoding import to_json
from holdfast.base.home import Home, ProcessLock
from holdfast.sdk.runs.journal import JournalFile

_ENDED = "ended"


class Destination(msgspec.Struct, frozen=True):
    """Where a run goes. An empty `url` is the server of the home."""

    run_id: str
    project: str
    actor: str
    url: str = ""


class RunFolder:
    """The paths of a run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = path / "files"
        self.lock = ProcessLock(path / "ship.lock")
        self._ended = path / _ENDED

    @property
    def run_id(self) -> str:
        return self.path.name

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Keeps other processes from making or removing folders of runs meanwhile; nobody keeps it for long."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path.parent / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            # A child forked meanwhile has the file open too, so closing it here would not let go of the lock.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    @contextlib.contextmanager
    def opening(self, destination: Destination) -> Iterator[None]:
        """While a file is made in it, the folder is there and says where its run goes."""
        with self.guarded():
            self.path.mkdir(exist_ok=True)
            if not (self.path / "run.json").exists():
                replace_file(self.path / "run.json", to_json(destination).encode())
            yield

    def destination(self) -> Destination | None:
        """Where the run goes, or None when the folder is not one of a run."""
        try:
            return msgspec.json.decode((self.path / "run.json").read_bytes(), type=Destination)
        except (OSError, msgspec.MsgspecError):
            return None

    def journals(self) -> list[JournalFile]:
        """The files of the journals, in the order in which they are sent."""
        return [JournalFile(path) for path in sorted(self.path.glob("*.log"))]

    def waiting(self) -> bool:
        """Whether there is something that the server does not have yet."""
        return any(journal.waiting() for journal in self.journals())

    def has_begun(self) -> bool:
        """Whether the server knows of the run: a journal that begins one is acknowledged in part, or gone."""
        first = [item for item in self.journals() if item.path.name.startswith("0-")][:1]
        return all(item.acknowledged or not item.path.name.endswith("-000000.log") for item in first)

    def has_writers(self) -> bool:
        """Whether a process still writes."""
        return not all(journal.is_closed() for journal in self.journals())

    def has_ended(self) -> bool:
        """Whether the server knows of the end of the run."""
        return self._ended.exists()

    def set_ended(self, ended: bool) -> None:
        if ended:
            self._ended.touch()
        else:
            self._ended.unlink(missing_ok=True)

    def last_written_at(self) -> Micros:
        """When the last entry was written, about."""
        times = [self.path.stat().st_mtime_ns // 1000]
        for journal in self.journals():
            with contextlib.suppress(OSError):
                times.append(journal.path.stat().st_mtime_ns // 1000)
        return max(times)

    def remove_sent(self) -> None:
        """Removes journals that are complete and acknowledged, and the folder once it holds nothing else."""
        with self.guarded(), contextlib.suppress(FileNotFoundError):
            journals = self.journals()
            for journal in journals:
                if journal.is_closed() and not journal.waiting():
                    journal.remove()
            if self.has_ended() and not self.journals():
                shutil.rmtree(self.path)

    def set_aside(self, reason: str) -> Path:
        """Keeps what the server refused, where nobody sends it again."""
        kept = self.path.with_name(f"{self.path.name}.refused")
        number = 1
        while kept.exists():
            number += 1
            kept = self.path.with_name(f"{self.path.name}.refused-{number}")
        with contextlib.suppress(OSError):
            (self.path / "refused.txt").write_text(reason + "\n")
            self.path.rename(kept)
        return kept


def folders(home: Home) -> list[RunFolder]:
    """The folders of a home that hold something to send."""
    if not home.runs.is_dir():
        return []
    return [RunFolder(path) for path in sorted(home.runs.iterdir()) if len(path.name) == 32 and path.is_dir()]
