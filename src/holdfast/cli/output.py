"""Printing: JSON for machines, plain aligned text for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
import msgspec

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
environment_option = click.option(
    "--environment",
    envvar="HOLDFAST_ENVIRONMENT",
    default="production",
    show_default=True,
    help="Where it is deployed.",
)


def print_json(value: Any) -> None:
    """Prints one JSON value, indented."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints aligned columns."""
    widths = [max(len(row[index]) for row in [headers, *rows]) for index in range(len(headers))]
    for number, row in enumerate([headers, *rows]):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        click.echo(click.style(line, bold=True) if number == 0 else line)


def print_fields(fields: Sequence[tuple[str, str]]) -> None:
    """Prints names and values, one a line."""
    width = max(len(name) for name, _ in fields)
    for name, value in fields:
        click.echo(f"{click.style(name.ljust(width), dim=True)}  {value}")
