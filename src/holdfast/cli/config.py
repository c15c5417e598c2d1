"""`holdfast config`: every setting, its value and where it may be set."""

from __future__ import annotations

import re

import click
import msgspec

from holdfast.cli.output import json_option, print_json, print_table
from holdfast.cli.session import Session


@click.command()
@json_option
@click.pass_obj
def config(session: Session, as_json: bool) -> None:
    """Show the settings in force (holdfast.toml, HOLDFAST_* and flags)."""
    from holdfast.base.config import SETTINGS

    shown = msgspec.structs.replace(session.config, ledger=_without_password(session.config.ledger))
    if as_json:
        print_json(shown)
        return
    print_table(
        ["setting", "value", "environment", "meaning"],
        [
            [name, str(getattr(shown, name)), f"HOLDFAST_{name.upper()}", meaning]
            for name, meaning in SETTINGS.items()
        ],
    )


def _without_password(address: str) -> str:
    """An address of PostgreSQL as it may be shown."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", address)
