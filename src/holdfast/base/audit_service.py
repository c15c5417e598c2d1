"""The verbs on the audit trail: read it, verify it."""

from __future__ import annotations

import msgspec

from holdfast.base import audit
from holdfast.base.context import Context
from holdfast.base.ledger import Ledger
from holdfast.base.operations import Empty, operation


class ListAuditRequest(msgspec.Struct, frozen=True):
    """The newest entries, of one subject (a URN) or of the whole project."""

    subject: str | None = None
    limit: int = 200


class AuditService:
    """Reads the audit trail."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @operation("GET", "/audit", "The newest audit entries.")
    def list_entries(self, context: Context, request: ListAuditRequest) -> list[audit.AuditEntry]:
        with self._ledger.read() as reader:
            return audit.entries(reader, context, request.subject, max(1, min(request.limit, 1000)))

    @operation("GET", "/audit/verify", "Recompute the hash chain of the whole audit trail.")
    def verify(self, context: Context, request: Empty) -> audit.AuditVerdict:
        with self._ledger.read() as reader:
            return audit.verify(reader)
