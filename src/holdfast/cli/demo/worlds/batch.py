"""What a world hands to the demo's driver: one request at a time, with the truth that arrives later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.base.clock import Micros


@dataclass(frozen=True)
class Batch:
    """The rows of one request, and their labels, which may be told to the system only once their delay has passed.

    `rows`, `labels` and `label_delays_us` have one entry for each row; label `i` becomes known at
    `at + label_delays_us[i]`.
    """

    at: Micros
    rows: list[dict[str, Any]]
    labels: list[int]
    label_delays_us: list[int]
