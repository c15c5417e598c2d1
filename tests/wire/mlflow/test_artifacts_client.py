"""Large files of the real client go up and down through bounded memory, whole or in parts."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from random import Random

import psutil
import pytest

pytestmark = [pytest.mark.mlflow, pytest.mark.slow]

_SIZE = 100 << 20
_GROWTH_MOST = 48 << 20


class Peak:
    """The most memory that a process holds while the block runs, beyond what it held before."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._over.wait(0.005):
            self.most = max(self.most, self._process.memory_info().rss)

    def __enter__(self):
        self._before = self.most = self._process.memory_info().rss
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        self.growth = self.most - self._before


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    file = tmp_path_factory.mktemp("sent") / "big.bin"
    file.write_bytes(Random(5).randbytes(_SIZE))
    return file


def digest(file):
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "blake2b").digest()


@pytest.mark.parametrize("parts", [False, True])
def test_a_file_of_100_mb_goes_up_and_down(client, tracked, tracking_home, tmp_path, big, parts, monkeypatch):
    if parts:
        # The client asks the server whether it takes parts, where a file is large enough for it to ask.
        monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", str(50 << 20))
        monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", str(10 << 20))
    run = client.create_run(tracked).info.run_id
    log = tracking_home.tmp / "uploads"
    with Peak(tracking_home.server().pid) as peak:
        client.log_artifact(run, str(big), "models")
    assert peak.growth < _GROWTH_MOST
    assert log.exists() == parts and not (parts and list(log.iterdir()))
    (listed,) = client.list_artifacts(run, "models")
    assert (listed.path, listed.file_size) == ("models/big.bin", _SIZE)
    with Peak(tracking_home.server().pid) as peak:
        back = Path(client.download_artifacts(run, "models/big.bin", str(tmp_path)))
    assert peak.growth < _GROWTH_MOST
    assert digest(back) == digest(big)


def test_a_client_that_wants_presigned_addresses_falls_back_to_the_proxy(
    client, tracked, tmp_path, monkeypatch
):
    run = client.create_run(tracked).info.run_id
    client.log_text(run, "hello", "notes/a.txt")
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "true")
    monkeypatch.setenv("MLFLOW_MULTIPART_DOWNLOAD_MINIMUM_FILE_SIZE", "1")
    back = client.download_artifacts(run, "notes/a.txt", str(tmp_path))
    assert Path(back).read_text() == "hello"
