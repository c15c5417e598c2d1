"""Run ids."""

from __future__ import annotations

import random


def new_run_id(generator: random.Random) -> str:
    """32 hexadecimal digits; pass `random.SystemRandom()` unless the ids must repeat with a seed.

    Example:
        >>> len(new_run_id(random.Random(7)))
        32
    """
    return f"{generator.getrandbits(128):032x}"
