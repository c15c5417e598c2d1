"""What an online store must do, whoever keeps the bytes: LMDB on this machine, or Redis for a team.

A store keeps for each view and entity two values: the tail that lookups read, and for aggregated views the rows it
was computed from. All rules (which row is newer, what a window holds) are in `writing.py`, above this line; a store
only reads, and swaps values for new ones where nobody else changed them in between. `tests/features/online` is the
conformance suite that every store passes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from holdfast.base.clock import Micros
from holdfast.features.online.packing import Entity
from holdfast.features.records import FeatureView


class Stored(NamedTuple):
    """What is kept of one entity for one view; None where there is nothing."""

    tail: bytes | None = None
    events: bytes | None = None


Found = tuple[Micros, tuple[Any, ...]]
"""Event time and values of the latest row, however old it is."""

Change = Callable[[Sequence[Stored]], Sequence[Stored]]
"""What is kept now to what shall be kept; may be called again when somebody else was quicker."""


class OnlineBackend(Protocol):
    """An online store. All times are microseconds since the epoch in UTC.

    `entities_at_once` is how many entities a change should hold at most, so that others need not wait for it.
    """

    entities_at_once: int

    def lookup(
        self, view: FeatureView, entities: Sequence[Entity], at: Micros
    ) -> list[tuple[Any, ...] | None]:
        """The usable values of each entity at a time, in the order of `view.columns`; None where there are none."""
        ...

    def find(self, view: FeatureView, entities: Sequence[Entity], at: Micros) -> list[Found | None]:
        """Event time and values of each entity's latest row at a time, also where the TTL has passed."""
        ...

    def change(
        self,
        view: FeatureView,
        entities: Sequence[Entity],
        how: Change,
        marks: Mapping[bytes, bytes] | None = None,
    ) -> None:
        """Reads what is kept of different entities and keeps what `how` makes of it, with the marks: all or nothing.

        Raises:
            OnlineStoreError: the store cannot be read or written; nothing was changed.
        """
        ...

    def mark_of(self, key: bytes) -> bytes | None:
        """What was last kept under a mark."""
        ...

    def close(self) -> None:
        """Lets go of the store."""
        ...
