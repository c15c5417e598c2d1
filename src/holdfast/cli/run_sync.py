"""`holdfast runs sync`: send what scripts logged and could not send."""

from __future__ import annotations

import sys

import click

from holdfast.cli.output import json_option, print_json
from holdfast.cli.session import Session


@click.command()
@click.option("--url", help="Send what was logged to another address there (default: the setting url).")
@json_option
@click.pass_obj
def sync(session: Session, url: str | None, as_json: bool) -> None:
    """Send what scripts logged while no server answered, and end the runs whose scripts were killed.

    Every `hf.run` does the same in the background. What a script logged to the wrong address goes to the one of --url
    or HOLDFAST_URL. Exit code 1 says that something still waits.
    """
    from holdfast.sdk.runs.shipper import sync as send_all

    swept = send_all(session.home, (url or session.config.url).rstrip("/"))
    if as_json:
        print_json(swept)
    else:
        for run_id in swept.sent:
            ended = "; its script was killed" if run_id in swept.killed else ""
            click.echo(f"sent what was left of run {run_id}{ended}")
        if not swept.sent and not swept.waiting:
            click.echo("nothing waits to be sent")
        for problem in swept.problems:
            click.echo(f"holdfast: {problem}", err=True)
    if swept.waiting:
        sys.exit(1)
