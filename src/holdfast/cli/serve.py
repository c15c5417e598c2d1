"""`holdfast serve`: the data plane of a home, in the foreground."""

from __future__ import annotations

import logging

import click

from holdfast.cli.output import environment_option
from holdfast.cli.session import Session, end_with


@click.command()
@click.option("--host", help="Address to listen on (default 127.0.0.1).")
@click.option("--port", type=int, help="Port to listen on, 0 for any free one (default 8480).")
@click.option("--workers", type=int, help="Worker processes (default 1).")
@environment_option
@click.option(
    "--clock",
    type=click.Choice(["system", "simulated"]),
    default="system",
    show_default=True,
    help="Domain time: the machine's, or the `at` of each request.",
)
@click.option("--parent", type=int, hidden=True, help="End when this process, which started it, ends.")
@click.pass_obj
def serve(
    session: Session,
    host: str | None,
    port: int | None,
    workers: int | None,
    environment: str,
    clock: str,
    parent: int | None,
) -> None:
    """Answer predictions and take labels; goes on while the server is down."""
    from holdfast.serving.plane.process import run

    end_with(parent)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    config = session.config
    run(
        session.home,
        host=host or config.host,
        port=config.serve_port if port is None else port,
        workers=workers or config.serve_workers,
        environment=environment,
        project=config.project,
        simulated=clock == "simulated",
    )
