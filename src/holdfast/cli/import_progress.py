"""How far an import is, on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

    from holdfast.sdk.imports.mlflow import Report
    from holdfast.sdk.imports.mlflow.importer import Watch


class _Quiet:
    """Says nothing, for pipes and for JSON."""

    def begin(self, experiments: int) -> None:
        pass

    def experiment(self, name: str, runs: int | None) -> None:
        pass

    def advance(self, runs: int, report: Report) -> None:
        pass


class _Bars:
    """A bar for the experiments and one for the runs of the present one."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._all = progress.add_task("experiments", total=None, detail="")
        self._one = progress.add_task("", total=None, detail="", visible=False)
        self._begun = 0

    def begin(self, experiments: int) -> None:
        self._progress.update(self._all, total=experiments)

    def experiment(self, name: str, runs: int | None) -> None:
        self._progress.update(self._all, completed=self._begun)
        self._begun += 1
        self._progress.reset(self._one, total=runs, description=name[:40], visible=True, detail="")

    def advance(self, runs: int, report: Report) -> None:
        detail = f"{report.points:,} points, {report.bytes / 1e6:,.1f} MB"
        self._progress.update(self._one, advance=runs, detail=detail)


@contextmanager
def watching(quiet: bool) -> Iterator[Watch]:
    """Bars on the error stream of a terminal, and nothing anywhere else."""
    if quiet or not sys.stderr.isatty():
        yield _Quiet()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[detail]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Bars(progress)
