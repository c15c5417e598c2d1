"""`holdfast data`: dataset versions."""

from __future__ import annotations

import sys

import click

from holdfast.base.errors import InvalidError
from holdfast.cli.output import json_option, print_fields, print_json, print_table
from holdfast.cli.session import Session
from holdfast.data.records import (
    DatasetVersion,
    GetDatasetRequest,
    ListDatasetsRequest,
    ListDatasetVersionsRequest,
)
from holdfast.data.service import DataService

_DAMAGED = 3
_COLLECTED = "`holdfast runs gc` frees its files, unless another version has them"


@click.group()
def data() -> None:
    """Add, list, show, compare, check out, verify, tag and delete dataset versions.

    A dataset version is named NAME@3, NAME@TAG, or NAME for the newest. It never changes.
    """


@data.command()
@click.argument("name")
@click.argument("source", required=False)
@click.option("--sql", help="A query instead of SOURCE; needs --connection.")
@click.option(
    "--connection",
    envvar="HOLDFAST_CONNECTION",
    help="sqlite:///PATH or postgresql://USER@HOST/DATABASE; its password is not kept.",
)
@click.option("--key", "keys", multiple=True, help="A column that names the entity; may be repeated.")
@click.option("--time", help="The column with the rows' times (times, dates or ISO 8601 text).")
@click.option("--label", help="The column that models learn to predict.")
@click.option("--drop", "dropped", multiple=True, help="A column to leave out; may be repeated.")
@click.option("--append", is_flag=True, help="Add the rows to those of the newest version.")
@click.option("--message", "-m", default="", help="Why; kept with the version.")
@json_option
@click.pass_obj
def add(
    session: Session, name: str, source: str | None, sql: str | None, connection: str | None, keys: tuple[str, ...],
    time: str | None, label: str | None, dropped: tuple[str, ...], append: bool, message: str, as_json: bool,
) -> None:  # fmt: skip
    """Make SOURCE a version of the dataset NAME: a CSV or Parquet file, a 'pattern', a folder, a Delta table, an s3://
    address; or the rows of a query.

    Rows that a version has already are that version; nothing is stored twice. Key, time, label and columns to leave out
    are those of the newest version where they are not given.
    """
    if source is None and sql is None:
        raise click.UsageError("name a SOURCE, or a query with --sql and --connection")
    from holdfast.cli.data_views import counting
    from holdfast.sdk.datasets import add_source

    with counting(name) as tell:
        added = add_source(
            session, name, source, sql=sql, connection=connection if sql is not None else None, key=keys, time=time,
            label=label, drop=dropped, append=append, message=message, tell=tell,
        )  # fmt: skip
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


@data.command()
@click.argument("before", metavar="NAME@BEFORE")
@click.argument("after", metavar="[AFTER]", required=False)
@click.option(
    "--rows/--no-rows", default=True, help="Compare rows too (default), or schema and distributions only."
)
@json_option
@click.pass_obj
def diff(session: Session, before: str, after: str | None, rows: bool, as_json: bool) -> None:
    """Compare a version with AFTER, another version or tag of the dataset (default: the newest).

    NAME alone compares the newest version with the one before.

    Rows are told apart by the key that was declared; without one, whole rows are counted.
    """
    from holdfast.cli.data_views import print_diff
    from holdfast.sdk.datasets import diff_versions

    if after is None and "@" not in before:
        request = ListDatasetVersionsRequest(before.removeprefix("data/"), limit=2)
        versions = session.read(DataService.list_versions, request).versions
        if len(versions) == 1:
            raise InvalidError(
                f"{before} has one version",
                hint="add another one with `holdfast data add`, then compare them",
            )
        before = f"{before}@{versions[-1].version}" if versions else before
    found = diff_versions(session, before, after or "latest", rows=rows)
    if as_json:
        print_json(found)
    else:
        print_diff(found)


@data.command()
@click.argument("reference", metavar="NAME[@VERSION]")
@click.argument("path", type=click.Path(dir_okay=False))
@click.option("--force", is_flag=True, help="Replace the file that is there.")
@json_option
@click.pass_obj
def checkout(session: Session, reference: str, path: str, force: bool, as_json: bool) -> None:
    """Write the rows of a version to PATH, which ends in .parquet or .csv."""
    from pathlib import Path

    from holdfast.base.blobs import Blobs
    from holdfast.data.verify import checkout as write

    version = find(session, reference)
    count = write(version, Blobs(session.home.blobs), Path(path), replace=force)
    if as_json:
        print_json({"path": path, "dataset": version.urn, "rows": count})
    else:
        click.echo(f"wrote {count:,} rows of {_reference(version)} to {path}")


@data.command()
@click.argument("reference", metavar="NAME[@VERSION]")
@json_option
@click.pass_obj
def verify(session: Session, reference: str, as_json: bool) -> None:
    """Hash the files and the rows of a version again. Exit code 3 says that it is not what it was."""
    from holdfast.base.blobs import Blobs
    from holdfast.cli.data_views import print_verification
    from holdfast.data.verify import verify_version

    found = verify_version(find(session, reference), Blobs(session.home.blobs))
    if as_json:
        print_json(found)
    else:
        print_verification(found, session.home.blobs)
    if not found.ok:
        sys.exit(_DAMAGED)


@data.command()
@click.argument("reference", metavar="NAME[@VERSION]")
@click.argument("tag", required=False)
@click.option("--remove", is_flag=True, help="Take TAG away.")
@json_option
@click.pass_obj
def tag(session: Session, reference: str, tag: str | None, remove: bool, as_json: bool) -> None:
    """Put TAG on a version, move it there, or list the tags of NAME. A tagged version is never deleted."""
    from holdfast.data.records import ListTagsRequest, RemoveTagRequest, SetTagRequest
    from holdfast.data.retention import RetentionService

    name, _, version = reference.removeprefix("data/").partition("@")
    if tag is not None and not remove:
        put = session.write(RetentionService.set_tag, SetTagRequest(name, tag, version or "latest"))
        print_json(put) if as_json else click.echo(f"{name}@{put.tag} is {name}@{put.version}")
        return
    if remove and tag is None:
        raise click.UsageError("--remove needs the TAG to take away")
    found = (
        session.write(RetentionService.remove_tag, RemoveTagRequest(name, tag))
        if tag is not None
        else session.read(RetentionService.list_tags, ListTagsRequest(name))
    )
    if as_json:
        print_json(found)
    elif found.tags:
        print_table(["tag", "version", "by"], [[t.tag, f"{name}@{t.version}", t.set_by] for t in found.tags])
    else:
        click.echo(f"{name} has no tags")


@data.command()
@click.argument("reference", metavar="NAME@VERSION")
@json_option
@click.pass_obj
def delete(session: Session, reference: str, as_json: bool) -> None:
    """Delete a version that no tag, run, feature, model or deployment refers to."""
    from holdfast.data.records import DeleteVersionRequest
    from holdfast.data.retention import RetentionService

    name, _, number = reference.removeprefix("data/").partition("@")
    if not number.isdecimal():
        raise click.UsageError("name the version to delete by its number, such as rides@3")
    gone = session.write(RetentionService.delete_version, DeleteVersionRequest(name, int(number)))
    print_json(gone) if as_json else click.echo(f"deleted {name}@{gone.version}; {_COLLECTED}")


@data.command()
@click.argument("name")
@click.option(
    "--keep-last", type=int, default=1, show_default=True, help="How many of the newest versions stay."
)
@click.option(
    "--older-than", default="0d", show_default=True, help="Only versions made longer ago than this."
)
@click.option("--dry-run", is_flag=True, help="Say what would go, and delete nothing.")
@json_option
@click.pass_obj
def gc(session: Session, name: str, keep_last: int, older_than: str, dry_run: bool, as_json: bool) -> None:
    """Delete the old versions of NAME that nothing refers to."""
    from holdfast.cli.data_views import print_retained
    from holdfast.data.records import RetainRequest
    from holdfast.data.retention import RetentionService

    request = RetainRequest(name, keep_last, older_than, dry_run)
    report = session.write(RetentionService.retain, request)
    if as_json:
        print_json(report)
    else:
        print_retained(report, _COLLECTED)


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
