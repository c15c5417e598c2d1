"""The ledger on PostgreSQL, beyond what every ledger must do: several servers, restarts, lost answers, the lead."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from holdfast.base.errors import InvalidError, UnavailableError
from holdfast.base.ledger import LeadLostError, Ledger
from holdfast.base.ledger.opening import open_ledger
from tests.base.test_ledger_conformance import NOTES, add, texts

pytestmark = pytest.mark.postgresql

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed; pip install 'holdfast[postgres]'")

from holdfast.base.ledger.postgres import PostgresLedger  # noqa: E402
from holdfast.base.ledger.postgres_connection import Address  # noqa: E402


@pytest.fixture
def ledger(postgresql_url: str) -> Iterator[PostgresLedger]:
    opened = PostgresLedger(postgresql_url, [NOTES])
    yield opened
    opened.close()


@pytest.fixture
def other(ledger: PostgresLedger, postgresql_url: str) -> Iterator[PostgresLedger]:
    """The same ledger, opened by another server."""
    opened = PostgresLedger(postgresql_url, [NOTES])
    yield opened
    opened.close()


def end_writers(url: str) -> None:
    """Breaks every connection to the database but our own, as an administrator or a network would."""
    with psycopg.connect(url.partition("?")[0], autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holdfast'"
        )


class Proxy:
    """Stands between a ledger and its database, and breaks the next connection that commits."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = parts._replace(netloc=f"{parts.username}@127.0.0.1:{port}").geturl()
        self.break_commit: str | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            for one, another in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(one, another, client), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, client: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if source is client and b"COMMIT" in data and self.break_commit:
                    how, self.break_commit = self.break_commit, None
                    if how == "after":
                        target.sendall(data)
                        time.sleep(0.3)
                    break
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("how", ["before", "after"])
def test_a_commit_without_an_answer_is_done_exactly_once(postgresql_url, how):
    proxy = Proxy(postgresql_url)
    ledger = PostgresLedger(proxy.url, [NOTES])
    try:
        ledger.write(add("one"))
        proxy.break_commit = how
        ledger.write(add("two"))
        assert proxy.break_commit is None
        assert texts(ledger) == ["one", "two"]
    finally:
        ledger.close()
        proxy.close()


def test_a_broken_connection_is_replaced(ledger, postgresql_url):
    ledger.write(add("one"))
    assert texts(ledger) == ["one"]
    end_writers(postgresql_url)
    assert texts(ledger) == ["one"]
    ledger.write(add("two"))
    assert texts(ledger) == ["one", "two"]


def test_a_snapshot_that_breaks_says_that_trying_again_helps(ledger, postgresql_url):
    with ledger.read() as reader:
        reader.query("SELECT text FROM note")
        end_writers(postgresql_url)
        with pytest.raises(UnavailableError, match="cannot be used now") as raised:
            reader.query("SELECT text FROM note")
    assert raised.value.retryable
    assert texts(ledger) == []


def test_a_restart_loses_nothing_acknowledged_and_doubles_nothing(cluster):
    ledger = PostgresLedger(cluster.url, [NOTES])
    acknowledged: list[str] = []
    refused: list[UnavailableError] = []
    stopped = threading.Event()

    def work(worker: int) -> None:
        number = 0
        while not stopped.is_set():
            text = f"{worker}.{number}"
            try:
                ledger.write(add(text))
                acknowledged.append(text)
                number += 1
            except UnavailableError as error:  # what a client does: the same again, a little later
                refused.append(error)
                time.sleep(0.02)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for mode in ("immediate", "fast"):
        time.sleep(0.4)
        cluster.stop(mode)
        time.sleep(0.2)
        cluster.start()
    time.sleep(0.4)
    stopped.set()
    for thread in threads:
        thread.join()
    # `text` is unique, so a change that was done and done again would have been refused as a conflict.
    assert sorted(texts(ledger)) == sorted(acknowledged)
    assert refused and all(error.retryable for error in refused)
    assert "password" not in str(refused[0])
    ledger.close()


def test_a_database_that_is_away_is_one_clear_sentence():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(UnavailableError) as raised:
        PostgresLedger(f"postgresql://ann:secret@127.0.0.1:{port}/holdfast", [NOTES])
    message = str(raised.value)
    assert message.startswith(f"the ledger postgresql://ann@127.0.0.1:{port}/holdfast cannot be used now (")
    assert "secret" not in message
    assert "start PostgreSQL" in message


@pytest.mark.parametrize("url", ["mysql://somewhere/db", "ledger.db"])
def test_what_is_no_ledger_is_refused(url, tmp_path):
    with pytest.raises(InvalidError, match="write postgresql://"):
        open_ledger(url, tmp_path / "ledger.db", [NOTES])
    assert not (tmp_path / "ledger.db").exists()


def test_without_the_driver_the_message_says_what_to_install():
    script = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from pathlib import Path; from holdfast.base.ledger.opening import open_ledger\n"
        "from holdfast.base.errors import HoldfastError\n"
        "try: open_ledger('postgresql://127.0.0.1/x', Path('x'), [])\n"
        "except HoldfastError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "type `pip install 'holdfast[postgres]'`" in done.stdout


def test_an_address_hides_its_schema_from_libpq_and_its_password_from_people():
    address = Address("postgresql://ann:secret@db:6543/ml?sslmode=require&schema=team_a")
    assert (str(address), address.schema) == ("postgresql://ann@db:6543/ml", "team_a")
    assert Address("postgresql:///ml?schema=a&host=/tmp").schema == "a"
    assert Address("postgresql://db/ml").schema == "holdfast"
    with pytest.raises(InvalidError, match="no name for a schema"):
        Address('postgresql://db/ml?schema=a"b')


def test_two_ledgers_of_one_database_do_not_meet(ledger, postgresql_server):
    elsewhere = PostgresLedger(f"{postgresql_server}?schema=test_elsewhere_{os.getpid()}", [NOTES])
    try:
        ledger.write(add("here"))
        assert texts(elsewhere) == []
        with ledger.leading() as one, elsewhere.leading() as another:
            assert (one, another) == (1, 1)
    finally:
        elsewhere.close()
        with psycopg.connect(postgresql_server, autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA test_elsewhere_{os.getpid()} CASCADE")


def test_servers_that_start_together_make_the_schema_once(postgresql_url):
    opened: list[Ledger] = []
    threads = [
        threading.Thread(target=lambda: opened.append(PostgresLedger(postgresql_url, [NOTES])))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4
    for ledger in opened:
        ledger.close()


def test_what_one_server_reads_no_other_changes_before_it_has_written(ledger, other):
    ledger.write(lambda tx: tx.execute("INSERT INTO thing (name, size) VALUES ('counter', 0)"))

    def increment(tx) -> None:
        size = tx.one("SELECT size FROM thing")["size"]
        tx.execute("UPDATE thing SET size = ?", (size + 1,))

    def work(server: Ledger) -> None:
        for _ in range(20):
            server.write(increment)

    threads = [threading.Thread(target=work, args=(server,)) for server in (ledger, other) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with other.read() as reader:
        assert reader.one("SELECT size FROM thing")["size"] == 80


def test_numbers_grow_in_the_order_of_commits(ledger, other):
    """Whoever has read up to a number has read everything up to it: cursors of listeners rely on it."""
    stopped = threading.Event()
    seen: list[int] = []

    def write(server: Ledger, name: str) -> None:
        number = 0
        while not stopped.is_set():
            server.write(add(f"{name}{number}"))
            number += 1

    threads = [
        threading.Thread(target=write, args=(server, name)) for server, name in ((ledger, "a"), (other, "b"))
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        with ledger.read() as reader:
            rows = reader.query("SELECT number FROM note WHERE number > ?", (seen[-1] if seen else 0,))
        seen += sorted(row["number"] for row in rows)
    stopped.set()
    for thread in threads:
        thread.join()
    with ledger.read() as reader:
        rows = reader.query("SELECT number FROM note WHERE number <= ? ORDER BY number", (seen[-1],))
    assert [row["number"] for row in rows] == seen
    assert len(seen) > 100


def test_one_server_leads_and_the_next_takes_over_when_it_ends(ledger, other):
    with ledger.leading() as term:
        assert term == 1
    with other.leading() as term:
        assert term is None
    ledger.close()
    deadline, term = time.monotonic() + 30, None
    while (
        term is None and time.monotonic() < deadline
    ):  # the database ends a closed connection when it gets to it
        with other.leading() as term:
            time.sleep(0.01)
    assert term == 2


def test_a_leader_that_was_replaced_cannot_write_as_a_leader(ledger, other, postgresql_url):
    with ledger.leading() as term:
        assert term == 1
        ledger.write(add("led by one"))
        end_writers(postgresql_url)
        with other.leading() as second:
            assert second == 2
        with pytest.raises(LeadLostError):
            ledger.write(add("too late"))
    ledger.write(add("as anybody"))
    with ledger.leading() as term:
        assert term is None
    assert texts(ledger) == ["led by one", "as anybody"]


def test_a_leader_whose_connection_broke_goes_on_where_nobody_led_in_between(ledger, postgresql_url):
    with ledger.leading() as term:
        end_writers(postgresql_url)
        ledger.write(add("still led"))
    with ledger.leading() as again:
        assert again == term == 1


def test_a_statement_that_failed_is_never_acknowledged_by_swallowing_it(ledger):
    def careless(tx) -> None:
        add("one")(tx)
        with contextlib.suppress(Exception):
            tx.execute("SELECT nothing FROM nowhere")

    with pytest.raises(psycopg.Error):
        ledger.write(careless)
    ledger.write(add("two"))
    assert texts(ledger) == ["two"]


def test_kill_minus_nine_loses_no_acknowledged_change(ledger, postgresql_url):
    script = (
        "import sys; from holdfast.base.ledger.postgres import PostgresLedger\n"
        "from tests.base.test_ledger_conformance import NOTES, add\n"
        "ledger = PostgresLedger(sys.argv[1], [NOTES])\n"
        "n = 0\n"
        "while True:\n"
        "    ledger.write(add(str(n))); print(n, flush=True); n += 1\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, postgresql_url], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    acknowledged = [int(process.stdout.readline()) for _ in range(100)]
    os.kill(process.pid, signal.SIGKILL)
    rest, _ = process.communicate()
    acknowledged += [int(line) for line in rest.split()]
    ledger.write(add("the lock of the dead is free"))
    found = {int(text) for text in texts(ledger)[:-1]}
    assert set(acknowledged) <= found
    assert len(found) <= len(acknowledged) + 1


def test_every_key_that_the_database_hands_out_is_called_number():
    from holdfast.server.compose import MIGRATIONS

    statements = [statement for step in MIGRATIONS for statement in step.statements]
    handed_out = [statement for statement in statements if "{serial}" in statement]
    assert handed_out
    assert all("number {serial}" in statement for statement in handed_out)


def test_the_schema_of_every_domain_is_made_and_nothing_is_written_in_sqlite_alone(postgresql_url):
    from holdfast.server.compose import MIGRATIONS

    ledger = PostgresLedger(postgresql_url, MIGRATIONS)
    with ledger.read() as reader:
        rows = reader.query("SELECT DISTINCT domain FROM schema_migration")
    ledger.close()
    assert {row["domain"] for row in rows} == {step.domain for step in MIGRATIONS}
