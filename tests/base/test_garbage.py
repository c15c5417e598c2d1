"""Blobs that nothing refers to go, and none that somebody is about to refer to."""

from __future__ import annotations

import contextlib
import doctest
import multiprocessing
import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast.base import garbage
from holdfast.base.blobs import Blobs
from holdfast.base.errors import ConflictError
from holdfast.base.garbage import digests_in, hold, sweep, unreferenced

GRACE_S = 3600.0


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def age(blobs: Blobs, digest: str, by_s: float = 2 * GRACE_S) -> None:
    path = blobs.path(digest)
    at = path.stat().st_mtime - by_s
    os.utime(path, (at, at))


def collect(blobs: Blobs, named: set[str], grace_s: float = GRACE_S) -> garbage.Swept:
    found = unreferenced(blobs, contextlib.nullcontext, [lambda _: named], grace_s)  # type: ignore[arg-type]
    return sweep(blobs, found, grace_s, lambda: None)


def test_the_examples_hold() -> None:
    assert doctest.testmod(garbage).failed == 0


def test_only_what_is_old_and_not_named_goes(blobs: Blobs) -> None:
    named, old, young = (blobs.put(text) for text in (b"named", b"old and long", b"young"))
    for digest in (named, old):
        age(blobs, digest)
    found = unreferenced(blobs, contextlib.nullcontext, [lambda _: {named}], GRACE_S)  # type: ignore[arg-type]
    assert (found.blobs, found.young) == ({old: 12}, 1)
    assert sweep(blobs, found, GRACE_S, lambda: None) == garbage.Swept(1, 12)
    assert [blobs.exists(digest) for digest in (named, old, young)] == [True, False, True]
    assert collect(blobs, {named}).blobs == 0


def test_digests_are_found_in_any_text_and_nothing_else_is() -> None:
    one, two = "ab" * 32, "12" * 32
    assert list(digests_in(f'{{"a": "{one}", "b": ["{two}"]}} {one}0 {"g" * 64} {"A" * 64}')) == [one, two]
    assert list(digests_in(None)) == []


@pytest.mark.parametrize("how", ["put", "put_file", "incoming"])
def test_bytes_that_are_put_again_make_their_blob_young(blobs: Blobs, tmp_path: Path, how: str) -> None:
    digest = blobs.put(b"weed")
    age(blobs, digest)
    found = unreferenced(blobs, contextlib.nullcontext, [], GRACE_S)  # type: ignore[arg-type]
    assert list(found.blobs) == [digest]
    # It is put between the look and the sweep.
    if how == "put":
        blobs.put(b"weed")
    elif how == "put_file":
        (tmp_path / "weed").write_bytes(b"weed")
        blobs.put_file(tmp_path / "weed")
    else:
        with blobs.incoming() as incoming:
            incoming.write(b"weed")
            incoming.keep()
    assert sweep(blobs, found, GRACE_S, lambda: None).blobs == 0
    assert blobs.read(digest) == b"weed"


@pytest.mark.parametrize("moment", range(8))
def test_bytes_put_at_any_moment_of_the_removal_are_there_afterwards(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """The put happens before the n-th thing that `discard` asks of the file system."""
    digest = blobs.put(b"weed")
    age(blobs, digest)
    oldest = garbage.now_on_disk(blobs.root) - GRACE_S
    steps = 0
    inside = False

    def meddled(original: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            nonlocal steps, inside
            if not inside:
                inside = True
                if steps == moment:
                    assert blobs.put(b"weed") == digest
                steps += 1
                try:
                    return original(*arguments, **options)
                finally:
                    inside = False
            return original(*arguments, **options)

        return step

    with monkeypatch.context() as patched:
        for name in ("stat", "rename", "unlink", "mkdir"):
            patched.setattr(Path, name, meddled(getattr(Path, name)))
        gone = blobs.discard(digest, oldest)
    if moment >= steps:
        assert gone and not blobs.exists(digest)
        return
    assert blobs.read(digest) == b"weed"


@pytest.mark.parametrize("moment", range(6))
def test_a_crash_at_any_moment_of_the_removal_loses_nothing_that_is_needed(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """Put again between look and rename, then the process dies at the n-th step: mending brings the blob back."""
    digest = blobs.put(b"weed")
    age(blobs, digest)
    oldest = garbage.now_on_disk(blobs.root) - GRACE_S
    steps = 0

    class Killed(BaseException):
        pass

    def dying(original: Callable[..., Any], name: str) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            nonlocal steps
            if name == "rename" and steps <= 2:
                os.utime(arguments[0])
            if steps == moment:
                raise Killed
            steps += 1
            return original(*arguments, **options)

        return step

    with monkeypatch.context() as patched, contextlib.suppress(Killed):
        for name in ("stat", "rename", "unlink"):
            patched.setattr(Path, name, dying(getattr(Path, name), name))
        blobs.discard(digest, oldest)
    Blobs(blobs.root).bring_back()
    assert blobs.read(digest) == b"weed"
    assert not any((blobs.root / ".aside").glob("*"))


def test_what_a_killed_writer_left_half_written_goes_in_time(blobs: Blobs) -> None:
    with blobs.incoming() as incoming:
        incoming.write(b"still coming")
        old = blobs.root / ".incoming-dead"
        old.write_bytes(b"half")
        at = old.stat().st_mtime - 2 * GRACE_S
        os.utime(old, (at, at))
        assert blobs.clear_incoming(garbage.now_on_disk(blobs.root) - GRACE_S) == (1, 4)
        digest, _ = incoming.keep()
    assert blobs.read(digest) == b"still coming"


def test_a_sweep_stops_where_it_is_no_longer_ours(blobs: Blobs) -> None:
    for number in range(3):
        age(blobs, blobs.put(bytes([number])))
    found = unreferenced(blobs, contextlib.nullcontext, [], GRACE_S)  # type: ignore[arg-type]

    def lost() -> None:
        raise ConflictError("another server leads")

    with pytest.raises(ConflictError):
        sweep(blobs, found, GRACE_S, lost)
    assert len(list(blobs.listed())) == 3


def _hold(folder: Path, alone: bool, held: Any, done: Any) -> None:
    with hold(folder, alone=alone, within_s=0, refused="no"):
        held.set()
        done.wait(30)


@pytest.mark.parametrize(
    ("theirs_alone", "ours_alone", "together"),
    [(True, True, False), (True, False, False), (False, True, False), (False, False, True)],
)
def test_collections_and_backups_of_several_processes_keep_apart(
    tmp_path: Path, theirs_alone: bool, ours_alone: bool, together: bool
) -> None:
    context = multiprocessing.get_context("fork")
    held, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, theirs_alone, held, done))
    other.start()
    assert held.wait(30)
    outcome = (
        contextlib.nullcontext() if together else pytest.raises(ConflictError, match="in use; try again")
    )
    with outcome, hold(tmp_path, alone=ours_alone, within_s=0.2, refused="in use"):
        pass
    # The lock of a process that is killed is free.
    other.kill()
    other.join()
    with hold(tmp_path, alone=True, within_s=5, refused="in use"):
        pass


def test_a_child_forked_while_the_lock_was_held_does_not_keep_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    with hold(tmp_path, alone=True, within_s=0, refused="in use"):
        child = context.Process(target=time.sleep, args=(60,))
        child.start()
    try:
        with hold(tmp_path, alone=True, within_s=0, refused="in use"):
            pass
    finally:
        child.kill()
        child.join()


def test_writers_beside_a_collector_always_find_what_they_wrote(blobs: Blobs) -> None:
    """Few contents, put again and again when they are old, named a moment later, and forgotten again."""
    grace_s, until = 0.8, time.monotonic() + 4.0
    named: dict[int, str] = {}
    lost: list[str] = []
    freed = [0]

    def write(seed: int) -> None:
        rng = random.Random(seed)
        while time.monotonic() < until:
            text = f"content {rng.randrange(6)}".encode()
            digest = blobs.put(text)
            time.sleep(rng.random() * 0.01)
            named[seed] = digest
            time.sleep(rng.random() * 0.02)
            try:
                if blobs.read(digest) != text:
                    lost.append(digest)
            except Exception as error:
                lost.append(str(error))
            named.pop(seed)
            time.sleep(rng.random() * 1.8)

    def sweep_often() -> None:
        while time.monotonic() < until:
            freed[0] += collect(blobs, set(named.values()), grace_s).blobs

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    threads += [threading.Thread(target=sweep_often) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lost == []
    assert freed[0] > 0, "the collector had something to do"
