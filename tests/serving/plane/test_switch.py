"""Revisions change and processes die while requests come in."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.base.context import Actor
from holdfast.base.home import Home
from holdfast.rollout.records import Variant
from holdfast.serving.deployment_file import local_rollback, read_deployment_file, write_deployment_file
from holdfast.serving.errors import NothingToRollBackToError, UnknownDeploymentError
from holdfast.serving.log import PredictionLog
from tests.serving.plane.world import KEY, ROW, Plane, deploy, served, serving, simple, start, value_of, wait

NOBODY = Actor("nobody")


class Load:
    """Callers that predict and label without pause, and remember what was acknowledged."""

    def __init__(self, plane: Plane, callers: int = 3) -> None:
        self._plane = plane
        self._going = threading.Event()
        self._going.set()
        self._threads = [
            threading.Thread(target=self._call, args=(number,), daemon=True) for number in range(callers)
        ]
        self.predictions: list[str] = []
        self.labels: list[str] = []
        self.answers: list[tuple[float, float, str]] = []
        self.failures: list[str] = []

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        wait(lambda: len(self.labels) > 20)
        return self

    def __exit__(self, *_: object) -> None:
        self._going.clear()
        for thread in self._threads:
            thread.join(20)

    def _call(self, caller: int) -> None:
        connection = self._plane.connect()
        number = 0
        while self._going.is_set():
            number += 1
            try:
                sent = time.monotonic()
                answer = self._post(connection, "predict", {"rows": [ROW, ROW], "id": f"c{caller}-{number}"})
                ids = [item["id"] for item in answer["predictions"]]
                self.predictions.extend(ids)
                self.answers.append((sent, time.monotonic(), answer["version"]))
                assert answer["predictions"][0]["value"] == value_of(int(answer["version"]))
                self._post(connection, "labels", {"labels": [{"id": ids[0], "value": number}]})
                self.labels.append(ids[0])
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.failures.append(repr(error))
                connection.close()
                connection = self._plane.connect()
                time.sleep(0.02)

    @staticmethod
    def _post(connection: http.client.HTTPConnection, what: str, body: object) -> dict[str, object] | object:
        connection.request("POST", f"/v1/{what}/bikes", json.dumps(body))
        answer = connection.getresponse()
        data = json.loads(answer.read())
        assert answer.status == 200, data
        return data


def logged_once(home: Home, load: Load) -> None:
    """Every acknowledged prediction and label is in the log exactly once, and is what was answered."""
    log = PredictionLog(home)
    batch = log.read_since(KEY, None)
    predictions = Counter(batch.predictions["prediction_id"])
    assert [name for name in load.predictions if predictions[name] != 1] == []
    labels = Counter(batch.labels["prediction_id"])
    assert [name for name in load.labels if labels[name] != 1] == []


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    made.prepare()
    return made


def test_a_revision_switches_within_100_ms_and_no_request_fails(home: Home) -> None:
    simple(home, 1)
    with serving(home) as plane, Load(plane) as load:
        for revision in range(2, 8):
            champion = 1 + (revision + 1) % 2
            switched = time.monotonic()
            simple(home, champion, revision, 3 - champion)
            time.sleep(0.3)
            late = [
                answer for answer in load.answers if answer[0] > switched + 0.1 and answer[1] > switched + 0.1
            ]
            assert late
            assert {version for _, _, version in late} == {str(champion)}
    assert load.failures == []
    logged_once(home, load)


def test_a_local_rollback_needs_no_server(home: Home) -> None:
    variants = (Variant(3, "champion", 90), Variant(4, "candidate", 10), Variant(5, "shadow", 0))
    deploy(home, 7, variants, tuple(served(home, number) for number in (3, 4, 5, 2, 1)))
    with serving(home) as plane, Load(plane) as load:
        before = time.monotonic()
        file = local_rollback(home, "default", "production", "bikes", NOBODY, 99)
        wait(lambda: plane.get("/v1/deployments/bikes")[1]["epoch"] == 8)
        assert time.monotonic() - before < 0.5
        assert plane.predict([ROW])["version"] == "2"
    assert load.failures == []
    assert (file.variants, file.warm, file.quarantined) == ((Variant(2, "champion", 100),), (1,), (3,))
    assert (file.revision, file.epoch, file.origin, file.changed_by, file.changed_at) == (
        8,
        8,
        "local",
        "nobody",
        99,
    )
    assert read_deployment_file(home, "default", "production", "bikes") == file
    assert [item.version for item in file.versions] == [2, 1]


def test_a_rollback_says_when_there_is_nowhere_to_go_and_an_old_epoch_never_wins(home: Home) -> None:
    old = simple(home, 1, 1)
    with pytest.raises(NothingToRollBackToError, match="no earlier version"):
        local_rollback(home, "default", "production", "bikes", NOBODY, 1)
    with pytest.raises(UnknownDeploymentError, match="bikes"):
        local_rollback(home, "default", "production", "cars", NOBODY, 1)
    simple(home, 2, 5, 1)
    assert write_deployment_file(home, old) is False
    local_rollback(home, "default", "production", "bikes", NOBODY, 1)
    with pytest.raises(NothingToRollBackToError):
        local_rollback(home, "default", "production", "bikes", NOBODY, 1)


def test_a_deployment_can_come_and_go(home: Home) -> None:
    with serving(home) as plane:
        assert plane.post("/v1/predict/bikes", {"rows": [ROW]})[0] == 404
        simple(home, 1)
        wait(lambda: plane.post("/v1/predict/bikes", {"rows": [ROW]})[0] == 200)
        (home.deployments / "default" / "production" / "bikes.json").unlink()
        wait(lambda: plane.post("/v1/predict/bikes", {"rows": [ROW]})[0] == 404)


def test_one_process_a_home_and_one_sentence_when_the_port_is_taken(home: Home, tmp_path: Path) -> None:
    def attempt(root: Path, port: int) -> str:
        command = [
            sys.executable,
            "-m",
            "holdfast.serving.plane.process",
            "--home",
            str(root),
            "--port",
            str(port),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        return done.stderr

    with serving(home) as plane:
        assert "already has a running serving process" in attempt(home.root, 0)
        assert f"port {plane.port} on 127.0.0.1 is in use" in attempt(tmp_path / "other", plane.port)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "is in use" in attempt(tmp_path / "other", taken.getsockname()[1])


def test_a_graceful_end_closes_the_segments(home: Home) -> None:
    simple(home, 1)
    with serving(home) as plane:
        plane.predict([ROW])
        assert len(list(home.spool.rglob("*.open"))) == 1
    assert plane.process.returncode == 0
    assert [path.suffix for path in home.spool.rglob("serving-*")] == [".closed"]
    assert home.serving() is None


def kill_process(plane: Plane, home: Home) -> None:
    os.kill(plane.process.pid, signal.SIGKILL)


def kill_a_worker(plane: Plane, home: Home) -> None:
    """One that has logged something: the kernel may give every connection to the other."""
    logging = {int(path.stem.split("-")[-2]) for path in home.spool.rglob("*.open")}
    os.kill(next(pid for pid in plane.workers() if pid in logging), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("kill", [kill_process, kill_a_worker])
def test_kill_minus_9_loses_nothing_that_was_acknowledged(
    home: Home, kill: Callable[[Plane, Home], None]
) -> None:
    simple(home, 1)
    plane = start(home, "--workers", "2")
    try:
        with Load(plane, callers=4) as load:
            for _ in range(3):
                time.sleep(0.3)
                kill(plane, home)
                if kill is kill_process:
                    plane.process.wait(10)
                    again = start(home, "--workers", "2", "--port", str(plane.port))
                    plane.process = again.process
                else:
                    # granian gives up on workers that die more often than every 5.5 s.
                    break
            count = len(load.labels)
            wait(lambda: len(load.labels) > count + 50)
        # A worker's death fails only the requests of the connections it had, perhaps none of these.
        assert load.failures or kill is kill_a_worker
        logged_once(home, load)
        # Whoever takes the dead one's place closes what it left.
        wait(lambda: list(home.spool.rglob("*.closed")))
        shipped = sum(item.predictions for item in PredictionLog(home).ship(KEY))
        assert shipped > 0
        logged_once(home, load)
    finally:
        plane.process.terminate()
        plane.process.wait(15)
