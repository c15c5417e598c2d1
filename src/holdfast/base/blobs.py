"""Content-addressed files: the name of a blob is the blake3 of its bytes, so a blob never changes.

Writes go to a temporary file, are synced and renamed, and the folder is synced: a blob that has a name is
whole, after a crash too.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from blake3 import blake3

from holdfast.base.errors import InvalidError, NotFoundError

_CHUNK_BYTES = 1 << 20
_DIGITS = 64
# What is no blob yet, and what is about to be none any more; names that begin with a dot are passed over.
_INCOMING = ".incoming-"
_ASIDE = ".aside"


class Blobs:
    """A folder of blobs.

    Example:
        >>> import tempfile
        >>> blobs = Blobs(Path(tempfile.mkdtemp()))
        >>> blobs.read(blobs.put(b"seaweed"))
        b'seaweed'
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, data: bytes) -> str:
        """Stores bytes and returns their digest; the same bytes are stored once."""
        digest = blake3(data).hexdigest()
        if not self.renew(digest):
            with self._temporary() as handle:
                handle.write(data)
                self.publish(handle, digest)
        return digest

    def put_file(self, path: Path) -> str:
        """Stores a copy of a file with bounded memory and returns its digest."""
        hasher = blake3()
        with path.open("rb") as source, self._temporary() as handle:
            while chunk := source.read(_CHUNK_BYTES):
                hasher.update(chunk)
                handle.write(chunk)
            digest = hasher.hexdigest()
            if not self.renew(digest):
                self.publish(handle, digest)
        return digest

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """The path of a file to write that `take_file` may then make a blob of; left alone, it is removed."""
        with self._temporary() as handle:
            yield Path(str(handle.name))

    def take_file(self, path: Path) -> str:
        """Makes a blob of a file from `scratch` without copying it, and returns its digest."""
        digest = digest_of(path)
        with path.open("r+b") as handle:
            if not self.renew(digest):
                self.publish(handle, digest)
        return digest

    def incoming(self) -> IncomingBlob:
        """A blob that is still coming in, a piece at a time, with bounded memory."""
        self.root.mkdir(parents=True, exist_ok=True)
        return IncomingBlob(self)

    def exists(self, digest: str) -> bool:
        return self._location(digest).exists()

    def renew(self, digest: str) -> bool:
        """Whether the blob is there. Then it is young again: whoever puts bytes is about to refer to them, and until
        the row is written only the age of the blob keeps it from being collected."""
        try:
            os.utime(self._location(digest))
        except FileNotFoundError:
            return False
        return True

    def listed(self) -> Iterator[tuple[str, os.stat_result]]:
        """Every blob with its status; one that goes meanwhile is left out."""
        for folder in sorted(self.root.glob("[0-9a-f][0-9a-f]")):
            for entry in os.scandir(folder):
                if len(entry.name) == _DIGITS:
                    with contextlib.suppress(FileNotFoundError):
                        yield entry.name, entry.stat()

    def discard(self, digest: str, oldest: float) -> bool:
        """Removes a blob last renewed before `oldest` (seconds, by the file system's clock); whether it did.

        It is set aside first: whoever renews it from then on finds nothing and writes it anew, and whoever did so
        before is seen by its age.
        """
        place = self._location(digest)
        aside = self.root / _ASIDE / digest
        try:
            if place.stat().st_mtime >= oldest:
                return False
            aside.parent.mkdir(exist_ok=True)
            place.rename(aside)
            if aside.stat().st_mtime >= oldest:
                aside.rename(place)
                return False
            aside.unlink()
        except FileNotFoundError:
            return False
        return True

    def bring_back(self) -> int:
        """Undoes what a crash left half done: blobs that were set aside are blobs again. How many there were."""
        count = 0
        for aside in (self.root / _ASIDE).glob("*"):
            with contextlib.suppress(FileNotFoundError):
                aside.rename(self._location(aside.name))
                count += 1
        return count

    def clear_incoming(self, oldest: float) -> tuple[int, int]:
        """Removes what writers that were killed left half written before `oldest`; how many files and bytes."""
        count = size = 0
        for path in self.root.glob(f"{_INCOMING}*"):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                if status.st_mtime < oldest:
                    path.unlink()
                    count, size = count + 1, size + status.st_size
        return count, size

    def path(self, digest: str) -> Path:
        """The file of a blob, to be read only.

        Raises:
            NotFoundError: when there is no such blob.
        """
        location = self._location(digest)
        if not location.exists():
            raise NotFoundError(f"blob {digest[:16]} is missing", hint="restore the home from its backup")
        return location

    def read(self, digest: str) -> bytes:
        return self.path(digest).read_bytes()

    def verify(self, digest: str) -> bool:
        """Whether the bytes still hash to their name."""
        return digest_of(self.path(digest)) == digest

    def _location(self, digest: str) -> Path:
        if len(digest) != _DIGITS or not digest.isalnum():
            raise InvalidError(f"{digest!r} is not a blob digest", hint="a digest is 64 hexadecimal digits")
        return self.root / digest[:2] / digest

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[IO[bytes]]:
        self.root.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self.root, prefix=_INCOMING, delete=False) as handle:
            try:
                yield handle.file
            finally:
                Path(handle.name).unlink(missing_ok=True)

    def publish(self, handle: IO[bytes], digest: str) -> None:
        """Gives the bytes in a file of this folder their name, once they are durable."""
        handle.flush()
        os.fsync(handle.fileno())
        os.utime(handle.fileno())
        target = self._location(digest)
        target.parent.mkdir(exist_ok=True)
        Path(handle.name).replace(target)
        sync_folder(target.parent)


class IncomingBlob:
    """Takes bytes in until `keep` makes a blob of them; left without `keep`, nothing remains.

    Example:
        >>> import tempfile
        >>> with Blobs(Path(tempfile.mkdtemp())).incoming() as incoming:
        ...     incoming.write(b"sea")
        ...     incoming.write(b"weed")
        ...     size = incoming.keep()[1]
        >>> size
        7
    """

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._hasher = blake3()
        self._handle = tempfile.NamedTemporaryFile(dir=blobs.root, prefix=_INCOMING, delete=False)  # noqa: SIM115
        self.size_bytes = 0

    def write(self, chunk: bytes) -> None:
        """Takes the next bytes."""
        self._hasher.update(chunk)
        self._handle.write(chunk)
        self.size_bytes += len(chunk)

    def keep(self) -> tuple[str, int]:
        """Makes the blob durable and returns its digest and size in bytes."""
        digest = self._hasher.hexdigest()
        if not self._blobs.renew(digest):
            self._blobs.publish(self._handle, digest)
        return digest, self.size_bytes

    def __enter__(self) -> IncomingBlob:
        return self

    def __exit__(self, *_: object) -> None:
        # On a full disk closing fails too, because it writes what is left; the file must go all the same.
        with contextlib.suppress(OSError):
            self._handle.close()
        Path(self._handle.name).unlink(missing_ok=True)


def digest_of(path: Path) -> str:
    """The blake3 of a file's bytes, with bounded memory."""
    hasher = blake3()
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()


def sync_folder(folder: Path) -> None:
    """Makes renames and new files in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(target: Path, data: bytes) -> None:
    """Replaces a file atomically and durably: readers see the old bytes or the new ones, never a mixture."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}-", delete=False) as handle:
        try:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
            Path(handle.name).replace(target)
        except BaseException:
            Path(handle.name).unlink(missing_ok=True)
            raise
    sync_folder(target.parent)
