"""`holdfast down`: ends the server and the serving process of the home."""

from __future__ import annotations

import os
import signal
import time

import click

from holdfast.base.errors import UnavailableError
from holdfast.cli.session import Session

_WITHIN_S = 20.0
_POLL_S = 0.05


@click.command()
@click.pass_obj
def down(session: Session) -> None:
    """Stop the server and the serving process that run in the home; nothing is lost."""
    probes = {"serving": session.home.serving, "server": session.home.server}
    running = {role: info for role, probe in probes.items() if (info := probe()) is not None}
    for info in running.values():
        os.kill(info.pid, signal.SIGTERM)
    deadline = time.monotonic() + _WITHIN_S
    while any(probes[role]() is not None for role in running):
        if time.monotonic() > deadline:
            pids = ", ".join(f"{role} pid {info.pid}" for role, info in running.items())
            raise UnavailableError(
                f"not everything ended within {_WITHIN_S:g} s ({pids})", hint="look at run/*.log"
            )
        time.sleep(_POLL_S)
    click.echo(f"stopped: {', '.join(running)}" if running else "nothing runs in this home")
