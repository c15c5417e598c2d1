"""`holdfast up FILE`: server, serving and the loop for a model file, until stopped."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from types import FrameType

import click
import msgspec

from holdfast.base.client import Client
from holdfast.base.errors import HoldfastError, UnavailableError
from holdfast.base.home import Home, ServerInfo
from holdfast.cli.output import json_option, print_json
from holdfast.cli.session import Session, start_process
from holdfast.cli.train import declare, print_version, train_and_wait
from holdfast.loop.overview import OverviewService, StatusRequest

_STOP_WITHIN_S = 10.0
_SERVED_WITHIN_S = 30.0
_POLL_S = 0.02


class _Started:
    """A process that this command started, and how to start it again."""

    def __init__(
        self, home: Home, role: str, arguments: list[str], probe: Callable[[], ServerInfo | None]
    ) -> None:
        self._home = home
        self._arguments = arguments
        self._probe = probe
        self.role = role
        self.start()

    def start(self) -> None:
        """Starts the process and waits until it answers."""
        self.process = start_process(self._home, self.role, self._arguments, self._probe, detached=True)


@click.command()
@click.argument("file")
@click.option("--model", "name", help="Which model, where the file declares several.")
@click.option("--port", type=int, help="Port of the server, 0 for any (default 8470).")
@click.option("--serve-port", type=int, help="Port of the serving process, 0 for any (default 8480).")
@click.option(
    "--detach", is_flag=True, help="Leave server and serving running and return once the model is live."
)
@json_option
@click.pass_obj
def up(
    session: Session,
    file: str,
    name: str | None,
    port: int | None,
    serve_port: int | None,
    detach: bool,
    as_json: bool,
) -> None:
    """Run FILE's model: train, gate, roll out, serve, watch, retrain, until stopped."""
    from holdfast.cli.source import read_file

    read_file(file)  # a wrong declaration must fail before anything is started
    config, home = session.config, session.home
    started: list[_Started] = []
    try:
        running = home.server()
        if running is None or running.until_idle:  # which gives way to one that stays
            arguments = ["--port", str(config.port if port is None else port)]
            started.append(_Started(home, "server", arguments, home.server))
        client = session.client()
        if home.serving() is None:
            arguments = ["--port", str(config.serve_port if serve_port is None else serve_port)]
            arguments += ["--environment", config.environment]
            started.append(_Started(home, "serve", arguments, home.serving))
        chosen = declare(client, file, name, active=True)
        model = client.call(OverviewService.status, StatusRequest(chosen)).models[0]
        if model.champion is None and model.job is None:
            version = train_and_wait(client, chosen, quiet=as_json)
            if not as_json:
                print_version(version)
        _wait_until_served(session, client, chosen)
        _report(session, chosen, as_json)
        if not detach:
            _wait_until_stopped(started)
    except BaseException:
        _stop(started)
        raise
    if not detach:
        _stop(started)


def _wait_until_served(session: Session, client: Client, name: str) -> None:
    """Until serving answers with what the ledger says is live, where anything is.

    Raises:
        UnavailableError: it does not, in spite of waiting.
    """
    revision = client.call(OverviewService.status, StatusRequest(name)).models[0].revision
    serving = session.home.serving()
    if revision is None or serving is None:
        return
    plane = Client(serving.url, session.context)
    deadline = time.monotonic() + _SERVED_WITHIN_S
    while not _is_served(plane, name, revision):
        if time.monotonic() > deadline:
            raise UnavailableError(
                f"{name} is deployed, but serving does not run revision {revision} of it yet",
                hint=f"look at {session.home.run / 'serve.log'}",
            )
        time.sleep(_POLL_S)
    plane.close()


def _is_served(plane: Client, name: str, revision: int) -> bool:
    try:
        served = msgspec.json.decode(plane.request("GET", f"/v1/deployments/{name}"))
    except HoldfastError:
        return False
    return int(served["revision"]) >= revision


def _report(session: Session, name: str, as_json: bool) -> None:
    server, serving = session.home.server(), session.home.serving()
    urls = {
        "pages": server.url if server else None,
        "predict": f"{serving.url}/v1/predict/{name}" if serving else None,
        "labels": f"{serving.url}/v1/labels/{name}" if serving else None,
    }
    if as_json:
        print_json({"model": name, **urls})
        return
    for noun, url in urls.items():
        click.echo(f"{noun:8} {url or 'not running'}")


def _wait_until_stopped(started: list[_Started]) -> None:
    """Until Ctrl-C; what dies meanwhile is started again, because predictions must go on."""
    click.echo("the loop runs; Ctrl-C stops it")
    stopped = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    while not stopped:
        time.sleep(0.2)
        for item in started:
            if item.process.poll() is not None and not stopped:
                click.echo(
                    f"the {item.role} process ended with code {item.process.returncode}; it is started again"
                )
                item.start()


def _stop(started: list[_Started]) -> None:
    for item in reversed(started):
        item.process.terminate()
    for item in started:
        try:
            item.process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            item.process.kill()
