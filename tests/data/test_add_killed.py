"""What may befall `holdfast data add` halfway: a kill, a full disk. Nothing is half-registered."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from holdfast.base.home import Home
from tests.cli.test_commands import end
from tests.server.conftest import holdfast


@pytest.fixture
def home(tmp_path: Path):
    home = Home(tmp_path / "home")
    yield home
    end(home)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large.parquet"
    number = pl.int_range(1_500_000)
    pl.select(
        (number * 7919 % 1_000_003 / 3).alias("x"), (number * 104729 % 999_983).alias("y")
    ).write_parquet(path)
    return path


def versions(home: Home) -> list[str]:
    return [item["table"] for item in json.loads(holdfast(home, "data", "list", "--json").stdout)["datasets"]]


@pytest.mark.slow
def test_a_kill_registers_nothing_and_the_next_add_is_whole(home: Home, large: Path) -> None:
    pl.DataFrame({"x": [1]}).write_csv(large.with_name("small.csv"))
    assert holdfast(home, "data", "add", "small", str(large.with_name("small.csv"))).returncode == 0
    adding = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "holdfast.cli.main",
            "--home",
            str(home.root),
            "data",
            "add",
            "large",
            str(large),
        ]
    )
    deadline = time.monotonic() + 60
    stored = len(list(home.blobs.glob("??/*")))
    while adding.poll() is None and len(list(home.blobs.glob("??/*"))) <= stored:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    adding.send_signal(signal.SIGKILL)
    assert adding.wait() == -signal.SIGKILL
    assert versions(home) == ["small"]
    done = holdfast(home, "data", "add", "large", str(large))
    assert done.returncode == 0 and "large@1: 1,500,000 rows" in done.stdout
    assert holdfast(home, "data", "verify", "large").returncode == 0


@pytest.mark.slow
def test_no_room_is_one_sentence_and_registers_nothing(home: Home, large: Path) -> None:
    """A limit on the size of a file fails a write of the operating system, as a full disk does."""
    assert holdfast(home, "data", "list", "--json").returncode in (0, 1)
    home.prepare()
    (large.parent / "small.csv").write_text("x\n1\n")
    assert holdfast(home, "data", "add", "small", str(large.parent / "small.csv")).returncode == 0
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "holdfast.cli.main",
            "--home",
            str(home.root),
            "data",
            "add",
            "large",
            str(large),
        ],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)),
    )
    assert done.returncode == 1
    assert "the rows cannot be stored (" in done.stderr and "nothing was registered" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, os.fsdecode(done.stderr)
    assert versions(home) == ["small"]
    assert not list(home.blobs.glob(".incoming-*"))
