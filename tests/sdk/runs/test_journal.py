"""Journals: complete entries come back in order, whatever happened to the end of a file."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.sdk.runs.entries import Described, Measurements
from holdfast.sdk.runs.folder import Destination, RunFolder
from holdfast.sdk.runs.journal import Journal

RUN_ID = "a" * 32


def opened(root: Path, rank: int = 0) -> tuple[RunFolder, Journal]:
    folder = RunFolder(root / "runs" / RUN_ID)
    destination = Destination(RUN_ID, "default", "ada")
    return folder, Journal(folder.path, lambda: folder.opening(destination), rank)


def entries(folder: RunFolder) -> list[object]:
    return [place.entry for journal in folder.journals() for place in journal.entries(0)]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.builds(
                Measurements,
                st.integers(0, 2**62),
                st.integers(-(2**62), 2**62),
                st.dictionaries(st.text(max_size=20), st.floats(allow_nan=False), max_size=5),
            ),
            st.builds(Described, st.dictionaries(st.text(max_size=9), st.text(max_size=300)), st.just({})),
        ),
        max_size=30,
    )
)
def test_what_is_appended_comes_back(tmp_path_factory: pytest.TempPathFactory, given: list[object]) -> None:
    folder, journal = opened(tmp_path_factory.mktemp("journal"))
    for entry in given:
        journal.append(entry)  # type: ignore[arg-type]
    assert entries(folder) == given
    journal.close()
    assert entries(folder) == given


def test_files_follow_one_another_and_go_when_they_are_sent(tmp_path: Path) -> None:
    folder, journal = opened(tmp_path)
    for step in range(100):
        journal.append(Described({"text": "x" * 50_000}, {"step": str(step)}))
    assert len(folder.journals()) > 3
    assert [entry.tags["step"] for entry in entries(folder)] == [str(step) for step in range(100)]  # type: ignore[attr-defined]
    for item in folder.journals()[:2]:
        *_, last = item.entries(0)
        item.acknowledge(last.end)
    before = len(folder.journals())
    folder.remove_sent()
    assert len(folder.journals()) == before - 2
    # The one that is being written stays, even where everything in it was sent.
    *_, last = folder.journals()[-1].entries(0)
    folder.journals()[-1].acknowledge(last.end)
    folder.remove_sent()
    assert not folder.journals()[-1].waiting() and folder.has_writers()
    journal.close()
    assert not folder.has_writers()


@pytest.mark.parametrize("damage", ["cut", "flipped", "zeroed"])
def test_a_damaged_end_hides_nothing_before_it(tmp_path: Path, damage: str) -> None:
    folder, journal = opened(tmp_path)
    for step in range(10):
        journal.append(Measurements(1, step, {"x": 1.0}))
    journal.close()
    (file,) = folder.journals()
    data = bytearray(file.path.read_bytes())
    if damage == "cut":
        del data[-3:]
    elif damage == "flipped":
        data[-3] ^= 1
    else:
        data[-10:] = bytes(10)
    file.path.write_bytes(data)
    assert [entry.step for entry in entries(folder)] == list(range(9))  # type: ignore[attr-defined]


def test_a_forked_child_writes_a_file_of_its_own(tmp_path: Path) -> None:
    folder, journal = opened(tmp_path)
    journal.append(Measurements(1, 0, {"parent": 1.0}))
    child = os.fork()
    if child == 0:
        journal.append(Measurements(1, 1, {"child": 1.0}))
        os._exit(0)
    os.waitpid(child, 0)
    journal.append(Measurements(1, 2, {"parent": 2.0}))
    assert [item.path.name[0] for item in folder.journals()] == ["0", "1"]
    assert [entry.values for entry in entries(folder)] == [{"parent": 1.0}, {"parent": 2.0}, {"child": 1.0}]  # type: ignore[attr-defined]
    # The lock of the parent's file is the parent's alone.
    mine, childs = folder.journals()
    assert not mine.is_closed() and childs.is_closed()


def test_a_child_forked_at_the_wrong_moment_keeps_no_lock(tmp_path: Path) -> None:
    folder, journal = opened(tmp_path)
    journal.append(Measurements(1, 0, {"x": 1.0}))
    assert folder.lock.acquire()
    with folder.guarded():
        child = os.fork()
        if child == 0:
            signal.pause()
    try:
        with folder.guarded():
            pass
        folder.lock.release()
        assert RunFolder(folder.path).lock.acquire()
        journal.close()
        assert not folder.has_writers()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
