"""The tables of tracking and all of its SQL, a module a noun; `schema` is the history of the tables."""

from holdfast.tracking.store.schema import MIGRATIONS

__all__ = ["MIGRATIONS"]
