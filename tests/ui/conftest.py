"""Fixtures of the page tests: the story told once, its pages over a test client, and behind a real address."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from holdfast.ui.routes import page_routes
from holdfast.ui.services import PageServices
from tests.ui.story import tell
from tests.ui.world import World, build

HTML = {"accept": "text/html"}


def client_of(world: World, services: PageServices | None = None) -> TestClient:
    """Asks for pages as a browser does, and does not follow redirects."""
    return TestClient(
        Starlette(routes=page_routes(services or world.services)),
        base_url="http://127.0.0.1:9",
        headers=HTML,
        raise_server_exceptions=False,
        follow_redirects=False,
    )


@dataclass(frozen=True)
class Story:
    """A home in which the story was told, and the moment at which it stops."""

    folder: Path
    ends_at: int

    def copy(self, folder: Path) -> World:
        """A world of its own that begins where the story stops."""
        shutil.copytree(self.folder, folder)
        return build(folder, self.ends_at)


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("story")
    told = tell(folder)
    told.ledger.close()
    return Story(folder, told.clock.now())


@pytest.fixture(scope="session")
def world(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world after the story, for tests that only read."""
    copied = story.copy(tmp_path_factory.mktemp("read") / "home")
    yield copied
    copied.ledger.close()


@pytest.fixture(scope="session")
def client(world: World) -> TestClient:
    return client_of(world)


class PageServer:
    """The pages of a world behind a loopback address."""

    def __init__(self, world: World) -> None:
        client = client_of(world)

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: object) -> None:
                pass

            def _forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                answer = client.request(self.command, self.path, headers=headers, content=body)
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name.lower() != "content-length":
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_POST = _forward

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
