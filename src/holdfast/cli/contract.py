"""`holdfast contract`: show a table's contract as YAML, infer one from a file, compare two."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from holdfast.cli.check import find_contract
from holdfast.cli.output import json_option, print_json
from holdfast.cli.session import Session


@click.group()
def contract() -> None:
    """What the rows of a table promise: types, nulls, ranges, categories, formats."""


@contract.command()
@click.argument("name")
@json_option
@click.pass_obj
def show(session: Session, name: str, as_json: bool) -> None:
    """Print the contract of NAME (or NAME@VERSION) as YAML, to be reviewed and edited."""
    from holdfast.data.contract_file import write_contract

    found = find_contract(session, name)
    print_json(found) if as_json else click.echo(write_contract(found), nl=False)


@contract.command()
@click.argument("data", type=click.Path())
@click.option("--name", help="The table's name (default: the file's).")
@click.option("--key", multiple=True, help="A column that names the entity; repeat it for several.")
@click.option("--time", help="The column that says when a row happened.")
@click.option("--label", help="The column to predict.")
@json_option
def infer(
    data: str, name: str | None, key: tuple[str, ...], time: str | None, label: str | None, as_json: bool
) -> None:
    """Print the contract that the CSV or Parquet file DATA would have."""
    from holdfast.base import urn
    from holdfast.data.contract import infer_fields
    from holdfast.data.contract_file import write_contract
    from holdfast.data.errors import missing_column
    from holdfast.data.records import Contract, TableSpec
    from holdfast.data.source import read_source

    table = urn.check_name(name or Path(data).stem.lower().replace(" ", "-"), "table")
    frame = read_source(data).collect()
    for role, column in (("time", time), ("label", label), *(("key", column) for column in key)):
        if column is not None and column not in frame.columns:
            raise missing_column(table, role, column, frame.columns)
    spec = TableSpec(table, data, time or "", key=key, label=label)
    found = Contract(table, 1, infer_fields(frame, spec))
    print_json(found) if as_json else click.echo(write_contract(found), nl=False)


@contract.command()
@click.argument("old")
@click.argument("new")
@click.option(
    "--fail-on", type=click.Choice(["breaking", "widening"]), help="Exit with 1 from this kind of change on."
)
@json_option
@click.pass_obj
def diff(session: Session, old: str, new: str, fail_on: str | None, as_json: bool) -> None:
    """Say what changes from the contract OLD to NEW (YAML files, or NAME@VERSION) for whoever sends rows."""
    from holdfast.data.compatibility import compare_contracts

    found = compare_contracts(find_contract(session, old), find_contract(session, new))
    if as_json:
        print_json(found)
    else:
        colours = {"breaking": "red", "widening": "yellow", "compatible": "green"}
        for change in found.changes:
            click.echo(f"{click.style(change.kind.ljust(10), fg=colours[change.kind])} {change.message}")
        click.echo(
            f"{old} → {new}: {found.compatibility}" if found.changes else f"{old} and {new} are the same"
        )
    order = ("compatible", "widening", "breaking")
    if fail_on is not None and order.index(found.compatibility) >= order.index(fail_on):
        sys.exit(1)
