"""The spool: what was appended is there after a crash, whole or not at all."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from holdfast.serving import spool
from holdfast.serving.records import LabelFrame, PredictionFrame, RejectionFrame, SchemaFrame
from holdfast.serving.spool import SpoolError, SpoolWriter, decode_frames, pack, read_segment, recover

SCHEMA = SchemaFrame(1, ["temp", "weather"], ["temp", "weather"])


def prediction(number: int, version: int = 1) -> PredictionFrame:
    return PredictionFrame(
        f"r{number}",
        number,
        number,
        7,
        version,
        "champion",
        1.0,
        [[0.5], ["rain"]],
        [[0.5, 1.0]],
        [number / 3],
        40,
    )


def label(number: int) -> LabelFrame:
    return LabelFrame(number, number, [f"p_r{number}.0"], [float(number)], [number])


def writer(folder: Path, **options: object) -> SpoolWriter:
    made = SpoolWriter(folder, "w1", 1_000, **options)  # type: ignore[arg-type]
    made.declare(SCHEMA)
    return made


def test_frames_come_back_in_order_with_the_schema_before_the_first_prediction(tmp_path: Path) -> None:
    log = writer(tmp_path)
    log.append([label(1)])
    log.append_prediction(prediction(1))
    log.append([prediction(2), RejectionFrame("x", 3, 3, "invalid_field", "no", "rows[0].temp")])
    (path,) = tmp_path.glob("*.open")
    frames, end = read_segment(path)
    assert [frame for _, frame in frames] == [
        label(1), SCHEMA, prediction(1), prediction(2),
        RejectionFrame("x", 3, 3, "invalid_field", "no", "rows[0].temp"),
    ]  # fmt: skip
    assert end == path.stat().st_size
    assert read_segment(path, frames[3][0])[0] == frames[3:]


def test_a_tail_torn_at_any_byte_costs_only_the_frame_it_is_in(tmp_path: Path) -> None:
    frames = [SCHEMA, *[prediction(number) for number in range(4)], label(9)]
    packed = [pack(frame) for frame in frames]
    data = b"".join(packed)
    ends = [sum(map(len, packed[: count + 1])) for count in range(len(packed))]
    for cut in range(len(packed[0]), len(data)):
        whole = [frame for frame, end in zip(frames, ends, strict=True) if end <= cut]
        found, position = decode_frames(data[:cut])
        assert [frame for _, frame in found] == whole
        assert position == max(end for end in ends if end <= cut)


def test_a_flipped_bit_in_the_last_frame_is_never_taken_for_a_frame() -> None:
    packed = [pack(prediction(1)), pack(label(2))]
    for position in range(len(packed[0]), len(b"".join(packed))):
        data = bytearray(b"".join(packed))
        data[position] ^= 0x10
        found, _ = decode_frames(bytes(data))
        assert [frame for _, frame in found] == [prediction(1)]


def test_recovery_closes_what_the_dead_left_and_leaves_the_living_alone(tmp_path: Path) -> None:
    folder = tmp_path / "default" / "production" / "bikes"
    alive = writer(folder)
    alive.append([label(1)])
    orphan = folder / "w1-0000000000000001-1-000001.open"
    orphan.write_bytes(spool.MAGIC + pack(label(2)) + pack(label(3))[:-3])
    (folder / ".w1-half-made.open").write_bytes(b"HFSP")
    assert recover(tmp_path) == [orphan.with_suffix(".closed")]
    assert orphan.with_suffix(".closed").read_bytes() == spool.MAGIC + pack(label(2))
    assert len(list(folder.glob("*.open"))) == 1
    alive.append([label(4)])
    alive.close()
    assert recover(tmp_path) == []


def test_segments_rotate_by_size_and_age_and_name_the_schema_again(tmp_path: Path) -> None:
    log = writer(tmp_path, segment_bytes=400)
    for number in range(20):
        log.append_prediction(prediction(number))
    log.close()
    paths = sorted(tmp_path.iterdir())
    assert len(paths) > 3
    assert all(path.suffix == ".closed" for path in paths)
    segments = [[frame for _, frame in read_segment(path)[0]] for path in paths]
    assert all(segment[0] == SCHEMA for segment in segments)
    assert [frame for segment in segments for frame in segment[1:]] == [
        prediction(number) for number in range(20)
    ]
    aged = writer(tmp_path / "aged", segment_age_s=0.0)
    aged.append([label(1)])
    aged.rotate_if_due()
    assert [path.suffix for path in (tmp_path / "aged").iterdir()] == [".closed"]


@pytest.mark.parametrize("written", [0, 5, 60])
def test_a_full_disk_acknowledges_nothing_and_leaves_whole_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    log = writer(tmp_path)
    log.append_prediction(prediction(1))
    real = os.write

    def short(descriptor: int, data: bytes) -> int:
        if written == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[:written])

    monkeypatch.setattr(spool.os, "write", short)
    with pytest.raises(SpoolError, match="nothing was acknowledged"):
        log.append([prediction(2), prediction(3)])
    monkeypatch.setattr(spool.os, "write", real)
    log.append_prediction(prediction(4))
    log.close()
    frames = [frame for path in sorted(tmp_path.iterdir()) for _, frame in read_segment(path)[0]]
    assert [frame for frame in frames if isinstance(frame, PredictionFrame)] == [prediction(1), prediction(4)]


def test_threads_share_a_writer(tmp_path: Path) -> None:
    log = writer(tmp_path, segment_bytes=5_000, durability="fsync")
    threads = [
        threading.Thread(target=lambda base=base: [log.append([label(base + step)]) for step in range(50)])
        for base in (0, 1_000, 2_000)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    found = [frame for path in sorted(tmp_path.iterdir()) for _, frame in read_segment(path)[0]]
    assert sorted(frame.at for frame in found) == sorted(
        base + step for base in (0, 1_000, 2_000) for step in range(50)
    )
