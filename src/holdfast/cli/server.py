"""`holdfast server`: the control plane of a home, in the foreground."""

from __future__ import annotations

import logging

import click

from holdfast.cli.session import Session, end_with


@click.command()
@click.option("--host", help="Address to listen on (default 127.0.0.1).")
@click.option("--port", type=int, help="Port to listen on, 0 for any free one (default 8470).")
@click.option("--ledger", help="Keep the ledger on PostgreSQL: postgresql://user@host:5432/database.")
@click.option(
    "--clock",
    type=click.Choice(["system", "simulated"]),
    default="system",
    show_default=True,
    help="Domain time: the machine's, or one that a driver advances.",
)
@click.option("--from", "start", help="Where a new simulated clock starts, e.g. 2011-07-01T00:00:00Z.")
@click.option("--seed", type=int, help="Make ids and traffic shares repeatable, on a simulated clock.")
@click.option("--idle-exit", type=float, help="Leave after so many seconds with nothing to do.")
@click.option("--background", is_flag=True, hidden=True, help="Give way to a server that a person starts.")
@click.option("--parent", type=int, hidden=True, help="End when this process, which started it, ends.")
@click.pass_obj
def server(
    session: Session,
    host: str | None,
    port: int | None,
    ledger: str | None,
    clock: str,
    start: str | None,
    seed: int | None,
    idle_exit: float | None,
    background: bool,
    parent: int | None,
) -> None:
    """Run the server of the home: ledger, loop, API and pages.

    A server that a command or script started in the background ends first.
    """
    from holdfast.base.clock import parse_time
    from holdfast.base.errors import InvalidError
    from holdfast.server.process import run

    for flag, value in (("--from", start), ("--seed", seed)):
        if value is not None and clock != "simulated":
            raise InvalidError(f"{flag} belongs to a simulated clock", hint="add --clock simulated")
    end_with(parent)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    config = session.config
    run(
        session.home,
        host=host or config.host,
        port=config.port if port is None else port,
        ledger=config.ledger if ledger is None else ledger,
        simulated_from=parse_time(start or "2020-01-01T00:00:00Z") if clock == "simulated" else None,
        tick_seconds=config.tick_seconds,
        idle_exit_s=idle_exit,
        background=background,
        seed=seed,
    )
