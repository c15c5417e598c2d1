"""The spool: append-only segment files that hold what serving answered before anybody hears of it.

    <spool>/<project>/<environment>/<name>/<segment>.open      its writer lives (it holds the file's flock)
    <spool>/<project>/<environment>/<name>/<segment>.closed    complete; ready to be shipped

A file is a magic word and frames of `u32 length, u32 crc32, msgpack Frame` (little endian). One append is one
write, so that after a kill -9 a file ends in whole frames or in one torn tail, which the checksum tells. A
restarted process never appends to an old file. `<segment>` is `<worker>-<start>-<pid>-<sequence>`, whose sort
order is the order of creation for each worker.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import struct
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from holdfast.base.clock import Micros
from holdfast.base.errors import UnavailableError
from holdfast.serving.records import DeploymentKey, Frame, PredictionFrame, SchemaFrame

logger = logging.getLogger(__name__)

Durability = Literal["process", "fsync"]

MAGIC = b"HFSPOOL1"
OPEN, CLOSED = ".open", ".closed"
SEGMENT_BYTES = 64 << 20
SEGMENT_AGE_S = 3600.0

_FRAMES_AT_ONCE = 4_096
_HEADER = struct.Struct("<II")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Frame).decode


class SpoolError(UnavailableError):
    """The record of a prediction or label cannot be written, so it must not be acknowledged."""

    code = "log_unavailable"


def deployment_folder(spool: Path, key: DeploymentKey) -> Path:
    """Where the segments of a deployment lie."""
    return spool / key.project / key.environment / key.name


def pack(frame: Frame) -> bytes:
    """A frame as it stands in a segment."""
    payload = _encode(frame)
    return _HEADER.pack(len(payload), zlib.crc32(payload)) + payload


class SpoolWriter:
    """Appends frames of one deployment for one worker; safe to share between threads.

    `durability="process"` survives the death of the process (the kernel has the bytes); `"fsync"` also waits for
    the disk. A segment is closed when it reaches `segment_bytes` or `segment_age_s` (real seconds).

    Raises (all appending methods):
        SpoolError: the frames could not be written whole; none of them is in the log.
    """

    def __init__(
        self,
        folder: Path,
        worker: str,
        start_at: Micros,
        *,
        durability: Durability = "process",
        segment_bytes: int = SEGMENT_BYTES,
        segment_age_s: float = SEGMENT_AGE_S,
    ) -> None:
        self.folder = folder
        self._prefix = f"{worker}-{start_at:016x}-{os.getpid()}"
        self._durability = durability
        self._segment_bytes = segment_bytes
        self._segment_age_s = segment_age_s
        self._schemas: dict[int, bytes] = {}
        self._named: set[int] = set()
        self._lock = threading.Lock()
        self._descriptor = -1
        self._path = folder
        self._size = 0
        self._opened_s = 0.0
        self._sequence = 0

    def declare(self, schema: SchemaFrame) -> None:
        """Makes the columns of a version known; must come before its first prediction."""
        with self._lock:
            self._schemas[schema.version] = pack(schema)

    def append(self, frames: Sequence[Frame]) -> None:
        """Writes the frames with one system call; when it returns they outlive this process."""
        packed = [pack(frame) for frame in frames]
        versions = {frame.version for frame in frames if type(frame) is PredictionFrame}
        with self._lock:
            self._prepare()
            missing = versions - self._named
            data = b"".join([*(self._schemas[version] for version in sorted(missing)), *packed])
            self._write(data)
            self._named |= missing

    def append_prediction(self, frame: PredictionFrame) -> None:
        """`append` for the one frame of a request, without the bookkeeping of a group."""
        payload = _encode(frame)
        data = _HEADER.pack(len(payload), zlib.crc32(payload)) + payload
        with self._lock:
            if self._descriptor < 0 or self._size >= self._segment_bytes:
                self._prepare()
            if frame.version not in self._named:
                data = self._schemas[frame.version] + data
            self._write(data)
            self._named.add(frame.version)

    def rotate_if_due(self) -> None:
        """Closes a segment that is old enough, so that a quiet deployment is shipped too."""
        with self._lock:
            if self._descriptor >= 0 and time.monotonic() - self._opened_s >= self._segment_age_s:
                self._close()

    def close(self) -> None:
        """Closes the open segment; the next append begins another."""
        with self._lock:
            if self._descriptor >= 0:
                self._close()

    def _prepare(self) -> None:
        try:
            if self._descriptor >= 0 and self._size >= self._segment_bytes:
                self._close()
            if self._descriptor < 0:
                self._open()
        except OSError as error:
            raise _unavailable(self.folder, error) from error

    def _open(self) -> None:
        # The file gets its name only when it is locked: recovery takes an unlocked `.open` for a dead writer's.
        self.folder.mkdir(parents=True, exist_ok=True)
        self._sequence += 1
        path = self.folder / f"{self._prefix}-{self._sequence:06d}{OPEN}"
        unnamed = self.folder / f".{path.name}"
        descriptor = os.open(
            unnamed, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.write(descriptor, MAGIC) != len(MAGIC):
                raise OSError(errno.ENOSPC, "no space left on device")
            unnamed.rename(path)
        except OSError:
            os.close(descriptor)
            unnamed.unlink(missing_ok=True)
            raise
        self._descriptor, self._path, self._size = descriptor, path, len(MAGIC)
        self._opened_s = time.monotonic()
        self._named = set()

    def _write(self, data: bytes) -> None:
        try:
            written = os.write(self._descriptor, data)
            if written != len(data):
                raise OSError(errno.ENOSPC, "no space left on device")
            if self._durability == "fsync":
                os.fdatasync(self._descriptor)
        except OSError as error:
            self._abandon()
            raise _unavailable(self.folder, error) from error
        self._size += written

    def _abandon(self) -> None:
        # A reader may have seen the beginning of what is cut off here, so no other bytes may take its place:
        # the segment ends with its last good frame and the next append begins another.
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, self._size)
        with contextlib.suppress(OSError):
            self._close()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        try:
            self._path.rename(self._path.with_suffix(CLOSED))
        finally:
            os.close(descriptor)


def read_segment(path: Path, offset: int = 0) -> tuple[list[tuple[int, Frame]], int]:
    """The whole frames from byte `offset` on, each with its own offset, and the offset behind the last.

    A torn tail, which the death of a writer leaves, ends the list. The file may be growing.

    Raises:
        OSError: when the file cannot be read.
    """
    frames: list[tuple[int, Frame]] = []
    end = max(offset, len(MAGIC))
    for some, reached in iterate_segment(path, offset):
        frames += some
        end = reached
    return frames, end


def iterate_segment(path: Path, offset: int = 0) -> Iterator[tuple[list[tuple[int, Frame]], int]]:
    """`read_segment` a few thousand frames at a time.

    A decoded frame takes ten times its bytes. Whoever condenses each part before taking the next stays in memory
    that the processor has at hand, which is several times faster for a large segment.
    """
    start = max(offset, len(MAGIC))
    with path.open("rb") as handle:
        if handle.read(len(MAGIC)) != MAGIC:
            return
        handle.seek(start)
        data = handle.read()
    position = 0
    while True:
        before = position
        frames, position = decode_frames(data, position, _FRAMES_AT_ONCE)
        if position == before:
            break
        yield [(start + at, frame) for at, frame in frames], start + position
    if position < len(data) and path.suffix == CLOSED:
        logger.warning("%s ends in %d bytes that are no frame", path, len(data) - position)


def decode_frames(
    data: bytes, position: int = 0, most: int | None = None
) -> tuple[list[tuple[int, Frame]], int]:
    """Whole frames of `data` from `position` on, at most so many, with their offsets, and where they end."""
    frames: list[tuple[int, Frame]] = []
    add, unpack, checksum, decode = frames.append, _HEADER.unpack_from, zlib.crc32, _decode
    view, limit = memoryview(data), len(data) - _HEADER.size
    unknown, why = 0, ""
    while position <= limit and len(frames) != most:
        length, expected = unpack(data, position)
        begin = position + 8
        payload = view[begin : begin + length]
        if not length or len(payload) != length or checksum(payload) != expected:
            break
        try:
            add((position, decode(payload)))
        except msgspec.MsgspecError as error:
            unknown, why = unknown + 1, str(error)
        position = begin + length
    if unknown:
        # A serving process of a later release may log kinds of frames that this one does not know.
        logger.warning("%d frames are not understood and passed over (%s)", unknown, why)
    return frames, position


def recover(spool: Path) -> list[Path]:
    """Closes the segments that dead writers left open, torn tails cut off; returns the closed files."""
    closed = []
    for path in sorted(spool.glob(f"*/*/*/*{OPEN}")):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.name.startswith("."):
                path.unlink()
                continue
            end = max((reached for _, reached in iterate_segment(path)), default=0)
            if end:
                os.ftruncate(descriptor, end)
            closed.append(path.rename(path.with_suffix(CLOSED)))
        except (BlockingIOError, FileNotFoundError):
            continue  # Its writer lives, or another worker recovers at the same time.
        finally:
            os.close(descriptor)
    return closed


def _unavailable(folder: Path, error: OSError) -> SpoolError:
    return SpoolError(
        f"the prediction log in {folder} cannot be written ({error.strerror or error})",
        hint="free space or mend the disk; nothing was acknowledged",
    )
