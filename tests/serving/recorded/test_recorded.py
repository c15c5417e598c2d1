"""A serving process one release older or newer than the server keeps working: what either writes, the other reads."""

from __future__ import annotations

import json
import logging
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from holdfast.base.home import Home
from holdfast.base.version import VERSION
from holdfast.serving.deployment_file import deployment_path, load_deployment_file, read_deployment_file
from holdfast.serving.log import PredictionLog
from holdfast.serving.records import DeploymentFile
from holdfast.serving.spool import (
    CLOSED,
    MAGIC,
    OPEN,
    decode_frames,
    deployment_folder,
    pack,
    read_segment,
    recover,
)
from tests.serving.plane.world import KEY, ROW, serving, value_of
from tests.serving.recorded.record import FOLDER, frames, record

RELEASES = sorted(path.name for path in FOLDER.iterdir() if (path / "serving").is_dir())


@pytest.fixture(params=RELEASES)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    """A home as a release left it."""
    return Home(Path(shutil.copytree(FOLDER / request.param, tmp_path / "home")))


def deployment(home: Home) -> Path:
    return deployment_path(home, KEY.project, KEY.environment, KEY.name)


def test_this_release_is_recorded_and_writes_what_was_recorded(tmp_path):
    """When this fails, this release writes something else than before: record it, beside what is there."""
    assert VERSION in RELEASES
    record(tmp_path)
    recorded = Home(FOLDER / VERSION)
    made = Home(tmp_path)
    assert deployment(made).read_bytes() == deployment(recorded).read_bytes()
    (one,) = deployment_folder(made.spool, KEY).iterdir()
    (another,) = deployment_folder(recorded.spool, KEY).iterdir()
    assert one.read_bytes() == another.read_bytes()


def test_what_a_release_wrote_is_read(home):
    file = load_deployment_file(deployment(home))
    assert (file.revision, file.warm, [item.version for item in file.versions]) == (7, (2,), [3, 2])
    log = PredictionLog(home)
    predictions = log.predictions(KEY)
    assert predictions["request_id"].to_list() == ["recorded-1", "recorded-2"]
    assert predictions["output"].to_list() == [value_of(3)] * 2
    assert predictions["input.weather"].to_list() == ["rain"] * 2
    assert log.labels(KEY)["value"].to_list() == [42.5, 42.5]
    assert log.read_since(KEY, None).rejections["code"].to_list() == ["invalid_field"] * 2
    assert [item.segment[-6:] for item in log.ship(KEY)] == ["000002"]


def test_a_serving_process_runs_from_the_file_of_a_release(home):
    with serving(home) as plane:
        answer = plane.predict([ROW])
        assert (answer["revision"], answer["version"]) == (7, "3")
        assert answer["predictions"][0]["value"] == value_of(3)


def with_more(value: Any) -> Any:
    """What a later release might write: a field more in every object."""
    if isinstance(value, dict):
        return {**{name: with_more(item) for name, item in value.items()}, "of_a_later_release": {"x": [1]}}
    if isinstance(value, list):
        return [with_more(item) for item in value]
    return value


def test_a_serving_process_takes_the_file_of_a_later_release(home):
    path = deployment(home)
    known = load_deployment_file(path)
    path.write_text(json.dumps(with_more(json.loads(path.read_text()))))
    assert load_deployment_file(path) == known
    with serving(home) as plane:
        assert plane.predict([ROW])["predictions"][0]["value"] == value_of(3)


def test_a_server_takes_the_file_of_an_earlier_release(home):
    """Fields that have defaults may be missing, whichever release added them."""
    path = deployment(home)
    known = load_deployment_file(path)
    defaults = {field.name for field in msgspec.structs.fields(DeploymentFile) if not field.required}
    present = json.loads(path.read_text())
    path.write_text(json.dumps({name: item for name, item in present.items() if name not in defaults}))
    found = read_deployment_file(home, KEY.project, KEY.environment, KEY.name)
    assert found is not None and found.versions == known.versions


def packed(values: list[Any]) -> bytes:
    payload = msgspec.msgpack.encode(values)
    return struct.pack("<II", len(payload), zlib.crc32(payload)) + payload


@pytest.mark.parametrize("more", [["later"], [{"nested": [1, None]}, 2.5]])
def test_frames_of_a_later_release_have_more_at_their_end(more):
    for frame in frames(1):
        values = msgspec.msgpack.decode(msgspec.msgpack.encode(frame))
        assert decode_frames(packed(values + more))[0] == [(0, frame)]


def test_frames_of_an_earlier_release_have_less_at_their_end():
    for frame in frames(1):
        values = msgspec.msgpack.decode(msgspec.msgpack.encode(frame))
        required = sum(field.required for field in msgspec.structs.fields(type(frame)))
        (_, found), *_ = decode_frames(packed(values[: required + 1]))[0]
        for name in type(frame).__struct_fields__[:required]:
            assert getattr(found, name) == getattr(frame, name)


def test_a_kind_of_frame_that_only_a_later_release_knows_is_passed_over(tmp_path, caplog):
    before, after = frames(1), frames(2)
    unknown = packed(["explanation", 1, "later"])
    data = b"".join([*map(pack, before), unknown, *map(pack, after), unknown])
    path = tmp_path / f"segment{CLOSED}"
    path.write_bytes(MAGIC + data)
    with caplog.at_level(logging.WARNING):
        found, end = read_segment(path)
    assert [frame for _, frame in found] == before + after
    assert end == path.stat().st_size
    assert "passed over" in caplog.text


def test_recovery_keeps_what_it_does_not_understand(home):
    """A process of a later release was killed; what it logged last is no torn tail."""
    spool = deployment_folder(home.spool, KEY)
    path = spool / f"w1-{0:016x}-1-000001{OPEN}"
    kept = MAGIC + b"".join([*map(pack, frames(3)), packed(["explanation", 1, "later"])])
    path.write_bytes(kept + b"torn")
    assert recover(home.spool) == [path.with_suffix(CLOSED)]
    assert path.with_suffix(CLOSED).read_bytes() == kept
    log = PredictionLog(home)
    log.ship(KEY)
    assert "recorded-3" in log.predictions(KEY)["request_id"].to_list()
