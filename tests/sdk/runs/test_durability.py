"""What was logged arrives once, whoever is killed: the script, the server, or both."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest
from click.testing import Result

import holdfast as hf
from holdfast.base.errors import UnavailableError
from holdfast.base.home import Home
from holdfast.sdk.runs.folder import folders
from holdfast.sdk.runs.shipper import sync
from holdfast.sdk.session import start_server
from tests.sdk.runs.conftest import Script, World, finished
from tests.server.conftest import holdfast

ENDLESS = """
    import sys
    import holdfast as hf

    run = hf.run("endless", name=sys.argv[1], system_metrics=False)
    print(run.run_id, flush=True)
    step = 0
    while True:
        run.log(x=step, step=step)
        # What the reader sees was logged before.
        sys.stdout.write(f"{step}\\n")
        sys.stdout.flush()
        step += 1
"""


def kill_while_logging(process, lines: int) -> tuple[str, int]:
    """The run of an endless script, and the last step that it said it had logged, once it is killed."""
    run_id = process.stdout.readline().strip()
    for _ in range(lines):
        process.stdout.readline()
    process.kill()
    said = process.stdout.read().splitlines()
    process.wait()
    whole = said[-1] if said and said[-1].isdigit() else "0"
    return run_id, max(int(whole) if len(said) < 2 else int(said[-2]), lines - 2)


def test_nothing_a_killed_script_logged_is_lost(world: World, script: Script) -> None:
    run_id, last = kill_while_logging(script(world.home, ENDLESS, "killed"), 3000)
    assert world.describe(run_id).run.status == "running"
    done = holdfast(world.home, "runs", "sync")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"run {run_id}; its script was killed" in done.stdout
    found = world.describe(run_id)
    assert found.run.status == "killed"
    assert found.error is not None and "without a word" in found.error
    (latest,) = found.metrics
    assert latest.step >= last
    if latest.step < 9_000:
        assert world.points(run_id, "x") == [(step, float(step)) for step in range(latest.step + 1)]
    assert folders(world.home) == []
    assert holdfast(world.home, "runs", "sync").stdout == "nothing waits to be sent\n"


def test_the_next_run_sends_what_a_killed_one_left(world: World, script: Script) -> None:
    run_id, last = kill_while_logging(script(world.home, ENDLESS, "left"), 500)
    with hf.run("endless", home=str(world.home.root), quiet=True, system_metrics=False):
        deadline = time.monotonic() + 20
        while world.describe(run_id).run.status == "running" and time.monotonic() < deadline:
            time.sleep(0.05)
    found = world.describe(run_id)
    assert found.run.status == "killed" and found.metrics[0].step >= last


PACED = """
    import time
    import holdfast as hf

    with hf.run("paced", system_metrics=False) as run:
        print(run.run_id, flush=True)
        slowest, took = 0.0, []
        begun = time.perf_counter()
        for step in range(6000):
            started = time.perf_counter()
            run.log(x=step * 0.5, step=step)
            took.append(time.perf_counter() - started)
            time.sleep(0.0005)
    took.sort()
    print(took[len(took) // 2], took[int(len(took) * 0.99)], took[-1])
"""


@pytest.mark.slow
def test_a_killed_server_costs_no_point_and_no_time(own_world: World, script: Script) -> None:
    process = script(own_world.home, PACED)
    run_id = process.stdout.readline().strip()
    for _ in range(2):
        time.sleep(0.7)
        own_world.kill()
        time.sleep(0.5)
        own_world.restart()
    median_s, most_s, slowest_s = map(float, finished(process).split())
    assert own_world.points(run_id, "x") == [(step, step * 0.5) for step in range(6000)]
    assert own_world.describe(run_id).run.status == "finished"
    # On a quiet machine 10 µs, 50 µs and 5 ms; the bounds leave room for a busy one, and none for a wait.
    assert median_s < 1e-3 and most_s < 20e-3 and slowest_s < 0.5


def test_without_a_server_a_run_goes_on_and_is_sent_later(tmp_path: Path, capfd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url, home, elsewhere = f"http://127.0.0.1:{port}", Home(tmp_path / "home"), Home(tmp_path / "server")
    file = tmp_path / "model.bin"
    file.write_bytes(b"weights")
    run = hf.run("away", url=url, home=str(home.root), seed=1, system_metrics=False, quiet=True)
    started = time.monotonic()
    run.log(x=1)
    run.log_artifact(file)
    run.log_dataset("file", file)
    file.write_bytes(b"something else by now")
    assert time.monotonic() - started < 1.0
    run.finish(timeout_s=0.5)
    assert "`holdfast runs sync` sends the rest" in capfd.readouterr().err
    assert sync(home).waiting == [run.run_id]
    process = start_server(elsewhere, ["--port", str(port)], detached=True)
    try:
        swept = sync(home)
        assert (swept.sent, swept.killed, swept.problems) == ([run.run_id], [], [])
        assert folders(home) == []
        world = World.__new__(World)
        world.home = elsewhere
        found = world.describe(run.run_id)
        assert (found.run.status, found.run.metrics, found.seed) == ("finished", {"x": 1.0}, 1)
        assert [item.size_bytes for item in found.artifacts] == [len(b"weights")]
        assert [item.dataset.name for item in found.run.inputs] == ["file"]
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_home_without_a_server_gets_one(tmp_path: Path, script: Script) -> None:
    home = Home(tmp_path / "fresh")
    finished(
        script(
            home,
            'import holdfast as hf\nwith hf.run("first", system_metrics=False) as run:\n    run.log(x=1)\n',
        )
    )
    info = home.server()
    assert info is not None
    os.kill(info.pid, signal.SIGTERM)
    assert folders(home) == []


FORKS = """
    import multiprocessing
    import os
    import sys
    import holdfast as hf

    def work(number):
        for step in range(200):
            run.log({f"worker_{number}": step}, step=step)
        return number

    with hf.run("forks", system_metrics=False) as run:
        run.log(x=0)
        with multiprocessing.get_context("fork").Pool(3) as pool:
            assert sorted(pool.map(work, range(6))) == list(range(6))
        child = os.fork()
        if child == 0:
            run.log(left_by_exit=1)
            sys.exit(0)
        os.waitpid(child, 0)
        run.log(x=1)
    print(run.run_id)
"""


def test_forked_children_log_to_the_same_run(world: World, script: Script) -> None:
    run_id = finished(script(world.home, FORKS)).strip()
    found = world.describe(run_id).run
    assert found.status == "finished" and found.metrics["left_by_exit"] == 1
    assert world.points(run_id, "x") == [(0, 0.0), (1, 1.0)]
    for number in range(6):
        assert world.points(run_id, f"worker_{number}") == [(step, float(step)) for step in range(200)]
    assert len(world.runs("forks")) == 1


SECOND = """
    import sys
    import holdfast as hf

    with hf.run(run_id=sys.argv[1], system_metrics=False) as run:
        for step in range(300):
            run.log({sys.argv[2]: step}, step=step)
"""


def test_several_processes_and_threads_log_to_one_run(world: World, script: Script) -> None:
    import threading

    run = hf.run("together", home=str(world.home.root), quiet=True, system_metrics=False)
    others = [script(world.home, SECOND, run.run_id, f"other_{number}") for number in range(2)]

    def log(number: int) -> None:
        for step in range(300):
            run.log({f"thread_{number}": step}, step=step)

    threads = [threading.Thread(target=log, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in others:
        finished(other)
    # The other processes have left, and this one goes on.
    assert world.describe(run.run_id).run.status == "running"
    run.finish()
    assert world.describe(run.run_id).run.status == "finished"
    for key in (*(f"thread_{number}" for number in range(4)), "other_0", "other_1"):
        assert world.points(run.run_id, key) == [(step, float(step)) for step in range(300)]


def test_a_run_that_ended_goes_on_under_its_id(world: World) -> None:
    with hf.run("again", name="first", home=str(world.home.root), quiet=True, system_metrics=False) as run:
        run.log(x=1, step=0)
    with hf.run(run_id=run.run_id, home=str(world.home.root), quiet=True, system_metrics=False) as more:
        assert (more.name, more.experiment) == ("first", "again")
        assert world.describe(run.run_id).run.status == "running"
        more.log(x=2, step=1)
    assert world.describe(run.run_id).run.status == "finished"
    assert world.points(run.run_id, "x") == [(0, 1.0), (1, 2.0)]


def test_a_full_disk_stops_nothing(world: World, monkeypatch, capfd) -> None:
    run = hf.run("full", home=str(world.home.root), quiet=True, system_metrics=False)
    run.log(x=1)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr("holdfast.sdk.runs.journal._reserve", refuse)
        for _ in range(40_000):
            run.log(x=2, y=3)
    time.sleep(1.1)
    run.log(x=4, step=50_000)
    run.finish()
    said = capfd.readouterr().err
    assert "cannot be logged (No space left on device); the training goes on" in said
    assert "were lost" in said
    assert world.describe(run.run_id).run.metrics["x"] == 4


def test_nobody_answers_and_the_disk_is_full_too(tmp_path: Path, monkeypatch) -> None:
    run = hf.run(
        "stuck", url="http://127.0.0.1:9", home=str(tmp_path / "home"), quiet=True, system_metrics=False
    )

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", refuse)
    with pytest.raises(UnavailableError, match="was not kept"):
        run.log_artifact(__file__)
    run.finish(timeout_s=0.1)


FOLDS = """
    import holdfast as hf

    with hf.run("folds", system_metrics=False, url="http://127.0.0.1:9") as run:
        for number in range(4):
            with run.child(f"f{number}") as fold:
                fold.log(loss=number)
    for number in range(3):
        with hf.run("alone", name=f"a{number}", system_metrics=False, url="http://127.0.0.1:9") as run:
            run.log(loss=number)
"""


def test_a_script_waits_once_for_a_server_that_nobody_reaches(tmp_path: Path, script: Script) -> None:
    home = Home(tmp_path / "home")
    text = FOLDS.replace(
        "import holdfast as hf", "import holdfast as hf\n    from holdfast.sdk.runs import run as r"
    )
    # The patience is shortened where it is given, so that the test need not wait for all of it.
    text = text.replace("with hf.run", "r.PATIENCE_S = 3.0\n    with hf.run", 1)
    started = time.monotonic()
    process = script(home, text)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert err.count("for at most") == 1 and err.count("`holdfast runs sync`") == 1
    assert time.monotonic() - started < 9
    assert len(folders(home)) == 8


def test_the_end_of_a_run_waits_for_the_runs_within_it(world: World) -> None:
    with hf.run("outer", home=str(world.home.root), quiet=True, system_metrics=False) as run:
        parts = []
        for number in range(5):
            with run.child(f"part-{number}") as part:
                part.log(loss=number)
            parts.append(part.run_id)
    for number, run_id in enumerate(parts):
        found = world.describe(run_id).run
        assert (found.status, found.metrics) == ("finished", {"loss": float(number)})
    assert not {item.run_id for item in folders(world.home)} & {run.run_id, *parts}


def test_runs_logged_to_a_wrong_address_are_sent_to_the_right_one(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    from holdfast.cli.main import cli

    def holdfast(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["--home", str(home.root), *arguments])

    home = Home(tmp_path / "laptop")
    run = hf.run("mistyped", url="http://127.0.0.1:9", home=str(home.root), quiet=True, system_metrics=False)
    run.log(x=3)
    run.finish(timeout_s=0.1)
    assert holdfast("runs", "sync").exit_code == 1
    assert holdfast("runs", "sync", "--url", f"{world.url}/").exit_code == 0
    assert world.describe(run.run_id).run.metrics == {"x": 3.0}
    assert folders(home) == []
    monkeypatch.setenv("HOLDFAST_URL", world.url)
    assert run.run_id in holdfast("runs", "list", "--experiment", "mistyped").stdout
    assert "mistyped" in holdfast("runs", "show", run.run_id).stdout
    assert home.server() is None


def test_what_another_server_does_not_know_stays_for_the_one_it_was_logged_to(
    own_world: World, world: World
) -> None:
    run = hf.run("half", url=own_world.url, home=str(own_world.home.root), quiet=True, system_metrics=False)
    own_world.kill()
    run.log(x=1)
    run.finish(timeout_s=0.1)
    swept = sync(own_world.home, world.url)
    assert swept.waiting == [run.run_id] and "does not take what was logged to" in swept.problems[0]
    assert [folder.run_id for folder in folders(own_world.home)] == [run.run_id]
