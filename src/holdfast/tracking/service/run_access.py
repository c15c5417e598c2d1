"""What several services need of a run."""

from __future__ import annotations

from holdfast.base.context import Context
from holdfast.base.errors import NotFoundError
from holdfast.base.ledger.protocol import Reader
from holdfast.tracking.records import RunHead
from holdfast.tracking.store import runs as store


def head_in(reader: Reader, context: Context, run_id: str) -> RunHead:
    """What logging needs to know of a run; `NotFoundError` when there is none."""
    found = store.head(reader, context.project, run_id)
    if found is None:
        raise NotFoundError(f"Run with id={run_id[:100]} not found")
    return found


def artifact_root(location: str, run_id: str) -> str:
    """Where the artifacts of a run of an experiment go."""
    return f"{location}/{run_id}/artifacts"
