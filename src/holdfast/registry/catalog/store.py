"""The catalog's SQL over the registry's tables."""

from __future__ import annotations

from typing import Any

from holdfast.base.clock import Micros
from holdfast.base.encoding import from_json, to_json
from holdfast.base.ledger.protocol import Reader, Row, Transaction
from holdfast.registry.catalog.records import AliasRequest, Entry, EntryDraft
from holdfast.registry.records import Model
from holdfast.registry.store import OUTSIDE

_COLUMNS = (
    "name, version, origin, stage, record <> '' AS ready, run_id, source, description, tags, label,"
    " logged_model, run_link, created_by, created_at, updated_at"
)


def entries(
    reader: Reader, project: str, aliases: dict[str, dict[str, int]], name: str | None = None
) -> list[Entry]:
    """Versions of one model or all, by name and number; `aliases` are those of each model."""
    condition, parameters = (" AND name = ?", (name,)) if name is not None else ("", ())
    rows = reader.query(
        f"SELECT {_COLUMNS} FROM model_version WHERE project = ? AND deleted_at IS NULL{condition}"
        " ORDER BY name, version",
        (project, *parameters),
    )
    return [_entry(row, aliases.get(row["name"], {})) for row in rows]


def entry(reader: Reader, project: str, model: Model, version: int) -> Entry | None:
    row = reader.one(
        f"SELECT {_COLUMNS} FROM model_version WHERE project = ? AND name = ? AND version = ?"
        " AND deleted_at IS NULL",
        (project, model.name, version),
    )
    return None if row is None else _entry(row, model.aliases)


def insert_entry(
    transaction: Transaction, project: str, draft: EntryDraft, version: int, actor: str, at: Micros
) -> None:
    """Adds a version that came from outside; it has no record until it is made ready to be served."""
    transaction.execute(
        "INSERT INTO model_version (project, name, version, run_id, stage, record, origin, source, description,"
        " tags, logged_model, run_link, created_by, created_at, updated_at)"
        " VALUES (?, ?, ?, ?, 'trained', '', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            project,
            draft.name,
            version,
            draft.run_id,
            OUTSIDE,
            draft.source,
            draft.description,
            to_json(draft.tags),
            draft.logged_model,
            draft.run_link,
            actor,
            at,
            at,
        ),
    )


def update_entry(
    transaction: Transaction, project: str, name: str, version: int, at: Micros, **columns: Any
) -> None:
    """Sets columns of a version; tags are given as a dict."""
    _update(transaction, "model_version", columns | {"updated_at": at}, "version = ?", project, name, version)


def update_model(transaction: Transaction, project: str, name: str, at: Micros, **columns: Any) -> None:
    """Sets columns of a model; tags are given as a dict."""
    _update(transaction, "model", columns | {"updated_at": at}, "1 = 1", project, name)


def rename(transaction: Transaction, project: str, name: str, new_name: str) -> None:
    """Moves a model's versions and their steps to another name; the model's own row is not touched."""
    for table in ("model_version", "version_transition", "alias_request"):
        transaction.execute(
            f"UPDATE {table} SET name = ? WHERE project = ? AND name = ?", (new_name, project, name)
        )


def add_request(
    transaction: Transaction, project: str, name: str, alias: str, version: int, actor: str, at: Micros
) -> int:
    """Files a request and returns its number; the same wish that is open already keeps its number."""
    known = transaction.one(
        "SELECT number FROM alias_request WHERE project = ? AND name = ? AND alias = ? AND version = ?"
        " AND state = 'open'",
        (project, name, alias, version),
    )
    if known is not None:
        return int(known["number"])
    return transaction.insert(
        "INSERT INTO alias_request (project, name, alias, version, state, requested_by, requested_at)"
        " VALUES (?, ?, ?, ?, 'open', ?, ?)",
        (project, name, alias, version, actor, at),
    )


def requests(
    reader: Reader, project: str, name: str | None = None, state: str | None = None
) -> list[AliasRequest]:
    """Requests, newest first."""
    condition, parameters = "project = ?", [project]
    for column, value in (("name", name), ("state", state)):
        if value is not None:
            condition += f" AND {column} = ?"
            parameters.append(value)
    rows = reader.query(f"SELECT * FROM alias_request WHERE {condition} ORDER BY number DESC", parameters)
    return [_request(row) for row in rows]


def find_request(reader: Reader, project: str, number: int) -> AliasRequest | None:
    row = reader.one("SELECT * FROM alias_request WHERE project = ? AND number = ?", (project, number))
    return None if row is None else _request(row)


def decline_request(
    transaction: Transaction, project: str, number: int, actor: str, at: Micros, reason: str
) -> None:
    transaction.execute(
        "UPDATE alias_request SET state = 'declined', decided_by = ?, decided_at = ?, reason = ?"
        " WHERE project = ? AND number = ? AND state = 'open'",
        (actor, at, reason, project, number),
    )


def _update(transaction: Transaction, table: str, columns: dict[str, Any], condition: str, *key: Any) -> None:
    values = [to_json(value) if isinstance(value, dict) else value for value in columns.values()]
    assignments = ", ".join(f"{column} = ?" for column in columns)
    transaction.execute(
        f"UPDATE {table} SET {assignments} WHERE project = ? AND name = ? AND {condition}", (*values, *key)
    )


def _entry(row: Row, aliases: dict[str, int]) -> Entry:
    values = dict(row)
    values["ready"] = bool(row["ready"])
    values["tags"] = from_json(row["tags"], dict[str, str])
    named = tuple(sorted(alias for alias, number in aliases.items() if number == row["version"]))
    return Entry(**values, aliases=named)


def _request(row: Row) -> AliasRequest:
    return AliasRequest(**{field: row[field] for field in AliasRequest.__struct_fields__})
