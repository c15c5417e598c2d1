"""Durable writes a second, beside the sqlite3 module with the same settings."""

from __future__ import annotations

import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.report import Figure, figure
from holdfast.base.ledger import Migration, SqliteLedger

_TABLE = "CREATE TABLE sample (name TEXT NOT NULL, step INTEGER NOT NULL, value REAL NOT NULL)"
_INSERT = "INSERT INTO sample (name, step, value) VALUES (?, ?, ?)"
_LIMITS = {
    1: "One durable commit (a write and an fsync of the log file), and a hand-over to the writer thread.",
    8: "Threads that wait share one commit, which a lock around one connection, the floor, cannot do.",
}


def figures(*, quick: bool) -> Iterator[Figure]:
    """Writes of one row each, by one thread and by eight."""
    seconds, turns = (0.3, 5) if quick else (1.0, 9)
    for threads in (1, 8):
        ours, raw = [], []
        for _ in range(turns):
            with tempfile.TemporaryDirectory() as folder:
                raw.append(_raw(Path(folder) / "raw.db", threads, seconds))
                ours.append(_ledger(Path(folder) / "ledger.db", threads, seconds))
        name = f"ledger, durable writes by {threads} thread{'s' * (threads > 1)}"
        value, floor = sorted(ours)[turns // 2], sorted(raw)[turns // 2]
        yield figure(name, value, "writes/s", floor, limit=_LIMITS[threads])


def _ledger(path: Path, threads: int, seconds: float) -> float:
    ledger = SqliteLedger(path, [Migration("bench", 1, (_TABLE,))])
    try:
        rate = _rate(
            lambda step: ledger.write(lambda tx: tx.execute(_INSERT, ("loss", step, 0.5))), threads, seconds
        )
        with ledger.read() as reader:
            row = reader.one("SELECT count(*) AS n FROM sample")
        assert row is not None
        assert row["n"] > 0
        return rate
    finally:
        ledger.close()


def _raw(path: Path, threads: int, seconds: float) -> float:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(_TABLE)
    lock = threading.Lock()

    def write(step: int) -> None:
        with lock:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(_INSERT, ("loss", step, 0.5))
            connection.execute("COMMIT")

    try:
        return _rate(write, threads, seconds)
    finally:
        connection.close()


def _rate(write: Callable[[int], object], threads: int, seconds: float) -> float:
    """Calls a second of `write` by so many threads."""
    counts = [0] * threads
    until = time.perf_counter() + seconds

    def work(place: int) -> None:
        while time.perf_counter() < until:
            write(counts[place])
            counts[place] += 1

    workers = [threading.Thread(target=work, args=(place,)) for place in range(threads)]
    started = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.perf_counter() - started)
