"""Writes docs/reference.md from the code: settings, commands, declarations, operations.

python docs/make_reference.py > docs/reference.md
"""

from __future__ import annotations

import importlib
import inspect

import click

import holdfast
from holdfast.base.config import SETTINGS, Config
from holdfast.base.operations import PREFIX, operations_of
from holdfast.cli.main import cli
from holdfast.server.compose import SERVICE_TYPES


def settings() -> list[str]:
    lines = ["## Settings", "", "| setting | environment | default | meaning |", "|---|---|---|---|"]
    defaults = Config()
    lines += [
        f"| `{name}` | `HOLDFAST_{name.upper()}` | `{getattr(defaults, name)}` | {meaning} |"
        for name, meaning in SETTINGS.items()
    ]
    return lines


def commands(group: click.Group, path: str = "holdfast") -> list[str]:
    context = click.Context(group, info_name=path)
    lines: list[str] = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            lines += commands(command, f"{path} {name}")
            continue
        arguments = " ".join(
            item.make_metavar(context) for item in command.params if isinstance(item, click.Argument)
        )
        lines += [
            "",
            f"### `{path} {name}{' ' + arguments if arguments else ''}`",
            "",
            command.help or "",
            "",
        ]
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                lines.append(f"- `{' '.join(option.opts)}`: {option.help or 'see above'}")
    return lines


def declarations() -> list[str]:
    lines = ["", "## Declarations", ""]
    for name in holdfast.__all__:
        value = getattr(holdfast, name)
        summary = (inspect.getdoc(value) or "").splitlines()[0]
        lines.append(f"- `hf.{name}`: {summary}")
    return lines


def operations() -> list[str]:
    lines = ["", "## REST", "", "| method | path | what it does |", "|---|---|---|"]
    found = [
        operation for service in SERVICE_TYPES for operation, _ in operations_of(object.__new__(service))
    ]
    for operation in sorted(found, key=lambda item: (item.path, item.method)):
        lines.append(f"| {operation.method} | `{PREFIX}{operation.path}` | {operation.summary} |")
    return lines


def reference() -> str:
    importlib.import_module("holdfast.server.compose")
    head = [
        "# Reference",
        "",
        "Made by `python docs/make_reference.py` from the code; a test fails when it is not up to date.",
        "",
    ]
    body = [*settings(), "", "## Commands", *commands(cli), *declarations(), *operations()]
    return "\n".join([*head, *body]) + "\n"


if __name__ == "__main__":
    print(reference(), end="")
