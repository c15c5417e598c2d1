"""Clock, names, blobs, home, configuration, bundles."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.base import bundle, urn
from holdfast.base.blobs import Blobs, replace_file
from holdfast.base.clock import (
    HOUR_US,
    SimulatedClock,
    duration,
    format_duration,
    format_time,
    parse_time,
)
from holdfast.base.errors import HomeError, InvalidError, NotFoundError, UserCodeError
from holdfast.base.home import Home, ServerInfo


@pytest.mark.parametrize(
    ("text", "hours"), [("1h", 1), ("90m", 1.5), ("2d", 48), (" 1 w ", 168), ("36000s", 10)]
)
def test_durations(text, hours):
    assert duration(text) == hours * HOUR_US


@pytest.mark.parametrize("text", ["", "h", "1", "-1h", "1 month", "1h30m", None])
def test_what_is_no_duration_says_how_to_write_one(text):
    with pytest.raises(InvalidError, match="30s, 15m, 1h, 7d or 2w"):
        duration(text)


@given(st.integers(min_value=1, max_value=10**9))
def test_durations_round_trip(seconds):
    assert duration(format_duration(seconds * 1_000_000)) == seconds * 1_000_000


@given(st.datetimes())
def test_times_round_trip(moment):
    assert format_time(parse_time(moment.isoformat())) == moment.isoformat() + "Z"


def test_a_simulated_clock_never_goes_back():
    clock = SimulatedClock(100)
    clock.advance(50)
    assert clock.now() == 100
    clock.advance(200)
    assert clock.now() == 200


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a..b", ".hidden", "a" * 101, "a b", "naïve", 3])
def test_illegal_names_are_refused(name):
    with pytest.raises(InvalidError, match="is not a name for a model"):
        urn.check_name(name, "model")


def test_the_same_bytes_are_one_blob(tmp_path):
    blobs = Blobs(tmp_path / "blobs")
    (tmp_path / "file").write_bytes(b"kelp")
    assert blobs.put(b"kelp") == blobs.put_file(tmp_path / "file")
    assert len([path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]) == 1


def test_a_damaged_blob_shows(tmp_path):
    blobs = Blobs(tmp_path)
    digest = blobs.put(b"kelp")
    assert blobs.verify(digest)
    blobs.path(digest).write_bytes(b"kelq")
    assert not blobs.verify(digest)


@pytest.mark.parametrize("digest", ["../../etc/passwd", "", "x" * 63])
def test_a_blob_name_cannot_leave_the_folder(tmp_path, digest):
    with pytest.raises(InvalidError):
        Blobs(tmp_path).path(digest)


def test_a_missing_blob_is_not_found(tmp_path):
    with pytest.raises(NotFoundError):
        Blobs(tmp_path).read("0" * 64)


def test_a_file_that_cannot_be_replaced_stays_and_leaves_nothing_behind(tmp_path):
    (tmp_path / "target").mkdir()
    with pytest.raises(OSError):
        replace_file(tmp_path / "target", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_one_server_a_home_and_the_lock_ends_with_its_process(tmp_path):
    home = Home(tmp_path / "home")
    script = (
        "import sys; from pathlib import Path; from holdfast.base.home import *\n"
        "home = Home(Path(sys.argv[1])); lock = home.claim('server')\n"
        "home.announce('server', ServerInfo(1, 'http://127.0.0.1:1')); print('held', flush=True); sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(home.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(HomeError, match=r"already has a running server process \(pid 1"):
        home.claim("server")
    assert home.server() == ServerInfo(1, "http://127.0.0.1:1")
    holder.kill()
    holder.communicate()
    assert home.server() is None
    home.claim("server").release()


@pytest.mark.skipif(
    os.geteuid() == 0 and not Path("/proc").exists(), reason="needs /proc for a folder nobody may write"
)
def test_a_home_that_cannot_be_made_is_one_sentence():
    with pytest.raises(HomeError, match="cannot be created"):
        Home(Path("/proc/holdfast")).prepare()


def test_a_bundle_takes_the_project_modules_and_nothing_else(tmp_path):
    (tmp_path / "bikes.py").write_text(
        "import polars\nfrom helpers import lags\nfrom tools.time import hour\nX = lags.X\n"
    )
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers" / "__init__.py").write_text("")
    (tmp_path / "helpers" / "lags.py").write_text("from . import shared\nX = shared.X\n")
    (tmp_path / "helpers" / "shared.py").write_text("X = 42\n")
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "time.py").write_text("hour = 1\n")
    (tmp_path / "unrelated.py").write_text("raise SystemExit")
    packed = bundle.pack(tmp_path / "bikes.py")
    assert set(packed.files) == {
        "bikes.py", "helpers/__init__.py", "helpers/lags.py", "helpers/shared.py", "tools/time.py",
    }  # fmt: skip
    target = tmp_path / "elsewhere"
    bundle.unpack(bundle.encode(packed), target)
    assert bundle.load(target, "bikes.py").X == 42


def test_the_digest_is_of_the_code_alone(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\n")
    first = bundle.pack(tmp_path / "a.py")
    (tmp_path / "note.txt").write_text("not code")
    assert bundle.pack(tmp_path / "a.py").digest == first.digest
    (tmp_path / "a.py").write_text("x = 2\n")
    assert bundle.pack(tmp_path / "a.py").digest != first.digest


def test_a_bundle_cannot_write_outside_its_folder(tmp_path):
    evil = bundle.SourceBundle("a.py", {"../a.py": b"x = 1"})
    with pytest.raises(InvalidError, match="illegal path"):
        bundle.unpack(bundle.encode(evil), tmp_path / "folder")
    assert not (tmp_path / "a.py").exists()


def test_user_code_that_raises_names_the_file_and_line(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\ny = x / 0\n")
    with pytest.raises(UserCodeError, match=r"ZeroDivisionError: division by zero \(a\.py, line 2\)"):
        bundle.load(tmp_path, "a.py")


@pytest.mark.parametrize(
    ("text", "says"), [("def f(:\n", "line 1 is not valid Python"), (None, "cannot be read")]
)
def test_a_file_that_is_no_python_is_one_sentence(tmp_path, text, says):
    if text is not None:
        (tmp_path / "a.py").write_text(text)
    with pytest.raises(InvalidError, match=says):
        bundle.pack(tmp_path / "a.py")
