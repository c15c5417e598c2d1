"""`holdfast demo`: the whole loop in compressed time, with a real server and a real serving process."""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click

from holdfast.base.context import Context
from holdfast.base.errors import InvalidError
from holdfast.base.home import Home
from holdfast.cli.output import json_option
from holdfast.cli.session import Session

_SEED = 7


@click.command()
@click.option(
    "--world",
    type=click.Choice(["payments", "bikes"]),
    default="payments",
    show_default=True,
    help="A simulation of card payments, or real bike rentals replayed (needs --data).",
)
@click.option("--data", type=click.Path(path_type=Path), help="The file hour.csv, for --world bikes.")
@click.option("--seed", type=int, default=_SEED, show_default=True, help="Of the simulation and of all ids.")
@click.option("--home", help="A new home to use and to keep (default: a temporary one).")
@click.option("--port", type=int, default=0, help="Port of the server (default: any free one).")
@click.option(
    "--serve-port", type=int, default=0, help="Port of the serving process (default: any free one)."
)
@click.option(
    "--exit", "leave", is_flag=True, help="End when the story is told; by default the pages stay up."
)
@json_option
@click.pass_obj
def demo(
    session: Session,
    world: str,
    data: Path | None,
    seed: int,
    home: str | None,
    port: int,
    serve_port: int,
    leave: bool,
    as_json: bool,
) -> None:
    """Show the whole loop: train, serve, drift, alert, retrain, roll out, recover, roll back."""
    from holdfast.cli.demo.run import Options, run

    if data is not None and world != "bikes":
        raise InvalidError("--data belongs to the bikes", hint="add --world bikes")
    # The project and the user of the demo are its own: it must not depend on what is configured here.
    options = Options(world, data, seed, (port, serve_port), home is not None, leave, as_json)
    with _stoppable(), _fresh_home(home) as fresh:
        run(options, fresh, Context(session.context.actor))


@contextlib.contextmanager
def _fresh_home(given: str | None) -> Iterator[Home]:
    """A home that nothing has happened in yet; a temporary one is removed at the end.

    Raises:
        InvalidError: the home was used before.
    """
    if given is not None:
        home = Home(Path(given))
        if home.ledger.exists():
            raise InvalidError(
                f"the home {home.root} has been used already, and the demo needs a new one",
                hint="name another folder with --home, or leave --home out",
            )
        home.prepare()
        yield home
        return
    folder = tempfile.mkdtemp(prefix="holdfast-demo-")
    try:
        yield Home(Path(folder))
    finally:
        _remove(folder)


def _remove(folder: str) -> None:
    # A process that was told to end may write its last file while the folder is being removed.
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not Path(folder).exists():
            return
        time.sleep(0.1)


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does, with everything that it has started."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
