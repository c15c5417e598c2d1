"""The tutorials run as they stand: their files are written, their commands run, their errors compared."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.base.home import Home

TUTORIALS = sorted((Path(__file__).parents[2] / "docs" / "tutorials").glob("*.md"))
_BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def environment(tmp_path):
    home = Home(tmp_path / "home")
    binaries = Path(sys.executable).parent
    yield {
        **os.environ,
        "HOLDFAST_HOME": str(home.root),
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
    }
    for info in (home.serving(), home.server()):
        if info is not None:
            os.kill(info.pid, signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs(tutorial, tmp_path, environment):
    folder = tmp_path / "work"
    folder.mkdir()
    last = None
    for kind, mark, text in _BLOCK.findall(tutorial.read_text()):
        if kind == "python":
            name = text.splitlines()[0].removeprefix("# file: ")
            (folder / name).write_text(text)
        elif kind == "sh":
            last = subprocess.run(
                ["bash", "-e", "-c", text],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert (last.returncode != 0) == ("fails" in mark), f"{text}\n{last.stdout}{last.stderr}"
        elif kind == "text":
            assert last is not None
            assert last.stderr.strip() == text.strip()
