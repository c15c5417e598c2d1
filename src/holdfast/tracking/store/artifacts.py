"""The tree of artifacts: paths of a project and the blobs behind them."""

from __future__ import annotations

from holdfast.base.clock import Micros
from holdfast.base.ledger.protocol import Reader, Transaction
from holdfast.tracking.records import StoredArtifact


def split(path: str) -> tuple[str, str]:
    """Folder and name of a path.

    Example:
        >>> split("0/run/artifacts/model/MLmodel"), split("a")
        (('0/run/artifacts/model', 'MLmodel'), ('', 'a'))
    """
    folder, _, name = path.rpartition("/")
    return folder, name


def put(transaction: Transaction, project: str, path: str, digest: str, size_bytes: int, at: Micros) -> None:
    """Points a path at a blob, and makes the folders above it."""
    folder, name = split(path)
    transaction.execute(
        "INSERT INTO artifact (project, folder, name, digest, size_bytes, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (project, folder, name) DO UPDATE SET"
        " digest = excluded.digest, size_bytes = excluded.size_bytes, created_at = excluded.created_at",
        (project, folder, name, digest, size_bytes, at),
    )
    while folder:
        folder, name = split(folder)
        added = transaction.execute(
            "INSERT INTO artifact_folder (project, parent, name) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (project, folder, name),
        )
        if not added:
            break


def find(reader: Reader, project: str, path: str) -> StoredArtifact | None:
    """The file at a path."""
    folder, name = split(path)
    row = reader.one(
        "SELECT digest, size_bytes FROM artifact WHERE project = ? AND folder = ? AND name = ?",
        (project, folder, name),
    )
    return None if row is None else StoredArtifact(path, False, row["size_bytes"], row["digest"])


def is_folder(reader: Reader, project: str, path: str) -> bool:
    return (
        reader.one(
            "SELECT 1 AS found FROM artifact_folder WHERE project = ? AND parent = ? AND name = ?",
            (project, *split(path)),
        )
        is not None
    )


def children(reader: Reader, project: str, folder: str) -> list[StoredArtifact]:
    """Files and folders directly in a folder, by name."""
    files = reader.query(
        "SELECT name, digest, size_bytes FROM artifact WHERE project = ? AND folder = ?", (project, folder)
    )
    folders = reader.query(
        "SELECT name FROM artifact_folder WHERE project = ? AND parent = ?", (project, folder)
    )
    prefix = f"{folder}/" if folder else ""
    found = [StoredArtifact(prefix + row["name"], False, row["size_bytes"], row["digest"]) for row in files]
    found.extend(StoredArtifact(prefix + row["name"], True) for row in folders)
    return sorted(found, key=lambda artifact: artifact.path)


def delete(transaction: Transaction, project: str, path: str) -> int:
    """Removes a file, or a folder with everything in it, and returns how many files went.

    The bytes stay until nothing refers to them any more.
    """
    folder, name = split(path)
    gone = transaction.execute(
        "DELETE FROM artifact WHERE project = ? AND folder = ? AND name = ?", (project, folder, name)
    )
    inside, size = f"{path}/", len(path) + 1
    gone += transaction.execute(
        "DELETE FROM artifact WHERE project = ? AND (folder = ? OR substr(folder, 1, ?) = ?)",
        (project, path, size, inside),
    )
    transaction.execute(
        "DELETE FROM artifact_folder WHERE project = ? AND (parent = ? OR substr(parent, 1, ?) = ?)",
        (project, path, size, inside),
    )
    transaction.execute(
        "DELETE FROM artifact_folder WHERE project = ? AND parent = ? AND name = ?", (project, folder, name)
    )
    return gone
