"""Opening a ledger by where it is: a file, or an address of PostgreSQL.

A home has one ledger for ever, because its blobs and segments belong to what that ledger says: a garbage collection by
another one would find that nothing refers to them. So a home whose ledger is on PostgreSQL keeps the address, without
user and password, in `ledger.location` beside where the file would be, and is opened with no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from holdfast.base.blobs import replace_file
from holdfast.base.errors import HoldfastError, HomeError, InvalidError
from holdfast.base.ledger.migrations import Migration
from holdfast.base.ledger.protocol import Ledger
from holdfast.base.ledger.sqlite import ReadOnlyLedger, SqliteLedger

_POSTGRES = ("postgresql://", "postgres://")
_MARK = "ledger.location"


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
    """The ledger, for writing: PostgreSQL at `location`, or SQLite in `file` where that is empty.

    Raises:
        HomeError: the home of `file` has another ledger.
    """
    _refuse_another(location, file)
    if is_shared(location):
        opened: Ledger = _postgres().PostgresLedger(location, migrations)
        if file.parent.is_dir():
            replace_file(file.parent / _MARK, _place(location).encode())
        return opened
    return SqliteLedger(file, migrations)


def open_read_only(location: str, file: Path, migrations: Sequence[Migration]) -> Ledger:
    """The ledger, for a command that only reads; `HomeError` as for writing."""
    _refuse_another(location, file)
    if is_shared(location):
        opened: Ledger = _postgres().ReadOnlyPostgresLedger(location, migrations)
        return opened
    return ReadOnlyLedger(file, migrations)


def _refuse_another(location: str, file: Path) -> None:
    mark = file.parent / _MARK
    known = mark.read_text().strip() if mark.is_file() else None
    wanted = _place(location) if is_shared(location) else None
    if known is not None and wanted is None:
        raise HomeError(
            f"the ledger of this home is at {known}",
            hint=f"set HOLDFAST_LEDGER={known} (or ledger in holdfast.toml, or --ledger), or name another home",
        )
    if known is not None and wanted is not None and known != wanted:
        raise HomeError(
            f"the ledger of this home is at {known}, not at {wanted}",
            hint="name another home; to move, `holdfast backup` and `holdfast restore`. Where both addresses are of"
            f" one database, remove {mark}",
        )
    if known is None and wanted is not None and file.exists():
        raise HomeError(
            f"this home has its ledger in {file}, not at {wanted}",
            hint="name another home with --home; to move, `holdfast backup` and `holdfast restore`",
        )


def _place(location: str) -> str:
    _postgres()  # the error that says what to install comes from there
    from holdfast.base.ledger.postgres_connection import Address

    return Address(location).place


def _postgres() -> ModuleType:
    try:
        from holdfast.base.ledger import postgres
    except ImportError as missing:  # no psycopg, or none with a libpq
        raise HoldfastError(
            f"a ledger on PostgreSQL needs the package psycopg, which cannot be used here ({missing})",
            hint="type `pip install 'holdfast[postgres]'`",
        ) from missing
    return postgres
