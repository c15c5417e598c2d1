"""The one memory: a transactional store with one writer, group commit and forward-only migrations.

`Ledger` is what the rest of holdfast sees; `SqliteLedger` is the default, `PostgresLedger` (in `postgres`, which
needs an extra) is for teams, and `opening` chooses between them. Stores write portable SQL with `?`
placeholders and never touch a driver; `tests/base/test_ledger_conformance.py` says what every ledger must do.
"""

from holdfast.base.ledger.errors import IntegrityError, LeadLostError, UnknownOutcomeError
from holdfast.base.ledger.migrations import Migration
from holdfast.base.ledger.protocol import Ledger, Reader, Row, Transaction
from holdfast.base.ledger.sqlite import SqliteLedger

__all__ = [
    "IntegrityError",
    "LeadLostError",
    "Ledger",
    "Migration",
    "Reader",
    "Row",
    "SqliteLedger",
    "Transaction",
    "UnknownOutcomeError",
]
