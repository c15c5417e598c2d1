"""The serving process: one parent that supervises granian workers, each of which is a `Worker`.

    python -m holdfast.serving.plane.process --home DIR --port 0

The parent imports nothing heavy and opens no ledger. It holds the `serving` lock of the home, keeps the port, and
announces where it listens once a worker answers.
"""

from __future__ import annotations

import argparse
import contextlib
import encodings.idna  # noqa: F401  (see `_announce_when_ready`)
import errno
import http.client
import ipaddress
import os
import socket
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from holdfast.base.context import DEFAULT_PROJECT
from holdfast.base.errors import HoldfastError, HomeError, UnavailableError
from holdfast.base.home import Home, ProcessLock, ServerInfo

if TYPE_CHECKING:
    from holdfast.serving.plane.app import Application
    from holdfast.serving.plane.settings import PlaneSettings
    from holdfast.serving.spool import Durability

_KILL_TIMEOUT_S = 5
_TAKEOVER_S = 2.0
_READY_POLL_S = 0.01


def run(
    home: Home,
    host: str = "127.0.0.1",
    port: int = 0,
    workers: int = 1,
    environment: str = "production",
    project: str = DEFAULT_PROJECT,
    *,
    simulated: bool = False,
    durability: Durability = "process",
) -> None:
    """Serves until SIGTERM or SIGINT, then lets running requests finish. Port 0 takes any free one.

    With a simulated clock there is one worker, because there the order of requests decides what is logged.

    Raises:
        HomeError: the home already has a serving process, or cannot be used.
        UnavailableError: the port is in use, or the address cannot be listened on.
    """
    from granian.constants import Interfaces
    from granian.log import LogLevels
    from granian.server.mp import MPServer

    from holdfast.serving.plane.settings import PlaneSettings

    _require_loopback(host)
    lock = _claim(home)
    try:
        holder, bound = _reserve(host, port)
        with holder:
            settings = PlaneSettings(str(home.root), project, environment, simulated, os.getpid(), durability)
            server = MPServer(
                "holdfast.serving.plane.app",
                address=host,
                port=bound,
                interface=Interfaces.RSGI,
                workers=1 if simulated else workers,
                websockets=False,
                log_level=LogLevels.warning,
                respawn_failed_workers=True,
                workers_kill_timeout=_KILL_TIMEOUT_S,
            )
            _announce_when_ready(home, host, bound)
            server.serve(target_loader=cast("Any", partial(load_application, settings)), wrap_loader=False)
    finally:
        lock.release()


def load_application(settings: PlaneSettings) -> Application:
    """What a worker's process runs first."""
    # A request is small: spreading it over threads costs more than it gains, and idle OpenMP threads spin. A single
    # row through boosted trees of scikit-learn takes 0.6 ms with one thread, and with two up to sixty times that on a
    # busy machine. Workers are what scales.
    for variable in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    from holdfast.serving.plane.app import Application
    from holdfast.serving.plane.worker import Worker

    return Application(Worker(settings))


def _require_loopback(host: str) -> None:
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address("127.0.0.1" if host == "localhost" else host).is_loopback:
            return
    raise HomeError(
        f"{host} is not a loopback address, and there are no tokens to guard it", hint="use --host 127.0.0.1"
    )


def _claim(home: Home) -> ProcessLock:
    """The lock of the role. Workers of a parent that was killed hold it until they notice, a moment later."""
    deadline = time.monotonic() + _TAKEOVER_S
    while True:
        try:
            return home.claim("serving")
        except HomeError:
            alive = home.serving()
            if time.monotonic() >= deadline or (alive is not None and _exists(alive.pid)):
                raise
            time.sleep(_READY_POLL_S)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _reserve(host: str, port: int) -> tuple[socket.socket, int]:
    """The port, and on Linux a bound socket that never listens: it keeps the port while workers come and go.

    Workers share the port by SO_REUSEPORT, which would let us join a stranger's; so the port is first tried
    without it.
    """
    try:
        with socket.create_server((host, port), family=_family(host), backlog=0) as probe:
            port = probe.getsockname()[1]
        holder = socket.socket(_family(host), socket.SOCK_STREAM)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sys.platform == "linux":
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            holder.bind((host, port))
        return holder, port
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UnavailableError(
                f"port {port} on {host} is in use",
                hint="stop what uses it, or name another with --port (0: any)",
            ) from None
        raise UnavailableError(f"cannot listen on {host}:{port} ({error.strerror})") from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _announce_when_ready(home: Home, host: str, port: int) -> None:
    """Asks, in a thread, until a worker answers.

    The thread runs while workers are forked. Whatever it needs is imported before, as above for the look-up of hosts: a
    lock of the import system that it held at the fork would stay locked in the worker for ever.
    """
    shown = f"[{host}]" if ":" in host else host

    def wait() -> None:
        while not _answers(host, port):
            time.sleep(_READY_POLL_S)
        home.announce("serving", ServerInfo(os.getpid(), f"http://{shown}:{port}"))

    threading.Thread(target=wait, name="announce", daemon=True).start()


def _answers(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=1)
    try:
        connection.request("GET", "/v2/health/live")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def main(arguments: list[str] | None = None) -> int:
    """The command line of this module; `holdfast serve` is the one for people."""
    parser = argparse.ArgumentParser(prog="holdfast.serving.plane.process")
    parser.add_argument("--home", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--environment", default="production")
    parser.add_argument("--project", default=DEFAULT_PROJECT)
    parser.add_argument("--clock", choices=("system", "simulated"), default="system")
    parser.add_argument("--durability", choices=("process", "fsync"), default="process")
    given = parser.parse_args(arguments)
    try:
        run(
            Home(Path(given.home)),
            given.host,
            given.port,
            given.workers,
            given.environment,
            given.project,
            simulated=given.clock == "simulated",
            durability=given.durability,
        )
    except HoldfastError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
