"""The persisted simulated clock: what a demo's server runs on, moved by whoever drives the simulation."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from holdfast.base.clock import Clock, Micros, SimulatedClock
from holdfast.base.context import Context
from holdfast.base.errors import ConflictError
from holdfast.base.ledger import Ledger, Migration, Transaction
from holdfast.base.operations import Empty, operation

MIGRATIONS = (
    Migration(
        "clock", 1, ("CREATE TABLE simulated_clock (id INTEGER PRIMARY KEY, now_at {integer} NOT NULL)",)
    ),
)


class ClockState(msgspec.Struct, frozen=True):
    """Domain time; `settled` says that everything due at this time has been decided and done."""

    now_at: Micros
    simulated: bool
    settled: bool


class AdvanceClockRequest(msgspec.Struct, frozen=True):
    """Move the simulated clock to `to_at`; an earlier time changes nothing."""

    to_at: Micros


def restore_clock(ledger: Ledger, start_at: Micros) -> SimulatedClock:
    """The simulated clock of a ledger, where it stood; a new one starts at `start_at`."""

    def begin(transaction: Transaction) -> int:
        transaction.execute(
            "INSERT INTO simulated_clock (id, now_at) VALUES (1, ?) ON CONFLICT (id) DO NOTHING", (start_at,)
        )
        row = transaction.one("SELECT now_at FROM simulated_clock WHERE id = 1")
        assert row is not None
        return int(row["now_at"])

    return SimulatedClock(ledger.write(begin))


def stored_clock(ledger: Ledger) -> SimulatedClock | None:
    """The simulated clock of a ledger that has one, where it stands: such a home never runs on real time."""
    with ledger.read() as reader:
        row = reader.one("SELECT now_at FROM simulated_clock WHERE id = 1")
    return SimulatedClock(int(row["now_at"])) if row else None


class ClockService:
    """Reads the clock and, where it is simulated, moves it.

    `settle` is called after each move and returns once everything due at the new time is done.
    """

    def __init__(self, ledger: Ledger, clock: Clock, settle: Callable[[], bool]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._settle = settle

    @operation("GET", "/clock", "Domain time, and whether it is simulated.")
    def now(self, context: Context, request: Empty) -> ClockState:
        return ClockState(self._clock.now(), self._clock.simulated, True)

    @operation("POST", "/clock/advance", "Move the simulated clock and wait until the loop has settled.")
    def advance(self, context: Context, request: AdvanceClockRequest) -> ClockState:
        clock = self._clock
        if not isinstance(clock, SimulatedClock):
            raise ConflictError("this server runs on real time", hint="start one with --clock simulated")
        self._ledger.write(
            lambda tx: tx.execute(
                "UPDATE simulated_clock SET now_at = ? WHERE id = 1 AND now_at < ?",
                (request.to_at, request.to_at),
            )
        )
        clock.advance(request.to_at)
        settled = self._settle()
        return ClockState(clock.now(), True, settled)
