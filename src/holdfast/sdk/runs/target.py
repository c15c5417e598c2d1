"""Which server a run goes to, and starting the home's own where none runs."""

from __future__ import annotations

import sys
import time

from holdfast.base.errors import HoldfastError, UnavailableError
from holdfast.base.home import Home

_PATIENCE_S = 5.0


class Target:
    """The server that was named, or the one of the home.

    Args:
        url: the named server; empty for the home's.
    """

    def __init__(self, home: Home, url: str) -> None:
        self.home = home
        self.url = url
        self._is_ours = False

    def find(self, *, start: bool = False) -> str:
        """The server's address.

        A server that this process once started is started again, because it leaves by itself when idle. Any other one
        is started only where `start` says so: whoever runs it may be about to.

        Raises:
            UnavailableError: no server runs, or it did not start.
        """
        if self.url:
            return self.url
        info = self.home.server()
        if info is not None:
            return info.url
        if not (start or self._is_ours):
            raise UnavailableError(f"no server of the home {self.home.root} is running")
        return self._start()

    def _start(self) -> str:
        from holdfast.sdk.session import start_background_server

        failed: HoldfastError | None = None
        try:
            start_background_server(self.home)
            self._is_ours = True
        except UnavailableError:
            raise
        except HoldfastError as error:
            # Somebody else may have started one at the same moment; otherwise this is the reason to tell.
            failed = error
        deadline = time.monotonic() + (_PATIENCE_S if failed else 0.0)
        while (info := self.home.server()) is None and time.monotonic() < deadline:
            time.sleep(0.05)
        if info is None:
            raise UnavailableError(str(failed or "the server ended at once"))
        return info.url


def say(text: str) -> None:
    """One line for whoever watches the script; its output stays its own."""
    print(f"holdfast: {text}", file=sys.stderr, flush=True)
