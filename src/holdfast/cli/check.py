"""`holdfast check DATA --contract C`: whether a file keeps its contract, for people and for CI."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from holdfast.cli.output import json_option, print_json
from holdfast.cli.session import Session

if TYPE_CHECKING:
    from holdfast.data.records import Contract, DataCheck, Violation

BROKEN = 1


@click.command()
@click.argument("data", type=click.Path())
@click.option(
    "--contract", "-c", required=True, help="A YAML file, or a registered one: NAME or NAME@VERSION."
)
@click.option(
    "--expect",
    "expectations",
    multiple=True,
    type=click.Path(),
    help="A Python file with expect_… functions.",
)
@click.option("--strict", is_flag=True, help="Let warnings fail, too.")
@click.option("--junit", type=click.Path(), help="Write the result as JUnit XML to this file.")
@click.option("--markdown", type=click.Path(), help="Write the result as Markdown to this file.")
@json_option
@click.pass_obj
def check(
    session: Session,
    data: str,
    contract: str,
    expectations: Sequence[str],
    strict: bool,
    junit: str | None,
    markdown: str | None,
    as_json: bool,
) -> None:
    """Check the CSV or Parquet file DATA against a contract; exits with 1 where it is broken.

    Types, missing fields, duplicates and a frame that is too old are errors; ranges, categories, formats and null
    shares are warnings unless the contract marks the field `hard`.
    """
    from holdfast.base.clock import SystemClock
    from holdfast.cli.check_reports import to_junit, to_markdown
    from holdfast.data.checking import check_file

    agreed = find_contract(session, contract)
    found = check_file(data, agreed, now_at=SystemClock().now())
    found = _with_expectations(found, expectations)
    for path, text in ((junit, to_junit), (markdown, to_markdown)):
        if path is not None:
            _write(path, text(found, agreed))
    if as_json:
        print_json(found)
    else:
        _print(found)
    if found.count("error") or (strict and found.violations):
        sys.exit(BROKEN)


def find_contract(session: Session, wanted: str) -> Contract:
    """The contract of a YAML file, or the one that a dataset version of a table carries.

    Raises:
        HoldfastError: there is none.
    """
    if wanted.endswith((".yaml", ".yml")) or Path(wanted).is_file():
        from holdfast.data.contract_file import read_contract_file

        return read_contract_file(Path(wanted))
    from holdfast.data.records import GetDatasetRequest
    from holdfast.data.service import DataService

    table, _, version = wanted.partition("@")
    return session.read(DataService.get_dataset, GetDatasetRequest(table, version or "latest")).contract


def _with_expectations(found: DataCheck, files: Sequence[str]) -> DataCheck:
    if not files:
        return found
    import msgspec

    from holdfast.base import bundle
    from holdfast.base.errors import InvalidError
    from holdfast.data.expectations import check_expectation, find_expectations
    from holdfast.data.source import read_source

    frame = read_source(found.source).collect()
    violations: list[Violation] = list(found.violations)
    for file in files:
        entry = Path(file).absolute()
        if not entry.is_file():
            raise InvalidError(f"{file} is no file", hint="name a Python file with expect_… functions")
        functions = find_expectations(vars(bundle.load(entry.parent, entry.name)))
        if not functions:
            raise InvalidError(
                f"{file} has no expectations",
                hint="write functions of a frame whose names begin with expect_",
            )
        outcomes = [check_expectation(frame, function) for function in functions]
        violations += [outcome for outcome in outcomes if outcome is not None]
    return msgspec.structs.replace(found, violations=tuple(violations))


def _write(path: str, text: str) -> None:
    from holdfast.base.blobs import replace_file

    replace_file(Path(path).absolute(), text.encode())


def _print(found: DataCheck) -> None:
    for violation in found.violations:
        word, colour = ("error", "red") if violation.severity == "error" else ("warning", "yellow")
        click.echo(f"{click.style(word.ljust(8), fg=colour)} {violation.message}")
        details = [f"{violation.count} of {found.rows} rows"] if violation.kind != "stale" else []
        if violation.rows:
            details.append(f"row {', '.join(str(row) for row in violation.rows)}")
        if len(violation.examples) > 1:
            details.append(f"e.g. {', '.join(violation.examples)}")
        if details:
            click.echo(f"         {click.style('; '.join(details), dim=True)}")
    errors, warnings = found.count("error"), found.count("warning")
    verdict = "breaks" if errors else "keeps"
    click.echo(
        f"{found.source}: {found.rows} rows; it {verdict} the contract {found.contract}"
        f" ({_counted(errors, 'error')}, {_counted(warnings, 'warning')})"
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
