"""What is captured: data by its content, GPUs as the driver tells, commands without their secrets."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from holdfast.sdk.runs import gpu
from holdfast.sdk.runs.capture import without_secrets, without_user
from holdfast.sdk.runs.datasets import describe
from holdfast.sdk.runs.system import Meter

FRAME = pl.DataFrame(
    {
        "n": [1, 2, None],
        "x": [0.5, -0.0, 1.5],
        "word": ["a", None, "b"],
        "flag": [True, None, False],
        "day": [datetime.date(2026, 1, 1)] * 3,
        "tags": [["a"], [], None],
        "kind": pl.Series(["u", "v", "u"], dtype=pl.Categorical),
    }
)


def test_the_digest_of_a_frame_is_that_of_its_rows() -> None:
    cut = pl.concat([FRAME[:1], FRAME[1:]], rechunk=False)
    assert describe("a", FRAME).digest == describe("b", cut).digest == describe("c", FRAME.lazy()).digest
    changed = FRAME.with_columns(tags=pl.Series([["a"], ["x"], None]))
    others = [FRAME.reverse(), FRAME.rename({"n": "m"}), FRAME[:2], changed, FRAME.drop("kind")]
    assert len({describe("a", frame).digest for frame in [FRAME, *others]}) == 6
    found = describe("train", FRAME)
    assert json.loads(found.profile or "") == {"num_elements": 21, "num_rows": 3}
    kinds = {column["name"]: column["type"] for column in json.loads(found.schema or "")["mlflow_colspec"]}
    assert kinds["n"] == "long" and kinds["x"] == "double" and kinds["day"] == "datetime"


def test_arrays_files_and_folders_have_digests_too(tmp_path: Path) -> None:
    array = np.arange(12.0).reshape(3, 4)
    assert describe("a", array).digest == describe("a", np.asfortranarray(array)).digest
    assert describe("a", array).digest != describe("a", array.reshape(4, 3)).digest
    assert describe("e", np.zeros((0, 3))).digest
    FRAME.select("n", "x").write_parquet(tmp_path / "rows.parquet")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "notes.txt").write_text("hello")
    file, folder = describe("file", tmp_path / "rows.parquet"), describe("all", tmp_path)
    assert json.loads(file.profile or "")["num_rows"] == 3
    assert json.loads(folder.profile or "")["num_files"] == 2
    (tmp_path / "deep" / "notes.txt").rename(tmp_path / "deep" / "other.txt")
    assert describe("all", tmp_path).digest != folder.digest


# What nvidia-smi 550 printed on a machine with two cards, one of which tells no power.
SMI = "NVIDIA A100-SXM4-40GB, 40960, 1024, 87, 231.52, 54\nTesla T4, 15360, 3, 0, [N/A], 38\n"


def test_gpus_are_those_of_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\nprintf '{SMI}'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    gpu._reader.cache_clear()
    try:
        first, second = gpu.find_gpus()
        measured = Meter().measure()
        tool.write_text("#!/bin/sh\nexit 9\n")
        assert gpu.find_gpus() == []
    finally:
        gpu._reader.cache_clear()
    assert (first.name, first.memory_total_bytes, first.power_w) == (
        "NVIDIA A100-SXM4-40GB",
        40960 << 20,
        231.52,
    )
    assert (second.power_w, second.temperature_c) == (None, 38)
    assert measured["system/gpu_0_percent"] == 87 and measured["system/gpu_1_memory_used_bytes"] == 3 << 20
    assert "system/gpu_1_power_w" not in measured
    assert 0 < measured["system/memory_percent"] <= 100


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("train.py --password hunter2 --depth 3", "train.py --password *** --depth 3"),
        ("train.py --hf-token=hf_x DB_PASSWORD=x lr=0.1", "train.py --hf-token=*** DB_PASSWORD=*** lr=0.1"),
        ("train.py --dsn postgres://ann:pw@db/x", "train.py --dsn postgres://***@db/x"),
        ("train.py sk-abcdefghijklmnopqrstuv AKIAABCDEFGHIJKLMNOP", "train.py *** ***"),
        ("train.py --token --verbose --tokenizer bpe", "train.py --token --verbose --tokenizer bpe"),
        ("train.py --max-tokens 512", "train.py --max-tokens 512"),
    ],
)
def test_a_command_is_kept_without_its_secrets(given: str, kept: str) -> None:
    assert " ".join(without_secrets(given.split())) == kept


def test_an_address_is_kept_without_its_user() -> None:
    assert without_user("git@example.org:team/models.git") == "git@example.org:team/models.git"
    assert without_user("https://token@example.org:8443/x") == "https://example.org:8443/x"
