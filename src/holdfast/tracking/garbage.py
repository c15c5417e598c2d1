"""Which of the deleted runs and logged models may go: those that nothing alive was made of. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from holdfast.base.lineage import Edge


class Kept(msgspec.Struct, frozen=True):
    """Something deleted that stays, and why."""

    urn: str
    name: str
    because: str


def still_needed(
    dead: Collection[str], edges: Sequence[Edge], is_alive: Callable[[str], bool], pinned: Mapping[str, str]
) -> dict[str, str]:
    """The dead URNs that must stay, with the reason: they are pinned, or what was made of them lives or stays.

    Args:
        dead: what may go.
        edges: those that leave any of it, along the flow.
        is_alive: whether something that is not dead exists.
        pinned: what must stay, with reasons.

    Example:
        >>> edges = [Edge("run/1", "wrote", "model/1", 0), Edge("model/1", "registered", "registry/x@2", 0)]
        >>> still_needed({"run/1", "run/2", "model/1"}, edges, lambda urn: True, {})
        {'model/1': 'registry/x@2 was made of it', 'run/1': 'model/1 was made of it'}
    """
    kept = {urn: because for urn, because in pinned.items() if urn in dead}
    makers: dict[str, list[str]] = {}
    for edge in edges:
        if edge.source not in dead:
            continue
        makers.setdefault(edge.target, []).append(edge.source)
        if edge.target not in dead and is_alive(edge.target):
            kept.setdefault(edge.source, f"{edge.target} was made of it")
    frontier = list(kept)
    while frontier:
        target = frontier.pop()
        for maker in makers.get(target, ()):
            if maker not in kept:
                kept[maker] = f"{target} was made of it"
                frontier.append(maker)
    return kept
