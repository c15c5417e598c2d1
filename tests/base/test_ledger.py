"""The ledger: atomic changes, group commit, durability across kill -9, forward-only migrations."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from holdfast.base.errors import HomeError, UnavailableError
from holdfast.base.ledger import Migration, SqliteLedger, Transaction
from holdfast.base.ledger.sqlite import ReadOnlyLedger

NOTES = Migration("notes", 1, ("CREATE TABLE note (number {serial}, text TEXT NOT NULL UNIQUE)",))


@pytest.fixture
def ledger(tmp_path: Path):
    ledger = SqliteLedger(tmp_path / "ledger.db", [NOTES])
    yield ledger
    ledger.close()


def add(text: str):
    return lambda tx: tx.insert("INSERT INTO note (text) VALUES (?)", (text,))


def texts(ledger) -> list[str]:
    with ledger.read() as reader:
        return [row["text"] for row in reader.query("SELECT text FROM note ORDER BY number")]


def test_a_change_is_there_once_write_returns(ledger):
    assert ledger.write(add("one")) == 1
    assert texts(ledger) == ["one"]


def test_a_change_that_raises_leaves_nothing_and_harms_no_other(ledger):
    def fails(tx: Transaction) -> None:
        tx.insert("INSERT INTO note (text) VALUES (?)", ("half",))
        raise ValueError("no")

    ready = threading.Barrier(9)
    failures: list[Exception] = []

    def write(index: int) -> None:
        ready.wait()
        try:
            ledger.write(fails if index == 0 else add(f"note {index}"))
        except ValueError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(index,)) for index in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failures) == 1
    assert sorted(texts(ledger)) == [f"note {index}" for index in range(1, 9)]


def test_a_unique_violation_reaches_its_caller(ledger):
    ledger.write(add("one"))
    with pytest.raises(sqlite3.IntegrityError):
        ledger.write(add("one"))
    ledger.write(add("two"))
    assert texts(ledger) == ["one", "two"]


def test_readers_see_one_snapshot(ledger):
    ledger.write(add("one"))
    with ledger.read() as reader:
        assert len(reader.query("SELECT text FROM note")) == 1
        ledger.write(add("two"))
        assert len(reader.query("SELECT text FROM note")) == 1
    assert texts(ledger) == ["one", "two"]


def test_readers_cannot_write(ledger):
    with ledger.read() as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.query("INSERT INTO note (text) VALUES ('x') RETURNING number")


def test_kill_minus_nine_loses_no_acknowledged_change(tmp_path):
    script = (
        "import sys; from pathlib import Path; from holdfast.base.ledger import Migration, SqliteLedger\n"
        "ledger = SqliteLedger(Path(sys.argv[1]), [Migration('notes', 1, "
        "('CREATE TABLE note (number {serial}, text TEXT NOT NULL UNIQUE)',))])\n"
        "n = 0\n"
        "while True:\n"
        "    ledger.write(lambda tx: tx.insert('INSERT INTO note (text) VALUES (?)', (str(n),)))\n"
        "    print(n, flush=True); n += 1\n"
    )
    path = tmp_path / "ledger.db"
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    acknowledged = [int(process.stdout.readline()) for _ in range(200)]
    os.kill(process.pid, signal.SIGKILL)
    rest, _ = process.communicate()
    acknowledged += [int(line) for line in rest.split()]
    ledger = SqliteLedger(path, [NOTES])
    try:
        found = {int(text) for text in texts(ledger)}
    finally:
        ledger.close()
    assert set(acknowledged) <= found
    assert len(found) <= len(acknowledged) + 1


def test_a_newer_schema_is_refused(tmp_path):
    SqliteLedger(
        tmp_path / "ledger.db", [NOTES, Migration("future", 7, ("CREATE TABLE later (x TEXT)",))]
    ).close()
    with pytest.raises(HomeError, match=r"newer holdfast.*future 7.*pip install -U holdfast"):
        SqliteLedger(tmp_path / "ledger.db", [NOTES])
    with pytest.raises(HomeError, match="newer holdfast"):
        ReadOnlyLedger(tmp_path / "ledger.db", [NOTES])


def test_migrations_run_once_and_in_order(tmp_path):
    second = Migration("notes", 2, ("ALTER TABLE note ADD COLUMN mark TEXT",))
    SqliteLedger(tmp_path / "ledger.db", [NOTES]).close()
    for _ in range(2):
        ledger = SqliteLedger(tmp_path / "ledger.db", [NOTES, second])
        ledger.write(lambda tx: tx.execute("UPDATE note SET mark = 'x'"))
        ledger.close()


def test_a_file_that_is_no_ledger_is_one_sentence(tmp_path):
    (tmp_path / "ledger.db").write_bytes(b"not a database, " * 100)
    with pytest.raises(HomeError, match=r"ledger\.db cannot be (used|opened)"):
        SqliteLedger(tmp_path / "ledger.db", [NOTES])


def test_read_only_reads_beside_the_writer_and_never_writes(ledger, tmp_path):
    ledger.write(add("one"))
    reading = ReadOnlyLedger(tmp_path / "ledger.db", [NOTES])
    assert texts(reading) == ["one"]
    with pytest.raises(UnavailableError, match="holdfast server"):
        reading.write(add("two"))
    reading.close()


def test_read_only_names_a_missing_ledger(tmp_path):
    with pytest.raises(HomeError, match="there is no ledger"):
        ReadOnlyLedger(tmp_path / "nothing.db", [NOTES])
