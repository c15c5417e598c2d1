"""What can go wrong with tables and their versions."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.base.errors import ConflictError, HoldfastError, InvalidError, NotFoundError


class SourceError(InvalidError):
    """A file cannot be read as a table: missing, unreadable, empty, or of a format that is not supported."""

    code = "invalid_source"


class TableError(InvalidError):
    """The rows do not fit what the table declares: columns, times, labels or keys."""

    code = "invalid_table"


class ContractFileError(InvalidError):
    """A contract in YAML is no contract: a key, type, range or format that cannot be."""

    code = "invalid_contract"


class ExpectationError(InvalidError):
    """A user's expectation cannot be judged: its function raised, or answered with no truth value."""

    code = "invalid_expectation"


class StorageError(HoldfastError):
    """The rows cannot be stored, as when the disk is full; nothing was registered."""

    code = "storage"
    status = 507


class DatasetMovedError(ConflictError):
    """Someone else has added a version since this one was begun."""

    code = "dataset_moved"


class DatasetInUseError(ConflictError):
    """A version that something refers to cannot be deleted."""

    code = "dataset_in_use"


class DatasetNotFoundError(NotFoundError):
    """There is no such table or version in the project."""


def missing_column(table: str, role: str, column: str, existing: Sequence[str]) -> TableError:
    """The error for a declared column that the table does not have; lists those that it has."""
    return TableError(
        f"{table} has no column {column!r}, which is declared as its {role}",
        hint=f"its columns are: {', '.join(existing) or 'none'}",
    )
