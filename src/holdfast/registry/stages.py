"""Which stage a version may go to from which, and what a training's gates make of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.registry.records import GateResult, VersionStage

_NEXT: dict[VersionStage, frozenset[VersionStage]] = {
    "trained": frozenset({"gated", "rejected"}),
    "gated": frozenset({"approved", "staged", "live", "retired", "quarantined"}),
    "rejected": frozenset({"approved", "retired"}),
    "approved": frozenset({"staged", "live", "retired", "quarantined"}),
    "staged": frozenset({"approved", "live", "retired", "quarantined"}),
    "live": frozenset({"staged", "retired", "quarantined"}),
    "retired": frozenset({"approved", "staged", "live", "quarantined"}),
    "quarantined": frozenset({"approved", "retired"}),
}


def may_follow(present: VersionStage, wanted: VersionStage) -> bool:
    """Whether a version may go from one stage to another.

    Example:
        >>> may_follow("gated", "live"), may_follow("rejected", "live")
        (True, False)
    """
    return wanted in _NEXT[present]


def next_stages(present: VersionStage) -> tuple[VersionStage, ...]:
    """The stages that may follow, sorted."""
    return tuple(sorted(_NEXT[present]))


def stage_after_gates(gates: Sequence[GateResult]) -> tuple[VersionStage, str]:
    """`gated` when every gate passed, else `rejected`; with the reason in words.

    A gate that could not say does not pass: a person may still approve such a version.
    """
    failed = [f"{result.gate} ({result.message})" for result in gates if result.state != "passed"]
    if failed:
        return "rejected", f"not passed: {'; '.join(failed)}"
    return "gated", f"{len(gates)} gates passed" if gates else "no gates declared"
