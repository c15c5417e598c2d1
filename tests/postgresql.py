"""PostgreSQL for tests: the server that HOLDFAST_TEST_POSTGRESQL names, or a private cluster made for the session.

Each ledger gets a schema of its own, which is dropped afterwards. Tests that need PostgreSQL carry the marker
`postgresql` and skip, with the reason, where there is neither a server nor its programs.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pytest

from holdfast.base.ledger import Ledger, Migration, SqliteLedger
from holdfast.base.ledger.opening import open_read_only

_numbers = itertools.count()


class Cluster:
    """A private PostgreSQL that a test may stop and start as it likes."""

    def __init__(self, folder: Path) -> None:
        self._programs = programs()
        self._data = folder / "data"
        self._folder = folder
        # The server refuses to run as root, so it runs as the user that its package made.
        self._user = {"user": "postgres"} if os.geteuid() == 0 else {}
        if self._user:
            shutil.chown(folder, "postgres")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._run("initdb", "-D", str(self._data), "-U", "holdfast", "-A", "trust", "-E", "UTF8", "--no-sync")

    @property
    def url(self) -> str:
        return f"postgresql://holdfast@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._folder}"
        self._run(
            "pg_ctl", "-D", str(self._data), "-o", options, "-l", str(self._folder / "log"), "-w", "start"
        )

    def stop(self, mode: str = "fast") -> None:
        """`immediate` is what a crash leaves: no goodbye, recovery at the next start."""
        self._run("pg_ctl", "-D", str(self._data), "-m", mode, "-w", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._programs / program), *arguments],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            cwd=self._folder,
            **self._user,
        )


def programs() -> Path:
    """Where initdb and pg_ctl are; the test skips where they are not."""
    found = shutil.which("pg_ctl") or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), reverse=True)), None
    )
    if found is None:
        pytest.skip("no PostgreSQL; on Debian: apt-get install postgresql, or set HOLDFAST_TEST_POSTGRESQL")
    return Path(found).parent


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A running cluster that belongs to one test alone."""
    yield from _private_cluster()


def _private_cluster() -> Iterator[Cluster]:
    pytest.importorskip("psycopg", reason="psycopg is not installed; pip install 'holdfast[postgres]'")
    programs()
    folder = Path(
        tempfile.mkdtemp(prefix="holdfast-postgresql-")
    )  # not below pytest's, which only root may enter
    made = Cluster(folder)
    made.start()
    try:
        yield made
    finally:
        made.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The address of a database in which tests may make schemas."""
    given = os.environ.get("HOLDFAST_TEST_POSTGRESQL")
    if given:
        pytest.importorskip("psycopg", reason="psycopg is not installed; pip install 'holdfast[postgres]'")
        yield given
        return
    for made in _private_cluster():
        yield made.url


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """The address of a ledger that does not exist yet; it is dropped after the test."""
    with new_schema(postgresql_server) as url:
        yield url


@contextlib.contextmanager
def new_schema(postgresql_server: str) -> Iterator[str]:
    """The address of a ledger that does not exist yet, in a schema that is dropped afterwards."""
    import psycopg

    schema = f"test_{os.getpid()}_{next(_numbers)}"
    yield f"{postgresql_server}{'&' if '?' in postgresql_server else '?'}schema={schema}"
    # A server that was just killed may still hold locks for a moment: the two then wait for each other.
    for attempt in range(5):
        try:
            with psycopg.connect(postgresql_server, autocommit=True) as connection:
                connection.execute("SET client_min_messages = warning")
                connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')
            return
        except psycopg.OperationalError:
            if attempt == 4:
                raise
            time.sleep(0.2)


LEDGERS = ("sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql))


@pytest.fixture(scope="module", params=LEDGERS)
def ledger_location(request: pytest.FixtureRequest) -> Iterator[str]:
    """The setting `ledger` of a server that a whole module shares: SQLite in its home, then PostgreSQL."""
    if request.param == "sqlite":
        yield ""
        return
    with new_schema(request.getfixturevalue("postgresql_server")) as url:
        yield url


class LedgerFactory(Protocol):
    """Opens the test's ledger; called again it opens the same one again."""

    location: str
    """The setting `ledger`: empty for SQLite."""

    def __call__(self, migrations: Sequence[Migration]) -> Ledger: ...

    def read_only(self, migrations: Sequence[Migration]) -> Ledger: ...


class _Factory:
    def __init__(
        self, open_ledger: Callable[[Sequence[Migration]], Ledger], location: str, file: Path
    ) -> None:
        self._open = open_ledger
        self._file = file
        self._opened: list[Ledger] = []
        self.location = location

    def __call__(self, migrations: Sequence[Migration]) -> Ledger:
        ledger = self._open(migrations)
        self._opened.append(ledger)
        return ledger

    def read_only(self, migrations: Sequence[Migration]) -> Ledger:
        ledger = open_read_only(self.location, self._file, migrations)
        self._opened.append(ledger)
        return ledger

    def close(self) -> None:
        for ledger in reversed(self._opened):
            ledger.close()


@pytest.fixture(params=LEDGERS)
def ledger_factory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LedgerFactory]:
    """Ledgers on SQLite, and the same test once more on PostgreSQL."""
    file = tmp_path / "ledger.db"
    if request.param == "sqlite":
        factory = _Factory(lambda migrations: SqliteLedger(file, migrations), "", file)
    else:
        url: str = request.getfixturevalue("postgresql_url")
        from holdfast.base.ledger.postgres import PostgresLedger

        factory = _Factory(lambda migrations: PostgresLedger(url, migrations), url, file)
    yield factory
    factory.close()
