"""The online store: features at request time, fresh with the last accepted label.

`OnlineStore` is the LMDB file that every serving worker of a home shares; `OnlineTable` feeds it with one table's
predictions and labels and evaluates its views. Both are made once per process and used by all of its requests.
"""

from holdfast.features.online.packing import Entity
from holdfast.features.online.store import OnlineStore
from holdfast.features.online.table import OnlineTable, PushOutcome

__all__ = ["Entity", "OnlineStore", "OnlineTable", "PushOutcome"]
