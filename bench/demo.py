"""Wall time and peak memory of the whole story: `holdfast demo`."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator

import psutil

from bench.processes import HOLDFAST, ROOT, PeakMemory, environment
from bench.report import Figure, figure

_WITHIN_S = 300


def figures(*, quick: bool) -> Iterator[Figure]:
    """The payments world from the first training to the rollback; once, or three times the best and the worst."""
    runs = [_run() for _ in range(1 if quick else 3)]
    yield figure(
        "holdfast demo, wall time",
        min(seconds for seconds, _ in runs),
        "s",
        aim="≤ 90 s",
        limit="Simulated days one after another: predictions over HTTP, windows, checks, and the trainings.",
    )
    yield figure(
        "holdfast demo, peak memory of all its processes",
        max(megabytes for _, megabytes in runs),
        "MB",
        limit="Server, serving worker and training child each hold numpy and polars or scikit-learn.",
    )


def _run() -> tuple[float, float]:
    """Seconds and peak megabytes of one demo."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = psutil.Popen(
            [*HOLDFAST, "demo", "--exit", "--json"],
            env=environment(),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )
        with PeakMemory(process) as peak:
            try:
                code = process.wait(_WITHIN_S)
            except psutil.TimeoutExpired:
                process.terminate()
                raise
        seconds = time.perf_counter() - started
        if code:
            errors.seek(0)
            raise RuntimeError(f"the demo ended with code {code}: {errors.read().decode()[-500:]}")
        output.seek(0)
        json.loads(output.read())
    return seconds, peak.mb
