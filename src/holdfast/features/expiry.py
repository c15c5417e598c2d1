"""When a value is too old to be used: one rule, called by the offline join and by every online lookup."""

from __future__ import annotations

from typing import Any


def is_fresh(event_at: Any, at: Any, ttl_us: int) -> Any:
    """Whether a value of `event_at` may be used at `at`: its age is at most the TTL, both ends included.

    Takes whole microseconds: two integers, two numpy arrays, or two polars expressions, and answers in kind.

    Example:
        >>> is_fresh(10, 15, 5), is_fresh(10, 16, 5)
        (True, False)
    """
    return event_at >= at - ttl_us
