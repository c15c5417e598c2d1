"""The lineage graph: edges between URNs, followed in both directions.

An edge reads `source —relation→ target`, along the flow: `data/rides@1 —trained→ tracking/run/…`. Upstream is
where a thing came from, downstream what was made of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from holdfast.base.clock import Micros
from holdfast.base.context import Context
from holdfast.base.ledger.migrations import Migration
from holdfast.base.ledger.protocol import Reader, Transaction

MIGRATIONS = (
    Migration(
        "lineage",
        1,
        (
            "CREATE TABLE lineage_edge (project TEXT NOT NULL, source TEXT NOT NULL, relation TEXT NOT NULL,"
            " target TEXT NOT NULL, created_at {integer} NOT NULL,"
            " PRIMARY KEY (project, source, relation, target))",
            "CREATE INDEX lineage_edge_target ON lineage_edge (project, target)",
        ),
    ),
)


_PART = 500


class Edge(msgspec.Struct, frozen=True):
    """`source —relation→ target`, and when it was recorded."""

    source: str
    relation: str
    target: str
    created_at: Micros


class LineageGraph(msgspec.Struct, frozen=True):
    """The edges around one URN; `upstream` leads to it, `downstream` away from it."""

    urn: str
    upstream: tuple[Edge, ...]
    downstream: tuple[Edge, ...]


def record_edge(
    transaction: Transaction, context: Context, source: str, relation: str, target: str, at: Micros
) -> None:
    """Adds an edge; an edge that is there already stays as it is."""
    transaction.execute(
        "INSERT INTO lineage_edge (project, source, relation, target, created_at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (context.project, source, relation, target, at),
    )


def edges_from(reader: Reader, project: str, sources: Sequence[str]) -> list[Edge]:
    """The edges that leave any of some URNs."""
    found: list[Edge] = []
    for start in range(0, len(sources), _PART):
        part = sources[start : start + _PART]
        rows = reader.query(
            "SELECT source, relation, target, created_at FROM lineage_edge WHERE project = ?"
            f" AND source IN ({', '.join('?' * len(part))}) ORDER BY source, relation, target",
            (project, *part),
        )
        found.extend(Edge(**dict(row)) for row in rows)
    return found


def forget(transaction: Transaction, project: str, urn: str) -> None:
    """Removes every edge of something that is no more."""
    for column in ("source", "target"):
        transaction.execute(f"DELETE FROM lineage_edge WHERE project = ? AND {column} = ?", (project, urn))


def graph(reader: Reader, context: Context, urn: str, depth: int = 8) -> LineageGraph:
    """Everything that leads to a URN and everything that was made of it, up to `depth` steps away."""
    return LineageGraph(
        urn,
        tuple(_follow(reader, context.project, urn, "target", "source", depth)),
        tuple(_follow(reader, context.project, urn, "source", "target", depth)),
    )


def _follow(reader: Reader, project: str, urn: str, here: str, there: str, depth: int) -> list[Edge]:
    found: list[Edge] = []
    seen = {urn}
    frontier = [urn]
    for _ in range(depth):
        edges = [edge for at in frontier for edge in _edges(reader, project, here, at)]
        found.extend(edges)
        frontier = list(
            dict.fromkeys(getattr(edge, there) for edge in edges if getattr(edge, there) not in seen)
        )
        seen.update(frontier)
        if not frontier:
            break
    return found


def _edges(reader: Reader, project: str, column: str, urn: str) -> list[Edge]:
    rows = reader.query(
        f"SELECT source, relation, target, created_at FROM lineage_edge WHERE project = ? AND {column} = ?"
        " ORDER BY created_at, source, target",
        (project, urn),
    )
    return [Edge(**dict(row)) for row in rows]
