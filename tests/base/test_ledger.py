"""The ledger on SQLite, beyond what every ledger must do: durability across kill -9, files that are none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from holdfast.base.errors import HomeError
from holdfast.base.ledger import Migration, SqliteLedger

NOTES = Migration("notes", 1, ("CREATE TABLE note (number {serial}, text TEXT NOT NULL UNIQUE)",))


def texts(ledger) -> list[str]:
    with ledger.read() as reader:
        return [row["text"] for row in reader.query("SELECT text FROM note ORDER BY number")]


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


def test_a_closed_ledger_is_one_file(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db", [NOTES])
    ledger.write(lambda tx: tx.insert("INSERT INTO note (text) VALUES (?)", ("one",)))
    assert texts(ledger) == ["one"]
    ledger.close()
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.db"]


def test_a_file_that_is_no_ledger_is_one_sentence(tmp_path):
    (tmp_path / "ledger.db").write_bytes(b"not a database, " * 100)
    with pytest.raises(HomeError, match=r"ledger\.db cannot be (used|opened)"):
        SqliteLedger(tmp_path / "ledger.db", [NOTES])
