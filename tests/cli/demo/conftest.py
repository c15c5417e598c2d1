"""Runs of the demo that several tests look at: each world is played once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from holdfast.base.home import Home

RIDES = (
    Path(os.environ.get("HOLDFAST_DATA") or Path(__file__).parents[4] / "shared/data")
    / "bike_sharing/hour.csv"
)
COMMAND = [sys.executable, "-m", "holdfast.cli.main"]
WITHIN_S = 400


@dataclass(frozen=True)
class Run:
    """A demo that has ended: what it printed, where its home was, and the folder of its temporary files."""

    done: subprocess.CompletedProcess[str]
    home: Home | None
    temporary: Path

    @property
    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.done.stdout)
        return found


def play(folder: Path, *arguments: str, keep: bool) -> Run:
    """Runs `holdfast demo` to its end, with or without a home of its own."""
    home = Home(folder / "home") if keep else None
    temporary = folder / "tmp"
    temporary.mkdir()
    done = subprocess.run(
        [*COMMAND, "demo", *arguments, *(["--home", str(home.root)] if home else [])],
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
        cwd=folder,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    return Run(done, home, temporary)


@pytest.fixture(scope="session")
def payments(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The payments, in a temporary home, as JSON."""
    return play(tmp_path_factory.mktemp("payments"), "--seed", "7", "--json", "--exit", keep=False)


@pytest.fixture(scope="session")
def payments_again(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The payments with the same seed, in a home that stays, as JSON."""
    return play(tmp_path_factory.mktemp("again"), "--seed", "7", "--json", "--exit", keep=True)


@pytest.fixture(scope="session")
def bikes(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The bikes, in a home that stays, as JSON."""
    if not RIDES.is_file():
        pytest.skip(f"there is no {RIDES}; set HOLDFAST_DATA to the folder with the real data")
    folder = tmp_path_factory.mktemp("bikes")
    return play(folder, "--world", "bikes", "--data", str(RIDES), "--json", "--exit", keep=True)
