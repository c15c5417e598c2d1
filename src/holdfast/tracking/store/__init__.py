"""The tables of tracking and all of its SQL, a module a noun; `schema` is the history of the tables."""

from holdfast.tracking.store import imports, schema

MIGRATIONS = (*schema.MIGRATIONS, *imports.MIGRATIONS)

__all__ = ["MIGRATIONS"]
