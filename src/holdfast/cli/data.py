"""`holdfast data`: dataset versions."""

from __future__ import annotations

import click

from holdfast.cli.output import json_option, print_fields, print_json, print_table
from holdfast.cli.session import Session
from holdfast.data.records import (
    DatasetVersion,
    GetDatasetRequest,
    ListDatasetsRequest,
    ListDatasetVersionsRequest,
)
from holdfast.data.service import DataService


@click.group()
def data() -> None:
    """Add, list and show dataset versions.

    A dataset version is named NAME@3, or NAME for the newest. It never changes.
    """


@data.command()
@click.argument("name")
@click.argument("source")
@click.option("--key", "keys", multiple=True, help="A column that names the entity; may be repeated.")
@click.option("--time", default="", help="The column with the rows' times (times, dates or ISO 8601 text).")
@click.option("--label", help="The column that models learn to predict.")
@click.option("--drop", "dropped", multiple=True, help="A column to leave out; may be repeated.")
@click.option("--append", is_flag=True, help="Add the rows to those of the newest version.")
@click.option("--message", "-m", default="", help="Why; kept with the version.")
@json_option
@click.pass_obj
def add(
    session: Session, name: str, source: str, keys: tuple[str, ...], time: str, label: str | None,
    dropped: tuple[str, ...], append: bool, message: str, as_json: bool,
) -> None:  # fmt: skip
    """Make SOURCE a version of the dataset NAME: CSV or Parquet, a file, a 'pattern' or a folder.

    Rows that a version has already are that version; nothing is stored twice.
    """
    from holdfast.sdk.datasets import add_source

    added = add_source(
        session, name, source, key=keys, time=time, label=label, drop=dropped, append=append, message=message
    )
    if as_json:
        print_json(added)
        return
    version = added.version
    for note in added.notes:
        click.echo(f"note: {note}", err=True)
    what = f"{version.rows:,} rows, {len(version.contract.fields)} columns, fingerprint {version.fingerprint[:16]}"
    if not added.created:
        click.echo(f"{name} has these rows already: {_reference(version)} ({what})")
        return
    grown = f", grown from {name}@{version.parent}" if version.parent is not None else ""
    click.echo(f"{_reference(version)}: {what}{grown}")


@data.command("list")
@click.argument("name", required=False)
@click.option("--limit", type=int, default=50, show_default=True, help="How many versions.")
@json_option
@click.pass_obj
def list_datasets(session: Session, name: str | None, limit: int, as_json: bool) -> None:
    """List the datasets, or the versions of NAME, newest first."""
    from holdfast.base.clock import format_time

    if name is None:
        found = session.read(DataService.list_datasets, ListDatasetsRequest())
        if as_json:
            print_json(found)
        elif not found.datasets:
            click.echo("there are no datasets yet; add one with `holdfast data add NAME FILE`")
        else:
            print_table(
                ["dataset", "newest version", "rows", "made"],
                [
                    [d.table, str(d.latest_version), f"{d.rows:,}", format_time(d.created_at)]
                    for d in found.datasets
                ],
            )
        return
    page = session.read(DataService.list_versions, ListDatasetVersionsRequest(name, limit=limit))
    if as_json:
        print_json(page)
        return
    print_table(
        ["version", "rows", "parts", "made", "by", "source", "message"],
        [
            [
                _reference(version),
                f"{version.rows:,}",
                str(len(version.parts)),
                format_time(version.created_at),
                version.created_by,
                version.source or "what serving logged",
                version.message,
            ]
            for version in page.versions
        ],
    )
    if page.next_before is not None:
        click.echo(f"older ones: holdfast data list {name} --limit {2 * limit}")


@data.command()
@click.argument("reference", metavar="NAME[@VERSION]")
@json_option
@click.pass_obj
def show(session: Session, reference: str, as_json: bool) -> None:
    """Show a dataset version: its columns, where its rows came from, its fingerprint."""
    version = find(session, reference)
    if as_json:
        print_json(version)
        return
    print_fields(_facts(version))
    click.echo()
    print_table(
        ["column", "role", "type", "missing", "values"],
        [
            [
                field.name,
                field.role,
                field.type,
                f"{field.null_share:.2%}",
                _values(field.minimum, field.maximum, field.categories),
            ]
            for field in version.contract.fields
        ],
    )


def find(session: Session, reference: str) -> DatasetVersion:
    """The version that `NAME`, `NAME@3` or `NAME@latest` names."""
    name, _, version = reference.removeprefix("data/").partition("@")
    return session.read(DataService.get_dataset, GetDatasetRequest(name, version or "latest"))


def _reference(version: DatasetVersion) -> str:
    return f"{version.table}@{version.version}"


def _facts(version: DatasetVersion) -> list[tuple[str, str]]:
    from holdfast.base.clock import format_time

    size = sum(part.size_bytes for part in version.parts)
    provenance = version.provenance
    facts = [
        ("dataset", _reference(version)),
        ("rows", f"{version.rows:,}"),
        ("files", f"{len(version.parts)}" + (f", {size / 1e6:,.1f} MB" if size else "")),
        ("fingerprint", f"{version.fingerprint} (format {version.fingerprint_format})"),
        ("made", f"{format_time(version.created_at)} by {version.created_by}"),
        ("source", version.source or "what serving logged"),
    ]
    if provenance is not None and provenance.query:
        facts.append(("query", " ".join(provenance.query.split())))
    if version.source_digest:
        facts.append(("source digest", version.source_digest))
    if provenance is not None and provenance.code:
        facts.append(("read by", provenance.code))
    if version.parent is not None:
        facts.append(("grown from", f"{version.table}@{version.parent}"))
    if version.columns_dropped:
        facts.append(("left out", ", ".join(version.columns_dropped)))
    if version.message:
        facts.append(("message", version.message))
    return facts


def _values(minimum: float | None, maximum: float | None, categories: tuple[str, ...] | None) -> str:
    if categories is not None:
        shown = ", ".join(categories[:5])
        return f"{shown}, … ({len(categories)})" if len(categories) > 5 else shown
    if minimum is None or maximum is None:
        return ""
    return f"{minimum:g} to {maximum:g}"
