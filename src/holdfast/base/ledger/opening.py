"""Opening a ledger by where it is: a file, or an address of PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from holdfast.base.errors import HoldfastError, InvalidError
from holdfast.base.ledger.migrations import Migration
from holdfast.base.ledger.protocol import Ledger
from holdfast.base.ledger.sqlite import ReadOnlyLedger, SqliteLedger

_POSTGRES = ("postgresql://", "postgres://")


def is_shared(location: str) -> bool:
    """Whether a setting `ledger` names PostgreSQL; empty means the file of the home.

    Raises:
        InvalidError: it names something else.
    """
    if location and not location.startswith(_POSTGRES):
        raise InvalidError(
            f"a ledger cannot be at {location.partition('://')[0]!r}",
            hint="write postgresql://user@host:5432/database, or leave the setting out for SQLite in the home",
        )
    return bool(location)


def open_ledger(location: str, file: Path, migrations: Sequence[Migration]) -> Ledger:
    """The ledger, for writing: PostgreSQL at `location`, or SQLite in `file` where that is empty."""
    if is_shared(location):
        opened: Ledger = _postgres().PostgresLedger(location, migrations)
        return opened
    return SqliteLedger(file, migrations)


def open_read_only(location: str, file: Path, migrations: Sequence[Migration]) -> Ledger:
    """The ledger, for a command that only reads."""
    if is_shared(location):
        opened: Ledger = _postgres().ReadOnlyPostgresLedger(location, migrations)
        return opened
    return ReadOnlyLedger(file, migrations)


def _postgres() -> ModuleType:
    try:
        from holdfast.base.ledger import postgres
    except ImportError as missing:  # no psycopg, or none with a libpq
        raise HoldfastError(
            f"a ledger on PostgreSQL needs the package psycopg, which cannot be used here ({missing})",
            hint="type `pip install 'holdfast[postgres]'`",
        ) from missing
    return postgres
