"""Artifacts come in a piece at a time, whole or not at all."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

import holdfast as hf
from holdfast.base.errors import InvalidError
from tests.sdk.runs.conftest import Script, World, finished


def put(world: World, path: str, body: bytes = b"x", **headers: str) -> tuple[int, dict[str, object]]:
    address = urlsplit(world.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=20)
    connection.request("PUT", f"/api/v1/runs/{path}", body, headers)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read() or b"null")


def begin(world: World) -> hf.run:
    return hf.run("files", home=str(world.home.root), quiet=True, system_metrics=False)


def test_a_folder_is_kept_as_it_stands(world: World, tmp_path: Path) -> None:
    for name in ("a.txt", "deep/b.bin", "deep/er/ü c.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode() * 1000)
    (tmp_path / "empty").write_bytes(b"")
    with begin(world) as run:
        assert run.log_artifacts(tmp_path, "out") == 4
        run.log_artifact(tmp_path / "a.txt")
    found = {item.path: item.size_bytes for item in world.describe(run.run_id).artifacts}
    assert found == {
        "a.txt": 5000,
        "out/a.txt": 5000,
        "out/deep/b.bin": 10_000,
        "out/deep/er/ü c.txt": len("deep/er/ü c.txt".encode()) * 1000,
        "out/empty": 0,
    }


def test_rude_uploads_are_refused_and_leave_nothing(world: World) -> None:
    with begin(world) as run:
        assert put(world, f"{'0' * 32}/artifacts/x")[0] == 404
        for path in ("..%2F..%2Fetc%2Fpasswd", "a%5C..%5Cb", "%252e%252e/x", "C%3A/x", ""):
            assert put(world, f"{run.run_id}/artifacts/{path}")[0] in (400, 404), path
        assert put(world, f"{run.run_id}/artifacts/a/b")[0] == 200
        status, body = put(world, f"{run.run_id}/artifacts/a")
        assert status == 400 and "is a folder" in str(body)
        assert put(world, f"{run.run_id}/artifacts/c", Origin="http://evil.example")[0] == 403
    assert [item.path for item in world.describe(run.run_id).artifacts] == ["a/b"]


def test_a_client_that_hangs_up_leaves_nothing(world: World) -> None:
    with begin(world) as run:
        address = urlsplit(world.url)
        with socket.create_connection((address.hostname, address.port)) as connection:
            head = f"PUT /api/v1/runs/{run.run_id}/artifacts/half HTTP/1.1\r\nHost: localhost\r\n"
            connection.sendall(f"{head}Content-Length: 5000000\r\n\r\n".encode() + b"x" * 1_500_000)
            time.sleep(0.2)
        deadline = time.monotonic() + 10
        while list(world.home.blobs.glob(".incoming-*")) and time.monotonic() < deadline:
            time.sleep(0.02)
    assert list(world.home.blobs.glob(".incoming-*")) == []
    assert world.describe(run.run_id).artifacts == ()


def test_a_file_that_shrinks_meanwhile_is_not_kept(world: World, tmp_path: Path, monkeypatch) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(b"x" * 1000)
    real = os.fstat

    class Larger:
        st_size = 2000

    with begin(world) as run:
        with monkeypatch.context() as patched:
            patched.setattr(
                "holdfast.sdk.runs.uploads.os.fstat", lambda number: Larger() if number > 2 else real(number)
            )
            with pytest.raises(InvalidError, match="became shorter"):
                run.log_artifact(file)
        run.log_artifact(file)
    assert [item.size_bytes for item in world.describe(run.run_id).artifacts] == [1000]


LARGE = """
    from pathlib import Path
    import holdfast as hf

    def peak_kib():
        # Of this program alone: `ru_maxrss` begins at the peak of the process that started it.
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

    with hf.run("large", system_metrics=False) as run:
        run.log(x=1)
        before = peak_kib()
        run.log_artifact("large.bin")
        after = peak_kib()
    print(run.run_id, after - before)
"""


@pytest.mark.slow
def test_a_large_artifact_needs_little_memory_on_both_sides(
    world: World, script: Script, tmp_path: Path
) -> None:
    size = 200 << 20
    (tmp_path / "work").mkdir()
    hasher = hashlib.sha256()
    with (tmp_path / "work" / "large.bin").open("wb") as target:
        for number in range(200):
            piece = os.urandom(1 << 19) * 2 if number % 50 == 0 else bytes([number]) * (1 << 20)
            hasher.update(piece)
            target.write(piece)
    server = psutil.Process(world.process.pid)
    before, peak, stop = server.memory_info().rss, [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            peak[0] = max(peak[0], server.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run_id, grown_kib = finished(script(world.home, LARGE), 120).split()
    finally:
        stop.set()
        watcher.join()
    (kept,) = world.describe(run_id).artifacts
    assert kept.size_bytes == size
    stored = hashlib.sha256()
    with (world.home.blobs / kept.digest[:2] / kept.digest).open("rb") as source:
        while piece := source.read(1 << 20):
            stored.update(piece)
    assert stored.hexdigest() == hasher.hexdigest()
    assert int(grown_kib) * 1024 < 40 << 20
    assert peak[0] - before < 60 << 20
