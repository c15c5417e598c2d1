"""What every command and `hf.datasets` start from: the configuration, the home, and whoever can answer.

A command that reads asks the running server; without one it opens the ledger read-only. A command that writes
starts a server in the background where there is none; it leaves by itself when idle.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from holdfast.base.config import Config, load
from holdfast.base.context import Context, local_context
from holdfast.base.errors import HoldfastError, RemoteError, UnavailableError
from holdfast.base.home import Home, ServerInfo

if TYPE_CHECKING:
    import subprocess

    import msgspec

    from holdfast.base.client import Client

S = TypeVar("S")
RequestT = TypeVar("RequestT", bound="msgspec.Struct")
ResponseT = TypeVar("ResponseT")

_START_WITHIN_S = 30.0
_IDLE_EXIT_S = 60


class Session:
    """One run of the command line."""

    def __init__(self, *, home: str | None = None, project: str | None = None, debug: bool = False) -> None:
        self._flags = {"home": home, "project": project}
        self.debug = debug
        self._heeds_url = False

    def heed_url(self) -> None:
        """Asks the server of the setting `url` from here on, where there is one, as the scripts do that log runs."""
        self._heeds_url = True

    @cached_property
    def config(self) -> Config:
        """The configuration in force."""
        return load(self._flags)

    @cached_property
    def home(self) -> Home:
        """The home of the configuration."""
        return Home(Path(self.config.home))

    @cached_property
    def context(self) -> Context:
        """The OS user, in the configured project."""
        return local_context(self.config.project)

    def read(self, verb: Callable[[S, Context, RequestT], ResponseT], request: RequestT) -> ResponseT:
        """Asks the running server, or reads the ledger where none runs."""
        if self._heeds_url and self.config.url:
            return self.client().call(verb, request)
        info = self.home.server()
        if info is not None:
            from holdfast.base.client import Client

            return Client(info.url, self.context).call(verb, request)
        found: ResponseT = self._read_locally(verb, request)
        return found

    def write(self, verb: Callable[[S, Context, RequestT], ResponseT], request: RequestT) -> ResponseT:
        """Calls the server, starting one in the background where none runs."""
        return self.client().call(verb, request)

    def client(self) -> Client:
        """A client of the running server, which is started in the background where there is none.

        Raises:
            UnavailableError: it did not start.
        """
        from holdfast.base.client import Client

        if self._heeds_url and self.config.url:
            return Client(self.config.url, self.context)
        info = self.home.server()
        if info is None:
            start_background_server(self.home)
            info = self.home.server()
            assert info is not None
        return Client(info.url, self.context)

    def _read_locally(self, verb: Callable[..., Any], request: msgspec.Struct) -> Any:
        from holdfast.base.clock import SystemClock
        from holdfast.base.ledger.opening import open_read_only
        from holdfast.base.simulation import stored_clock
        from holdfast.server.compose import MIGRATIONS, compose

        ledger = open_read_only(self.config.ledger, self.home.ledger, MIGRATIONS)
        try:
            clock = stored_clock(ledger) or SystemClock()
            services = compose(self.home, ledger, clock, settle=lambda: True, wake=lambda: None)
            owner = verb.__qualname__.partition(".")[0]
            service = next(item for item in services.doors() if type(item).__name__ == owner)
            return verb(service, self.context, request)
        finally:
            ledger.close()


def start_server(home: Home, arguments: list[str], *, detached: bool) -> subprocess.Popen[bytes]:
    """Starts `holdfast server` and waits until it answers.

    Raises:
        HoldfastError: it ended instead, with the sentence it gave.
        UnavailableError: it did not answer in time.
    """
    return start_process(home, "server", arguments, home.server, detached=detached)


def start_background_server(home: Home) -> None:
    """Starts a server that leaves when idle, on the configured port where it is free, so that others find it there.

    Raises:
        HoldfastError: it ended instead, with the sentence it gave.
        UnavailableError: it did not answer in time.
    """
    start_server(home, ["--background", "--idle-exit", str(_IDLE_EXIT_S)], detached=True)


def start_process(
    home: Home, role: str, arguments: list[str], probe: Callable[[], ServerInfo | None], *, detached: bool
) -> subprocess.Popen[bytes]:
    """Starts `holdfast ROLE` with its output in `run/ROLE.log` and waits until `probe` finds it.

    A `detached` process outlives this one; any other ends with it, even when this one is killed (on Linux).
    Neither hears the Ctrl-C that is meant for this one.
    """
    import subprocess

    home.prepare()
    log = home.run / f"{role}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "holdfast.cli.main", "--home", str(home.root), role, *arguments),
                *([] if detached else ["--parent", str(os.getpid())]),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_WITHIN_S
    while time.monotonic() < deadline:
        info = probe()
        if info is not None and info.pid == process.pid:
            return process
        if process.poll() is not None:
            said = log.read_text(errors="replace").strip().splitlines()
            reason = (
                said[-1].removeprefix("holdfast: ") if said else f"it ended with code {process.returncode}"
            )
            raise HoldfastError(f"the {role} did not start: {reason}")
        time.sleep(0.01)
    process.terminate()
    raise UnavailableError(f"the {role} did not answer within {_START_WITHIN_S:g} s", hint=f"look at {log}")


def end_with(parent: int | None) -> None:
    """Ends this process when the one that started it ends, where the system can do that; None: it goes on."""
    if parent is None:
        return
    from holdfast.base.processes import die_with_parent

    # The parent may have died before the kernel was asked.
    if die_with_parent() and os.getppid() != parent:
        sys.exit(1)


def is_unreachable(error: HoldfastError) -> bool:
    """Whether a call failed because nobody answered, rather than because it was refused."""
    return isinstance(error, UnavailableError) and not isinstance(error, RemoteError)
