"""Blobs that nothing refers to any more: which they are, and how they go without taking one that is needed.

Each domain names the blobs its rows refer to. Whatever is not named and is old goes. It may be said again at any
instant that a blob is needed, by a process that knows nothing of the collection, so three things hold:

- Bytes are written before the row that names them. A blob younger than the grace stays, and bytes that are put a second
  time make their blob young again (`Blobs`).
- The old blobs are listed first and the rows read afterwards, so a row is missed only if it is written later, and then
  its blob has been made young.
- A blob is set aside by a rename and looked at once more before it is removed. One that was made young meanwhile
  comes back; after a crash in between every blob that is set aside comes back (`Blobs.bring_back`).

A lock in the folder keeps collections apart from backups, and from whatever writes blobs for longer than the grace
before a row names them; also among servers that share the folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from holdfast.base.blobs import Blobs
from holdfast.base.errors import ConflictError
from holdfast.base.ledger.protocol import Reader, Row

References = Callable[[Reader], Iterable[str]]

_DIGEST = re.compile(r"(?<![0-9a-zA-Z])[0-9a-f]{64}(?![0-9a-zA-Z])")
_LOCK = ".lock"
_LOOK_EVERY_S = 0.1
# So many blobs are removed between two looks at whether this is still ours to do.
_BATCH = 500


class Unreferenced(msgspec.Struct, frozen=True):
    """The blobs that may go, by digest with their size in bytes, and how many of the others are only too young."""

    blobs: dict[str, int]
    young: int


class Swept(msgspec.Struct, frozen=True):
    """What a sweep removed."""

    blobs: int
    size_bytes: int


def digests_in(text: str | None) -> Iterator[str]:
    """Every digest in a text, whatever the record around it looks like.

    Searching texts rather than reading fields keeps a blob that a later release refers to by a field of its own.

    Example:
        >>> list(digests_in('{"profile": "' + "ab" * 32 + '", "rows": 3}')) == ["ab" * 32]
        True
    """
    return (match[0] for match in _DIGEST.finditer(text or ""))


def digests_of(rows: Iterable[Row]) -> Iterator[str]:
    """Every digest in the texts of some rows."""
    for row in rows:
        for text in dict(row).values():
            yield from digests_in(text)


def references_in_files(folder: Path) -> References:
    """The digests in the files below a folder, such as those that serving processes work from."""

    def read(_: Reader) -> Iterator[str]:
        for path in sorted(folder.rglob("*")):
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                yield from digests_in(path.read_text(errors="replace"))

    return read


@contextlib.contextmanager
def hold(blobs: Path, *, alone: bool, within_s: float, refused: str) -> Iterator[None]:
    """Keeps a collection (`alone`) of a folder of blobs apart from all else that holds it, while the block lasts.

    Backups and long writers hold it beside each other. The lock ends with the process, however it ends.

    Raises:
        ConflictError: it was not free within so many seconds; `refused` says why not.
    """
    blobs.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(blobs / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + within_s
        while not _locked(descriptor, alone):
            if time.monotonic() >= deadline:
                raise ConflictError(refused, hint="try again when it is done")
            time.sleep(_LOOK_EVERY_S)
        yield
    finally:
        # Let go outright: a child that was forked meanwhile has the descriptor too, and would keep the lock.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def unreferenced(
    blobs: Blobs, reader: Callable[[], contextlib.AbstractContextManager[Reader]],
    sources: Sequence[References], grace_s: float,
) -> Unreferenced:  # fmt: skip
    """The blobs that no source names and that are older than the grace.

    Args:
        reader: opens a snapshot; it is opened after the blobs were listed.
        sources: name blobs, any number of times.
    """
    oldest = now_on_disk(blobs.root) - grace_s
    old, young = dict[bytes, int](), set[bytes]()
    for digest, status in blobs.listed():
        if status.st_mtime < oldest:
            old[bytes.fromhex(digest)] = status.st_size
        else:
            young.add(bytes.fromhex(digest))
    with reader() as snapshot:
        for source in sources:
            for digest in source(snapshot):
                key = bytes.fromhex(digest)
                old.pop(key, None)
                young.discard(key)
    return Unreferenced({key.hex(): size for key, size in old.items()}, len(young))


def sweep(blobs: Blobs, found: Unreferenced, grace_s: float, check: Callable[[], None]) -> Swept:
    """Removes what was found, except what has been made young since.

    Args:
        check: raises when this process may not go on, such as one that leads no more.
    """
    oldest = now_on_disk(blobs.root) - grace_s
    count = size = 0
    for number, (digest, size_bytes) in enumerate(found.blobs.items()):
        if number % _BATCH == 0:
            check()
        if blobs.discard(digest, oldest):
            count, size = count + 1, size + size_bytes
    return Swept(count, size)


def now_on_disk(folder: Path) -> float:
    """What the clock of the file system says, by which the ages of its files are told; no other clock will do."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".now-") as handle:
        return os.fstat(handle.fileno()).st_mtime


def _locked(descriptor: int, alone: bool) -> bool:
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
