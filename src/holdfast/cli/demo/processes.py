"""The demo's server and serving process: started as anyone would start them, watched, and started again.

Both are ordinary child processes that end with the demo. When the server dies, predictions go on without it for a
moment, which is the point of having two processes; then it is started again, on the same port and the same home.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any, TypeVar

from holdfast.base.client import Client
from holdfast.base.clock import Micros, format_time
from holdfast.base.context import Context
from holdfast.base.errors import HoldfastError, UnavailableError
from holdfast.base.home import Home
from holdfast.cli.session import is_unreachable, start_process

T = TypeVar("T")

AWAY_S = 3.0
"""How long the demo goes on without a server before it starts it again."""

_END_WITHIN_S = 10.0
_RETRY_WITHIN_S = 60.0


class Processes:
    """The two processes of one home.

    Args:
        tell: shows a line to the person who watches.
    """

    def __init__(
        self,
        home: Home,
        context: Context,
        start_at: Micros,
        seed: int,
        ports: tuple[int, int],
        tell: Callable[[str], None],
    ) -> None:
        self._home = home
        self._context = context
        self._server_arguments = [
            "--clock",
            "simulated",
            "--from",
            format_time(start_at),
            "--seed",
            str(seed),
        ]
        self._server_port, self._serving_port = ports
        self._tell = tell
        self._server: subprocess.Popen[bytes] | None = None
        self._serving: subprocess.Popen[bytes] | None = None
        self._client: Client | None = None
        self._gone_since: float | None = None

    def start(self) -> None:
        """Starts both and keeps the ports they got."""
        self._start_server()
        self._start_serving()

    @property
    def server_url(self) -> str:
        return f"http://127.0.0.1:{self._server_port}"

    @property
    def serving_url(self) -> str:
        return f"http://127.0.0.1:{self._serving_port}"

    def server_is_away(self) -> bool:
        """Whether there is no server just now; one that has been away for long enough is started again."""
        if self._server is not None and self._server.poll() is None:
            return False
        if self._gone_since is None:
            self._gone_since = time.monotonic()
            self._tell("the server is gone; predictions go on without it")
        elif time.monotonic() - self._gone_since >= AWAY_S:
            self._restart_server()
        return self._gone_since is not None

    def call(self, verb: Callable[..., T], request: Any) -> T:
        """Calls the server. A call that nobody answered is repeated, so it must do no harm the second time."""
        deadline = time.monotonic() + _RETRY_WITHIN_S
        while True:
            try:
                return self.call_once(verb, request)
            except HoldfastError as error:
                if not is_unreachable(error) or time.monotonic() > deadline:
                    raise
                self._wait_for_server()

    def client(self) -> Client:
        """A client of the server as it runs now."""
        if self._client is None:
            self._client = Client(self.server_url, self._context)
        return self._client

    def call_once(self, verb: Callable[..., T], request: Any) -> T:
        """Calls the server."""
        return self.client().call(verb, request)

    def restart_serving(self) -> None:
        """Starts the serving process again where it has died."""
        if self._serving is not None and self._serving.poll() is not None:
            self._tell("the serving process is gone; it is started again")
            self._start_serving()

    def stop(self) -> None:
        """Ends both, the serving process first; one that does not listen is killed."""
        running = [process for process in (self._serving, self._server) if process is not None]
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(_END_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _wait_for_server(self) -> None:
        """Until the server that does not answer is there again; one that is merely slow to die is waited for."""
        while self.server_is_away():
            time.sleep(0.05)
        time.sleep(0.05)

    def _restart_server(self) -> None:
        self._start_server()
        self._gone_since = None
        self._client = None
        self._tell("the server is back and has caught up")

    def _start_server(self) -> None:
        arguments = ["--port", str(self._server_port), *self._server_arguments]
        self._server = start_process(self._home, "server", arguments, self._home.server, detached=False)
        self._server_port = _port(self._home.server())

    def _start_serving(self) -> None:
        arguments = ["--port", str(self._serving_port), "--clock", "simulated"]
        self._serving = start_process(self._home, "serve", arguments, self._home.serving, detached=False)
        self._serving_port = _port(self._home.serving())


def _port(info: Any) -> int:
    if info is None:
        raise UnavailableError("a process of the demo ended right after it had started", hint="try again")
    return int(info.url.rpartition(":")[2])
