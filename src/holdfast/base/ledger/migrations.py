"""Forward-only migrations, numbered within each domain, so that domains grow independently."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from holdfast.base.errors import HomeError
from holdfast.base.ledger.protocol import Transaction


class Migration(msgspec.Struct, frozen=True):
    """One step of one domain's schema.

    `statements` are portable SQL, except for four words that each database replaces: `{serial}` (an integer
    key that the database hands out; its column is called `number`, so that an insert can return it), `{bytes}`
    (binary), `{integer}` (64 bits) and `{real}` (double precision; SQLite keeps no NaN in it). Plain `INTEGER`
    holds 32 bits on PostgreSQL. `TEXT` is compared and ordered by its bytes. `{{` is a plain brace.
    """

    domain: str
    number: int
    statements: tuple[str, ...]


CREATE_TABLE = (
    "CREATE TABLE IF NOT EXISTS schema_migration"
    " (domain TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (domain, number))"
)


def migrate(transaction: Transaction, migrations: Sequence[Migration], types: dict[str, str]) -> None:
    """Applies what is missing, in the order given.

    Raises:
        HomeError: when the ledger holds a step that this release does not know.
    """
    transaction.execute(CREATE_TABLE)
    applied = {
        (row["domain"], row["number"])
        for row in transaction.query("SELECT domain, number FROM schema_migration")
    }
    refuse_newer(applied, migrations)
    for step in migrations:
        if (step.domain, step.number) in applied:
            continue
        for statement in step.statements:
            transaction.execute(statement.format(**types))
        transaction.execute(
            "INSERT INTO schema_migration (domain, number) VALUES (?, ?)", (step.domain, step.number)
        )


def refuse_newer(applied: set[tuple[str, int]], migrations: Sequence[Migration]) -> None:
    """Raises `HomeError` when a newer holdfast has written the ledger."""
    unknown = sorted(applied - {(step.domain, step.number) for step in migrations})
    if unknown:
        names = ", ".join(f"{domain} {number}" for domain, number in unknown)
        raise HomeError(
            f"this home was written by a newer holdfast (schema steps unknown here: {names})",
            hint="upgrade with `pip install -U holdfast`, or name another home with HOLDFAST_HOME",
        )
