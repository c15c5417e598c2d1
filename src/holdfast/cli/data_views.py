"""How `holdfast data` prints comparisons, verifications and what retention did."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from holdfast.cli.output import print_table
from holdfast.data.diff_records import RowDiff, RowExample, Verification
from holdfast.data.records import RetainReport
from holdfast.sdk.datasets import VersionDiff

_SHIFTS_SHOWN = 10
_NOTICED = 0.001
_VALUES_SHOWN = 5


@contextmanager
def counting(name: str) -> Iterator[Callable[[int], None] | None]:
    """Shows how many rows were read, where a person looks on."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console

    with Console(stderr=True).status(f"reading {name}") as status:
        yield lambda rows: status.update(f"reading {name}: {rows:,} rows")


def print_diff(found: VersionDiff) -> None:
    """Schema, distributions and rows, the most important first."""
    diff = found.versions
    click.echo(
        f"{diff.table}@{diff.before} → {diff.table}@{diff.after}: {diff.rows_before:,} → {diff.rows_after:,} rows"
    )
    if diff.same_rows:
        click.echo("the rows are the same")
        return
    for change in diff.fields:
        between = " → ".join(word for word in (change.before, change.after) if word)
        click.echo(f"column {change.field}: {change.kind} ({between})")
    if found.rows is not None:
        _print_rows(found.rows)
    moved = [shift for shift in diff.shifts if shift.distance > _NOTICED][:_SHIFTS_SHOWN]
    if moved:
        click.echo()
        print_table(
            ["distribution", "distance", "missing", "mean", "new categories"],
            [
                [
                    shift.field,
                    f"{'' if shift.exact else '~'}{shift.distance:.3f}",
                    f"{shift.null_share_before:.1%} → {shift.null_share_after:.1%}",
                    "" if shift.mean_before is None or shift.mean_after is None
                    else f"{shift.mean_before:.4g} → {shift.mean_after:.4g}",
                    ", ".join(shift.categories_added),
                ]
                for shift in moved
            ],
        )  # fmt: skip


def print_verification(found: Verification, blobs: Path) -> None:
    """What is wrong, part by part; or that nothing is."""
    for part in found.parts:
        if part.state != "ok":
            path = blobs / part.digest[:2] / part.digest
            click.echo(f"part {part.part} is {part.state}: {path}")
    if found.fingerprint == "differs":
        click.echo(
            "the files are whole, but their rows do not give the fingerprint: they are read differently now"
        )
    if found.source in ("changed", "gone"):
        what = "has changed since" if found.source == "changed" else "is no longer there"
        click.echo(
            f"note: the source {found.source_path} {what}; the version still has the rows as they were"
        )
    if found.ok:
        click.echo(f"{found.urn}: {len(found.parts)} files and the rows in them are what they were")
    else:
        click.echo(f"{found.urn} is NOT what it was; restore its files from a backup")


def print_retained(report: RetainReport, collected: str) -> None:
    """What went or would go, and why the rest stays."""
    verb = "would delete" if report.dry_run else "deleted"
    names = ", ".join(f"{report.table}@{number}" for number in report.deleted) or "nothing"
    size = f" ({report.bytes_freed / 1e6:,.1f} MB in files of their own)" if report.deleted else ""
    click.echo(f"{verb} {names}{size}; {report.remaining} versions remain")
    for kept in report.kept:
        click.echo(f"{report.table}@{kept.version} stays: {kept.because}")
    if report.deleted and not report.dry_run:
        click.echo(collected)


def _print_rows(rows: RowDiff) -> None:
    if rows.note:
        click.echo(f"note: {rows.note}")
    by = f" by {', '.join(rows.key)}" if rows.key else ", whole rows"
    changed = f", {rows.changed:,} changed" if rows.key else ""
    click.echo(
        f"rows{by}: {rows.added:,} added, {rows.removed:,} removed{changed}, {rows.unchanged:,} unchanged"
    )
    for name, count in sorted(rows.columns.items(), key=lambda item: (-item[1], item[0])):
        click.echo(f"  {name} changed in {count:,} rows")
    for word, examples in (
        ("added", rows.examples_added), ("removed", rows.examples_removed), ("changed", rows.examples_changed)
    ):  # fmt: skip
        _print_examples(word, examples)


def _print_examples(word: str, examples: Sequence[RowExample]) -> None:
    for example in examples:
        key = ", ".join(f"{name} = {value}" for name, value in example.key.items())
        if example.before is not None and example.after is not None:
            values = [f"{name}: {old} → {example.after[name]}" for name, old in example.before.items()]
        else:
            values = [f"{name}: {value}" for name, value in (example.before or example.after or {}).items()]
        more = ", …" if len(values) > _VALUES_SHOWN else ""
        shown = ", ".join(values[:_VALUES_SHOWN]) + more
        click.echo(f"  e.g. {word}: {'; '.join(text for text in (key, shown) if text)}")
