"""`hf.connect`: a client of a running server, for scripts and notebooks."""

from __future__ import annotations

from pathlib import Path

from holdfast.base.client import Client
from holdfast.base.config import load
from holdfast.base.context import local_context
from holdfast.base.errors import UnavailableError
from holdfast.base.home import Home


def connect(url: str | None = None, *, project: str | None = None, home: str | None = None) -> Client:
    """A client of a server; its `call` takes any service verb and its request.

    Args:
        url: the server's address; by default `HOLDFAST_URL`, else the running server of the home.
        project: the project to act in.
        home: the home whose server is meant.

    Raises:
        UnavailableError: no server of that home runs.

    Example:
        client = hf.connect()
        decisions = client.call(LoopService.list_decisions, ListDecisionsRequest(model="bike-demand"))
    """
    config = load({"project": project, "home": home, "url": url})
    url = config.url
    if not url:
        info = Home(Path(config.home)).server()
        if info is None:
            raise UnavailableError(
                f"no server of the home {config.home} is running", hint="start it with `holdfast server`"
            )
        url = info.url
    return Client(url, local_context(config.project))
