"""`holdfast config`: every setting, its value and where it may be set."""

from __future__ import annotations

import click

from holdfast.cli.output import json_option, print_json, print_table
from holdfast.cli.session import Session


@click.command()
@json_option
@click.pass_obj
def config(session: Session, as_json: bool) -> None:
    """Show the settings in force (holdfast.toml, HOLDFAST_* and flags)."""
    from holdfast.base.config import SETTINGS

    if as_json:
        print_json(session.config)
        return
    print_table(
        ["setting", "value", "environment", "meaning"],
        [
            [name, str(getattr(session.config, name)), f"HOLDFAST_{name.upper()}", meaning]
            for name, meaning in SETTINGS.items()
        ],
    )
