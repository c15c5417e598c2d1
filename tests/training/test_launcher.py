"""Real children: they train, fail with one sentence, die with what they started, and come warm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.base.blobs import replace_file
from holdfast.base.encoding import to_json
from holdfast.training.child import FAILURE, OUTCOME, STDOUT, TASK
from holdfast.training.launcher import Launcher
from holdfast.training.records import TrainingFailure, TrainingOutcome
from tests.training.worlds import MODEL, make_task, write_sales

BODY = "    return make_pipeline"


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    opened = Launcher(1)
    yield opened
    opened.close()


def job(folder: Path, source: str = MODEL) -> Path:
    write_sales(folder)
    target = folder / "job"
    target.mkdir()
    replace_file(target / TASK, to_json(make_task(folder, source)).encode())
    return target


def read_pid(path: Path) -> int:
    """The pid that user code wrote into a file, as soon as it is there."""
    deadline = time.monotonic() + 30
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline, "the child never came so far"
        time.sleep(0.02)
    return int(path.read_text())


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be reaped does not."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(done.stdout.strip()) and not done.stdout.strip().startswith("Z")


def test_a_child_trains_and_a_finished_job_is_only_read(launcher: Launcher, tmp_path: Path) -> None:
    source = MODEL.replace(BODY, "    print('fitting', len(data))\n" + BODY)
    folder = job(tmp_path, source)
    pids: list[int] = []
    outcome = launcher.run(folder, pids.append)
    assert isinstance(outcome, TrainingOutcome), outcome
    assert outcome.metrics["mae"] < 12
    assert (folder / STDOUT).read_text() == "fitting 479\nfitting 600\n"
    assert launcher.run(folder, pids.append) == outcome
    assert len(pids) == 1


def test_a_user_error_is_a_sentence_with_the_traceback_aside(launcher: Launcher, tmp_path: Path) -> None:
    failure = launcher.run(job(tmp_path, MODEL.replace(BODY, "    1 / 0\n" + BODY)))
    assert isinstance(failure, TrainingFailure)
    assert failure.code == "user_code"
    assert failure.message == (
        "the training function train raised ZeroDivisionError: division by zero (model.py, line 19)"
    )
    assert "Traceback" in failure.detail


def test_a_child_that_is_killed_leaves_a_reason(launcher: Launcher, tmp_path: Path) -> None:
    source = MODEL.replace(BODY, "    import os; os.kill(os.getpid(), 9)\n" + BODY)
    failure = launcher.run(job(tmp_path, source))
    assert isinstance(failure, TrainingFailure)
    assert failure.code == "child_died"
    assert "was ended by signal 9" in failure.message


def test_cancelling_ends_everything_that_the_child_has_started(launcher: Launcher, tmp_path: Path) -> None:
    mark = tmp_path / "grandchild"
    body = (
        "    import subprocess, time\n"
        f"    sleeper = subprocess.Popen(['sleep', '600'])\n    open({str(mark)!r}, 'w').write(str(sleeper.pid))\n"
        "    time.sleep(600)\n"
    )
    folder = job(tmp_path, MODEL.replace(BODY, body + BODY))
    cancelled = threading.Event()
    results: list[object] = []
    runner = threading.Thread(target=lambda: results.append(launcher.run(folder, None, cancelled)))
    runner.start()
    sleeper = read_pid(mark)
    assert is_alive(sleeper)
    cancelled.set()
    runner.join(20)
    (failure,) = results
    assert isinstance(failure, TrainingFailure)
    assert failure.code == "cancelled"
    assert not is_alive(sleeper)


@pytest.mark.slow
def test_the_standby_takes_the_next_job_and_another_takes_its_place(tmp_path: Path) -> None:
    launcher = Launcher(1, standby=True)
    try:
        launcher.warm()
        first = launcher._standby
        pids: list[int] = []
        (tmp_path / "first").mkdir()
        outcome = launcher.run(job(tmp_path / "first"), pids.append)
        assert isinstance(outcome, TrainingOutcome), outcome
        second = launcher._standby
        assert first is not None
        assert second is not None
        assert pids == [first.pid]
        assert second.pid != first.pid
        os.killpg(second.pid, signal.SIGKILL)
        second.wait()
        (tmp_path / "second").mkdir()
        assert isinstance(launcher.run(job(tmp_path / "second")), TrainingOutcome)
    finally:
        launcher.close()
    assert launcher._standby is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a parent-death signal")
def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    mark = tmp_path / "child"
    body = f"    import os, time\n    open({str(mark)!r}, 'w').write(str(os.getpid()))\n    time.sleep(600)\n"
    folder = job(tmp_path, MODEL.replace(BODY, body + BODY))
    script = (
        "import sys, pathlib\nfrom holdfast.training.launcher import Launcher\n"
        "Launcher(1).run(pathlib.Path(sys.argv[1]))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(folder)])
    child = read_pid(mark)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(child)
    assert not (folder / OUTCOME).exists()
    assert not (folder / FAILURE).exists()
