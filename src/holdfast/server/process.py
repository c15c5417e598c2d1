"""The server process: takes the home, opens the ledger, answers until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import tempfile
import time
from pathlib import Path

from holdfast.base.clock import Clock, Micros, SystemClock
from holdfast.base.errors import InvalidError, UnavailableError
from holdfast.base.home import Home, ProcessLock, ServerInfo, acquire_patiently
from holdfast.base.ledger import Ledger
from holdfast.base.ledger.opening import open_ledger
from holdfast.base.processes import is_same, start_mark
from holdfast.base.simulation import restore_clock, stored_clock
from holdfast.server.app import build_app
from holdfast.server.compose import MIGRATIONS, Services, compose, seeded
from holdfast.server.guard import is_loopback
from holdfast.server.runtime import Runtime
from holdfast.ui.services import PageServices

logger = logging.getLogger(__name__)

_READY_WITHIN_S = 10.0
_GIVES_WAY_WITHIN_S = 20.0


def run(
    home: Home,
    *,
    host: str,
    port: int,
    ledger: str = "",
    simulated_from: Micros | None = None,
    tick_seconds: float = 1.0,
    idle_exit_s: float | None = None,
    background: bool = False,
    seed: int | None = None,
) -> None:
    """Runs the server of a home until SIGTERM or SIGINT.

    Args:
        ledger: an address of PostgreSQL; empty means SQLite in the home.
        simulated_from: run on the persisted simulated clock, which starts here. A home that has one keeps it.
        idle_exit_s: leave after so long without a request, a job or an active model.
        background: take any port where the named one is in use, and give way to a server that a person starts. Any
            other server ends one that runs in the background, and takes its place.
        seed: makes run ids and salts repeatable; None takes them from the operating system.

    Raises:
        HomeError: another server runs, or the home cannot be used.
        InvalidError: the address is not a loopback address.
        UnavailableError: the port is in use, or the ledger's database does not answer.
    """
    if not is_loopback(host):
        raise InvalidError(
            f"without tokens the server does not listen on {host}",
            hint="use --host 127.0.0.1, and a tunnel from elsewhere",
        )
    lock = home.claim("server") if background else _take_over(home)
    reserved: ProcessLock | None = None
    try:
        port, reserved = reserve_port(host, port, or_any=background)
        memory = open_ledger(ledger, home.ledger, MIGRATIONS)
        try:
            clock = _clock(memory, simulated_from)
            runtime = Runtime(clock, tick_seconds)
            services = compose(
                home,
                memory,
                clock,
                settle=runtime.settle,
                wake=runtime.wake,
                rng=None if seed is None else seeded(memory, seed),
            )
            runtime.start(services)
            try:
                pages = services.pages(clock, memory)
                info = ServerInfo(os.getpid(), f"http://{host}:{port}", background)
                asyncio.run(_Answering(home, services, pages, runtime, host, port, info).run(idle_exit_s))
            finally:
                runtime.stop()
        finally:
            memory.close()
    finally:
        (home.run / "server.json").unlink(missing_ok=True)
        if reserved is not None:
            reserved.release()
        lock.release()


def _take_over(home: Home) -> ProcessLock:
    """Claims the home; a server that is there only until it is idle is asked to end, which loses nothing.

    Raises:
        HomeError: another server runs, or does not end.
    """
    info = home.server()
    if info is None or not info.until_idle:
        return home.claim("server")
    mark = start_mark(info.pid)
    logger.info("the server that runs in the background (pid %d) gives way to this one", info.pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(info.pid, signal.SIGTERM)
    # This waits on the lock itself, so that no command can start another one in the background meanwhile.
    lock = home.claim("server", within_s=_GIVES_WAY_WITHIN_S)
    deadline = time.monotonic() + _GIVES_WAY_WITHIN_S
    while mark is not None and is_same(info.pid, mark) and time.monotonic() < deadline:
        time.sleep(0.01)  # its port is free once the process is gone
    return lock


def _clock(ledger: Ledger, simulated_from: Micros | None) -> Clock:
    """Real time, or the simulated clock that was asked for or that the home has lived on so far."""
    if simulated_from is not None:
        return restore_clock(ledger, simulated_from)
    return stored_clock(ledger) or SystemClock()


def reserve_port(host: str, port: int, *, or_any: bool = False) -> tuple[int, ProcessLock | None]:
    """A port that can be used, and the lock that keeps other servers of this user from it; a free one for 0.

    Two servers that start at one moment would both find a port free, and the one would be taken for the other.

    Args:
        or_any: take a free one where the named one is in use.

    Raises:
        UnavailableError: something listens there already, or is about to.
    """
    if port == 0:
        return free_port(host, 0), None
    name = f"holdfast-{os.getuid()}-{host.replace(':', '_')}-{port}.lock"
    lock = ProcessLock(Path(tempfile.gettempdir()) / name)
    try:
        if not acquire_patiently(lock):
            raise UnavailableError(
                f"port {port} of {host} cannot be used (another holdfast server has it)",
                hint="name another with --port, or let holdfast choose one with --port 0",
            )
        return free_port(host, port), lock
    except (UnavailableError, OSError) as error:
        lock.release()
        if or_any:
            return free_port(host, 0), None
        if isinstance(error, UnavailableError):
            raise
        return free_port(host, port), None  # the folder of temporary files is not ours to write


def free_port(host: str, port: int) -> int:
    """The port itself, or a free one for 0.

    Raises:
        UnavailableError: something listens there already.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UnavailableError(
                f"port {port} of {host} cannot be used ({error.strerror})",
                hint="name another with --port, or let holdfast choose one with --port 0",
            ) from error
        return int(probe.getsockname()[1])


class _Answering:
    """The HTTP side of one server process."""

    def __init__(
        self, home: Home, services: Services, pages: PageServices, runtime: Runtime, host: str, port: int,
        info: ServerInfo,
    ) -> None:  # fmt: skip
        from granian.constants import Interfaces
        from granian.server.embed import Server

        self._home = home
        self._runtime = runtime
        self._address = (host, port)
        self._info = info
        self._last_request = time.monotonic()
        app = build_app(services, pages, self._notice)
        self._server = Server(
            app, host, port, interface=Interfaces.ASGI, websockets=False, log_enabled=False, runtime_threads=1
        )

    async def run(self, idle_exit_s: float | None) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        answering = asyncio.create_task(self._server.serve())
        watching = asyncio.create_task(self._announce_then_watch(idle_exit_s))
        await answering
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching

    def _stop(self) -> None:
        self._server.stop()  # type: ignore[no-untyped-call]

    def _notice(self) -> None:
        self._last_request = time.monotonic()

    async def _announce_then_watch(self, idle_exit_s: float | None) -> None:
        await self._until_reachable()
        self._home.announce("server", self._info)
        logger.info("listening on %s", self._info.url)
        self._runtime.prepare_training()
        while idle_exit_s is not None:
            await asyncio.sleep(min(1.0, idle_exit_s))
            idle = time.monotonic() - self._last_request > idle_exit_s
            if idle and not await asyncio.to_thread(self._runtime.busy):
                self._stop()
                return

    async def _until_reachable(self) -> None:
        deadline = time.monotonic() + _READY_WITHIN_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(*self._address)
                writer.close()
                return
            await asyncio.sleep(0.005)
        logger.error("the server did not begin to listen within %g s", _READY_WITHIN_S)
        self._stop()
