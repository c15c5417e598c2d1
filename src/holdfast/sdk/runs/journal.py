"""The journal of a run: what it logged, in files of the home, until the server has acknowledged it.

HOME/runs/RUN_ID/
    run.json                    where the run goes: project, actor, server
    ship.lock                   held by the one process that sends what the journals hold
    0-WRITER-000000.log         the process that began the run; 1-… another process or a forked child
    0-WRITER-000000.log.at      how many bytes of it are acknowledged
    files/                      copies of artifacts that could not be sent at once
    ended                       the end is acknowledged, but somebody still writes

Each process writes files of its own and holds a lock on the one it writes, so that nobody needs to agree with
anybody, and a file whose lock is free is complete. Entries are copied into a shared mapping of the file: the kernel has
them at once, so they survive the death of the process, however it dies. It is not synced: a power cut may cost the last
seconds. Unlike a `write`, the copy does not let go of the interpreter's lock, which a busy thread would give back only
after milliseconds. The room of a file is reserved when it is opened, so that a full disk shows there.

A frame is: length of the payload, its CRC-32 (both u32, little endian), the payload (msgpack). A length of 0, or a
frame that is cut off, ends the file.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import random
import struct
import threading
import weakref
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from holdfast.sdk.runs.entries import Entry, decode, encode

_HEAD = struct.Struct("<II")
_FILE_BYTES = 1 << 20
_FRAME_BYTES_MOST = 128 << 20
_READ_BYTES = 1 << 20
_names = random.SystemRandom()
_writers: weakref.WeakSet[Journal] = weakref.WeakSet()


class Journal:
    """Appends entries for one process; safe in threads, and in a forked child, which gets files of its own.

    Args:
        folder: the folder of the run.
        opening: is entered while a file is made in the folder, and makes the folder where it is gone.
        rank: 0 for the process that begins the run, 1 for every other one.
    """

    def __init__(
        self, folder: Path, opening: Callable[[], contextlib.AbstractContextManager[None]], rank: int
    ) -> None:
        self._folder = folder
        self._opening = opening
        self._rank = rank
        self._writer = _new_writer()
        self._number = 0
        self._descriptor: int | None = None
        self._room: mmap.mmap | None = None
        self._size = 0
        self._size_most = 0
        # A signal handler may log while the same thread is in the middle of logging: its entry comes after that one.
        self._lock = threading.RLock()
        self._busy = False
        self._waiting: list[bytes] = []
        _writers.add(self)

    @property
    def prefix(self) -> str:
        """How the names of this process's files begin."""
        return f"{self._rank}-{self._writer}-"

    def append(self, entry: Entry) -> None:
        """Adds an entry.

        Raises:
            OSError: the disk is full or gone; nothing of the entry was kept.
        """
        payload = encode(entry)
        frame = _HEAD.pack(len(payload), zlib.crc32(payload)) + payload
        with self._lock:
            self._waiting.append(frame)
            if not self._busy:
                self._write_waiting()

    def close(self) -> None:
        """Lets go of the file; another entry would open a new one."""
        with self._lock:
            descriptor = self._descriptor
            self._let_go()
            if descriptor is not None:
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, self._size)
                fcntl.flock(descriptor, fcntl.LOCK_UN)
                os.close(descriptor)
            self._size = 0

    def _write_waiting(self) -> None:
        self._busy = True
        try:
            while self._waiting:
                frame = self._waiting.pop(0)
                if self._size + len(frame) > self._size_most:
                    self._open_next(len(frame))
                assert self._room is not None
                end = self._size + len(frame)
                self._room[self._size : end] = frame
                self._size = end
        finally:
            self._busy = False

    def _open_next(self, size: int) -> None:
        """Goes on in a new file, which is there before the old one is let go: a run without one counts as abandoned."""
        path = self._folder / f"{self._rank}-{self._writer}-{self._number:06d}.log"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with self._opening():
            descriptor = os.open(path, flags, 0o600)
            # Waits for whoever looks whether the file of a dead process may go; that takes an instant.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        self._number += 1
        try:
            room = max(_FILE_BYTES, size)
            _reserve(descriptor, room)
            mapped = mmap.mmap(descriptor, room)
        except OSError:
            path.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        self.close()
        self._descriptor, self._room, self._size, self._size_most = descriptor, mapped, 0, room

    def _let_go(self) -> None:
        if self._room is not None:
            self._room.close()
        self._descriptor, self._room, self._size_most = None, None, 0

    def _forked(self) -> None:
        """In a forked child: the file belongs to the parent, and a thread that is not here may hold the lock."""
        self._lock = threading.RLock()
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._let_go()
        self._size, self._writer, self._number, self._rank = 0, _new_writer(), 0, 1
        self._busy, self._waiting = False, []


def _reserve(descriptor: int, size: int) -> None:
    """Makes a file so large, with room on the disk for all of it."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    elif os.write(descriptor, bytes(size)) < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _new_writer() -> str:
    return f"{_names.getrandbits(48):012x}"


def _forget_files_of_the_parent() -> None:
    for writer in list(_writers):
        writer._forked()


os.register_at_fork(after_in_child=_forget_files_of_the_parent)


class Place(NamedTuple):
    """An entry of a file, and where it ends."""

    entry: Entry
    end: int


class JournalFile:
    """A file of a journal as the sender sees it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mark = path.with_name(path.name + ".at")

    @property
    def acknowledged(self) -> int:
        """How many bytes the server has."""
        try:
            return int(self._mark.read_text() or "0")
        except (OSError, ValueError):
            return 0

    def acknowledge(self, position: int) -> None:
        """Notes that the server has everything up to a position."""
        beside = self._mark.with_name(self._mark.name + ".new")
        beside.write_text(str(position))
        beside.replace(self._mark)

    def waiting(self) -> bool:
        """Whether there is something that the server does not have yet; False when the file is gone."""
        with contextlib.suppress(FileNotFoundError), self.path.open("rb", buffering=0) as source:
            source.seek(self.acknowledged)
            head = source.read(_HEAD.size)
            return len(head) == _HEAD.size and _HEAD.unpack(head)[0] != 0
        return False

    def entries(self, start: int) -> Iterator[Place]:
        """The complete entries from a position on.

        An entry that does not fit its checksum ends the file: after a power cut nothing behind it can be trusted.
        """
        with contextlib.suppress(FileNotFoundError), self.path.open("rb", buffering=_READ_BYTES) as source:
            source.seek(start)
            position = start
            while len(head := source.read(_HEAD.size)) == _HEAD.size:
                length, checksum = _HEAD.unpack(head)
                if not 0 < length <= _FRAME_BYTES_MOST:
                    return
                payload = source.read(length)
                if len(payload) < length or zlib.crc32(payload) != checksum:
                    return
                position += _HEAD.size + length
                try:
                    yield Place(decode(payload), position)
                except msgspec.DecodeError:
                    return

    def is_closed(self) -> bool:
        """Whether nobody writes this file any more."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Said outright, because a child forked meanwhile has the file open too.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True

    def remove(self) -> None:
        """Removes the file."""
        self.path.unlink(missing_ok=True)
        self._mark.unlink(missing_ok=True)
