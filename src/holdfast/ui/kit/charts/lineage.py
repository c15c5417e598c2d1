"""The lineage graph: layers from left to right, drawn so that few edges cross."""

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from holdfast.ui.kit.badges import status
from holdfast.ui.kit.charts.svg import compact, element, figure, html, no_data, picture, shortened
from holdfast.ui.kit.charts.types import Edge, Node

_WIDTH, _HEIGHT = 166, 46
_GAP_ACROSS, _GAP_DOWN = 38, 16
_THREAD_HEIGHT = 6
_SWEEPS = 6
_NAME_CHARACTERS = 20


def lineage_graph(
    nodes: Sequence[Node], edges: Sequence[Edge], *, title: str = "Lineage", empty: str = "No lineage yet."
) -> Markup:
    """Draw what was made from what, sources left; nodes with a URL are links.

    Edges that name an unknown node are left out, and an edge that closes a cycle is drawn but does not
    count for the layers. The picture keeps its size; a narrow page scrolls it.
    """
    if not nodes:
        return no_data("lineage", title, "", empty)
    known = {node.id: node for node in nodes}
    links = [(edge.source, edge.target) for edge in edges if edge.source in known and edge.target in known]
    layers = assign_layers(list(known), links)
    rows, chains = _order(layers, links)
    places, width, height = _places(rows, known)
    drawn = [_edge(places, chain) for chain in chains]
    drawn += [_node(node, *places[node.id]) for node in nodes]
    words = (
        ". ".join(
            f"{_words(known[source])} was used to make {_words(known[target])}" for source, target in links
        )
        or f"{len(nodes)} objects without edges"
    )
    scroll = html(
        "div",
        picture(title, words, height, drawn, natural_width=width),
        class_="lineage-scroll",
        tabindex="0",
        role="region",
        aria_label=title,
    )
    return figure("lineage", title, "", scroll)


def _words(node: Node) -> str:
    return f"{node.kind} {node.name} {node.version}".strip()


def assign_layers(ids: Sequence[str], links: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Return the layer of each node: one more than the furthest of its sources."""
    sources: dict[str, list[str]] = defaultdict(list)
    for source, target in links:
        sources[target].append(source)
    layers: dict[str, int] = {}
    for start in ids:
        _settle(start, sources, layers)
    return layers


def _settle(start: str, sources: Mapping[str, Sequence[str]], layers: dict[str, int]) -> None:
    """Walk to the sources first, without recursion: a lineage may be thousands of versions deep."""
    stack, under_way = [start], set[str]()
    while stack:
        node = stack[-1]
        if node in layers:
            stack.pop()
            continue
        waiting = [one for one in sources.get(node, ()) if one not in layers and one not in under_way]
        if node not in under_way and waiting:
            under_way.add(node)
            stack.extend(waiting)
            continue
        layers[node] = max((layers[one] + 1 for one in sources.get(node, ()) if one in layers), default=0)
        stack.pop()


def _order(
    layers: Mapping[str, int], links: Sequence[tuple[str, str]]
) -> tuple[list[list[str]], list[list[str]]]:
    """Order each layer by the mean place of its neighbours; long edges get a thread in each layer between."""
    rows: list[list[str]] = [[] for _ in range(max(layers.values()) + 1)]
    for node, layer in layers.items():
        rows[layer].append(node)
    chains: list[list[str]] = []
    for number, (source, target) in enumerate(links):
        between = range(layers[source] + 1, layers[target])
        threads = [f"\0{number}:{layer}" for layer in between]
        for layer, thread in zip(between, threads, strict=True):
            rows[layer].append(thread)
        chains.append([source, *threads, target])
    neighbours: dict[str, list[str]] = defaultdict(list)
    for chain in chains:
        for one, other in itertools.pairwise(chain):
            neighbours[one].append(other)
            neighbours[other].append(one)
    for sweep in range(_SWEEPS):
        _sweep(rows, neighbours, forward=sweep % 2 == 0)
    return rows, chains


def _sweep(rows: list[list[str]], neighbours: Mapping[str, Sequence[str]], forward: bool) -> None:
    steps = range(1, len(rows)) if forward else range(len(rows) - 2, -1, -1)
    for index in steps:
        fixed = rows[index - 1 if forward else index + 1]
        place = {node: position / max(len(fixed) - 1, 1) for position, node in enumerate(fixed)}
        current = {node: position / max(len(rows[index]) - 1, 1) for position, node in enumerate(rows[index])}

        def mean(node: str, place: dict[str, float] = place, current: dict[str, float] = current) -> float:
            seen = [place[one] for one in neighbours.get(node, ()) if one in place]
            return sum(seen) / len(seen) if seen else current[node]

        rows[index].sort(key=mean)


def _places(
    rows: Sequence[Sequence[str]], known: Mapping[str, Node]
) -> tuple[dict[str, tuple[float, float]], int, int]:
    """Return the left middle of every node and thread, and the size of the picture."""

    def tall(node: str) -> int:
        return _HEIGHT if node in known else _THREAD_HEIGHT

    heights = [sum(tall(node) for node in row) + _GAP_DOWN * (len(row) - 1) for row in rows]
    whole = max(heights)
    places: dict[str, tuple[float, float]] = {}
    for layer, row in enumerate(rows):
        y = (whole - heights[layer]) / 2 + 2
        for node in row:
            places[node] = (layer * (_WIDTH + _GAP_ACROSS) + 2.0, y + tall(node) / 2)
            y += tall(node) + _GAP_DOWN
    return places, len(rows) * (_WIDTH + _GAP_ACROSS) - _GAP_ACROSS + 4, whole + 4


def _edge(places: Mapping[str, tuple[float, float]], chain: Sequence[str]) -> Markup:
    x, y = places[chain[0]]
    path = f"M{compact(x + _WIDTH)} {compact(y)}"
    start = (x + _WIDTH, y)
    for node in chain[1:]:
        x, y = places[node]
        bend = _GAP_ACROSS / 2
        path += (
            f"C{compact(start[0] + bend)} {compact(start[1])} {compact(x - bend)} {compact(y)} "
            f"{compact(x)} {compact(y)}"
        )
        start = (x, y)
        if node is not chain[-1]:
            path += f"H{compact(x + _WIDTH)}"
            start = (x + _WIDTH, y)
    return element("path", d=path, class_="edge")


def _node(node: Node, x: float, y: float) -> Markup:
    top = y - _HEIGHT / 2
    kind = f"{node.kind} · {node.status}" if node.status else node.kind
    name = f"{node.name}@{node.version}" if node.version else node.name
    tone = status(node.status).tone if node.status else "neutral"
    box = element(
        "g",
        element("title", f"{_words(node)} {node.status}".strip()),
        element("rect", x=x, y=top, width=_WIDTH, height=_HEIGHT, rx=5, class_="node-box"),
        element("rect", x=x, y=top + 8, width=3, height=_HEIGHT - 16, class_=f"node-tone node-{tone}"),
        element("text", shortened(kind, 28), x=x + 12, y=top + 18, class_="node-kind"),
        element("text", shortened(name, _NAME_CHARACTERS), x=x + 12, y=top + 35, class_="node-name"),
        class_="node node-current" if node.current else "node",
    )
    return (
        element("a", box, href=node.url, aria_current="true" if node.current else None) if node.url else box
    )
