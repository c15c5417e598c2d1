"""Dataset versions: adding, profiling and fingerprinting 1M rows of 50 columns, beside plain polars and numpy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl

from bench.report import Figure, figure
from holdfast.base.blobs import Blobs
from holdfast.data.add import build_plain
from holdfast.data.fingerprint import fingerprint_frame
from holdfast.data.readers.open import open_source
from holdfast.data.records import TableSpec
from holdfast.profiles.build import build_profile

ROWS, NUMERIC, CATEGORICAL = 1_000_000, 40, 10
_SEED = 7
_BINS, _CATEGORIES, _SAMPLE = 64, 100, 200_000
_ONE_THREAD = "--one-thread"


def figures(*, quick: bool) -> Iterator[Figure]:
    """Add from a frame and from a file, profile on one thread, fingerprint."""
    repetitions = 3 if quick else 7
    rows = make_rows()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield from _adding(rows, folder, repetitions)
    yield from _profiling(repetitions)


def make_rows(rows: int = ROWS) -> pl.DataFrame:
    """40 numeric columns (a quarter of them integers) and 10 of 5 to 500 categories, 2% of one in four missing."""
    random = np.random.default_rng(_SEED)
    columns: dict[str, pl.Series] = {}
    for number in range(NUMERIC):
        values = random.normal(size=rows).round(4) if number % 4 else random.integers(0, 100_000, rows)
        column = pl.Series(values)
        columns[f"x{number}"] = (
            column.set(pl.Series(random.random(rows) < 0.02), None) if number % 4 == 1 else column
        )
    for number in range(CATEGORICAL):
        names = np.array([f"category {number} {value}" for value in range(5 * (number + 1) ** 2)])
        columns[f"c{number}"] = pl.Series(names[random.integers(0, len(names), rows)])
    return pl.DataFrame(columns)


def _adding(rows: pl.DataFrame, folder: Path, repetitions: int) -> Iterator[Figure]:
    source = folder / "source.parquet"

    def plain() -> None:
        rows.write_parquet(folder / "plain.parquet", compression="zstd")

    def add(what: object) -> Callable[[], None]:
        return lambda: _add(what, folder / "blobs")

    plain()
    shutil.copy(folder / "plain.parquet", source)
    floor, from_frame, from_file, fingerprint = _best(
        [plain, add(rows), add(source), lambda: _ignore(fingerprint_frame(rows))], repetitions
    )
    yield figure(
        "data add, 1M x 50 from a frame", from_frame, "s", floor,
        aim="≤ 2x",
        limit="Compressing the Parquet parts on one core beside the profile and the fingerprint on the other.",
    )  # fmt: skip
    yield figure(
        "data add, 1M x 50 from a Parquet file", from_file, "s", floor,
        limit="Reading in slices, then reading the stored parts again to count in cells that all rows chose.",
    )  # fmt: skip
    yield figure(
        "fingerprint of 1M x 50", fingerprint, "s", from_frame,
        limit="Its share of the add from a frame (the floor); BLAKE3 itself takes a third of it.",
    )  # fmt: skip


def _profiling(repetitions: int) -> Iterator[Figure]:
    """In a process of one polars thread, so that the floor and the profile are counted alike."""
    environment = {**os.environ, "POLARS_MAX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "bench.data", _ONE_THREAD, str(repetitions)],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    floor, profile = (float(word) for word in done.stdout.split())
    yield figure(
        "profile of 1M x 50, one thread", profile, "s", floor,
        aim="≤ 2.5 s, ≤ 1.2x",
        limit="Sorting in pieces to count 64 bins, and counting texts; the floor calls numpy and polars for the same.",
    )  # fmt: skip


def plain_profile(rows: pl.DataFrame) -> None:
    """The numbers of a profile by plain numpy and polars: bins of equal share, counts, moments, texts."""
    for column in rows:
        if column.dtype == pl.String:
            counts = column.drop_nulls().value_counts(sort=True)
            counts.head(_CATEGORIES).rows()
            column.null_count()
            continue
        values = column.cast(pl.Float64).drop_nulls().to_numpy()
        values = values[np.isfinite(values)]
        edges = np.unique(
            np.quantile(values[:: max(1, len(values) // _SAMPLE)], np.linspace(0, 1, _BINS + 1))
        )
        np.histogram(values, edges)
        (
            values.mean(),
            values.var(),
            values.min(),
            values.max(),
            np.count_nonzero(values == 0),
            column.null_count(),
        )


def _add(what: object, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    build_plain(TableSpec("rows", None, ""), open_source(what), Blobs(folder))


def _best(calls: list[Callable[[], None]], repetitions: int) -> list[float]:
    """The shortest time of each, taken in turn, so that a busy moment does not fall on one alone."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(repetitions):
        for number, call in enumerate(calls):
            started = time.perf_counter()
            call()
            times[number].append(time.perf_counter() - started)
    return [min(taken) for taken in times]


def _ignore(_: object) -> None:
    return None


def _one_thread(repetitions: int) -> None:
    rows = make_rows()
    floor, profile = _best([lambda: plain_profile(rows), lambda: _ignore(build_profile(rows))], repetitions)
    print(floor, profile)


if __name__ == "__main__" and _ONE_THREAD in sys.argv:
    _one_thread(int(sys.argv[-1]))
