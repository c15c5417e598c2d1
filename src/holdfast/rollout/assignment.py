"""Which variant answers a unit: a salted hash, so that a unit keeps its variant without anything being stored."""

from __future__ import annotations

from collections.abc import Sequence

from blake3 import blake3

from holdfast.rollout.errors import NoVariantError
from holdfast.rollout.records import Variant

_HASH_BYTES = 8
_HASH_BITS = 8 * _HASH_BYTES


def assign(salt: str, unit: str, variants: Sequence[Variant]) -> tuple[Variant, float]:
    """The variant that answers `unit`, and the probability (propensity, 0..1) with which a unit gets it.

    The candidates take their shares from the low end of the hash and the champion the rest. While the shares
    add up to the same total, a growing candidate therefore only takes units over from the champion and never
    gives one back. A shadow, and a variant with a share of 0, is never assigned.

    Raises:
        NoVariantError: when no variant has a share.

    Example:
        >>> pair = (Variant(1, "champion", 75), Variant(2, "candidate", 25))
        >>> variant, propensity = assign("salt", "customer-7", pair)
        >>> variant.version, propensity
        (1, 0.75)
    """
    total = 0
    champion = last = None
    for variant in variants:
        if variant.share > 0 and variant.role != "shadow":
            total += variant.share
            last = variant
            if variant.role == "champion":
                champion = variant
    if last is None:
        raise NoVariantError(
            "no variant of the deployment has a share of the traffic", hint="promote a version"
        )
    if last.share == total:
        return last, 1.0
    bucket = _bucket(salt, unit, total)
    for variant in variants:
        if variant.role == "candidate":
            if bucket < variant.share:
                return variant, variant.share / total
            bucket -= variant.share
    assigned = champion or last
    return assigned, assigned.share / total


def _bucket(salt: str, unit: str, total: int) -> int:
    """A whole number in 0..total-1, evenly spread; the zero byte keeps ("a", "bc") and ("ab", "c") apart."""
    digest = blake3(f"{salt}\0{unit}".encode()).digest(_HASH_BYTES)
    return int.from_bytes(digest, "little") * total >> _HASH_BITS
