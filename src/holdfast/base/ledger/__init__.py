"""The one memory: a transactional store with one writer, group commit and forward-only migrations.

`Ledger` is what the rest of holdfast sees; `SqliteLedger` is the default. Stores write portable SQL with `?`
placeholders and never touch a driver.
"""

from holdfast.base.ledger.migrations import Migration
from holdfast.base.ledger.protocol import Ledger, Reader, Row, Transaction
from holdfast.base.ledger.sqlite import SqliteLedger

__all__ = ["Ledger", "Migration", "Reader", "Row", "SqliteLedger", "Transaction"]
