"""Data larger than the memory it may take: 300 MB of CSV are added while the process grows by less than 250 MB."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

FILE_BYTES = 300_000_000
GROWTH_MOST = 250_000_000

CHILD = """
import sys, threading, time
from pathlib import Path
from holdfast.base.blobs import Blobs
from holdfast.data.add import build_plain
from holdfast.data.readers.open import open_source
from holdfast.data.records import TableSpec
import polars, numpy

def resident():
    words = Path("/proc/self/statm").read_text().split()
    return int(words[1]) * 4096

start, most, done = resident(), [0], threading.Event()

def watch():
    while not done.wait(0.005):
        most[0] = max(most[0], resident() - start)

watcher = threading.Thread(target=watch)
watcher.start()
draft = build_plain(TableSpec("big", None, ""), open_source(sys.argv[1]), Blobs(Path(sys.argv[2]))).draft
done.set()
watcher.join()
print(draft.rows, len(draft.parts), most[0])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells what a process holds")
def test_a_large_file_is_added_in_bounded_memory(tmp_path: Path) -> None:
    number = pl.int_range(100_000)
    block = pl.select(
        *((number * factor % 10_007 / 64).alias(f"x{factor}") for factor in range(1, 9)),
        (number % 500).cast(pl.String).alias("shop"),
    )
    path = tmp_path / "big.csv"
    lines = block.write_csv(include_header=False).encode()
    repeats = FILE_BYTES // len(lines) + 1
    with path.open("wb") as file:
        file.write((",".join(block.columns) + "\n").encode())
        for _ in range(repeats):
            file.write(lines)
    assert path.stat().st_size > FILE_BYTES
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), str(tmp_path / "blobs")],
        capture_output=True,
        text=True,
        check=True,
    )
    rows, parts, growth = (int(word) for word in done.stdout.split())
    assert rows == repeats * block.height
    assert parts > 5
    assert growth < GROWTH_MOST
