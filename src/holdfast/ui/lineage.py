"""The lineage graph around a URN as a picture whose nodes are links."""

from __future__ import annotations

import msgspec
from markupsafe import Markup

from holdfast.base import lineage
from holdfast.base.context import Context
from holdfast.ui import urls
from holdfast.ui.kit import charts
from holdfast.ui.services import PageServices

_NODES_MOST = 40
_ID_CHARACTERS = 8


def graph_of(services: PageServices, context: Context, urn: str, depth: int = 5) -> lineage.LineageGraph:
    """The edges that lead to a URN and away from it."""
    with services.ledger.read() as reader:
        return lineage.graph(reader, context, urn, depth)


def picture(graph: lineage.LineageGraph, title: str = "Lineage") -> Markup:
    """Draws a graph; what is furthest away is left out where there is too much."""
    edges = _without_revisions([*graph.upstream, *graph.downstream])
    names = dict.fromkeys([graph.urn, *(name for edge in edges for name in (edge.source, edge.target))])
    shown = list(names)[:_NODES_MOST]
    if len(names) > _NODES_MOST:
        title = f"{title}, the nearest {_NODES_MOST} of {len(names)}"
    nodes = [_node(urn, current=urn == graph.urn) for urn in shown]
    links = dict.fromkeys((edge.source, edge.target) for edge in edges)
    return charts.lineage_graph(
        nodes if edges else [],
        [charts.Edge(source, target) for source, target in links],
        title=title,
        empty="Nothing is known of where it came from or what was made of it.",
    )


def _without_revisions(edges: list[lineage.Edge]) -> list[lineage.Edge]:
    """The revisions of a deployment as one node: a version in a canary is part of many of them."""
    return [msgspec.structs.replace(edge, target=_deployment(edge.target)) for edge in edges]


def _deployment(urn: str) -> str:
    return urn.rpartition("@")[0] if urn.startswith("serving/") and "@" in urn else urn


def _node(urn: str, *, current: bool) -> charts.Node:
    kind, name, number = _parts(urn)
    return charts.Node(urn, kind, name, number, url=urls.of_urn(urn), current=current)


def _parts(urn: str) -> tuple[str, str, str]:
    """Kind, name and version of a URN as the graph writes them."""
    domain, _, rest = urn.partition("/")
    name, _, number = rest.rpartition("@") if "@" in rest else (rest, "", "")
    short = name.rpartition("/")[2]
    kinds = {"data": "dataset", "registry": "version", "serving": "deployment", "rollout": "rollout"}
    if domain == "features":
        return "features", name, number
    if domain == "tracking" and name.startswith("model/"):
        return "model", short[:_ID_CHARACTERS], ""
    if domain == "tracking":
        return "run", short[:_ID_CHARACTERS], ""
    if domain in ("monitoring", "loop"):
        return name.partition("/")[0], short, ""
    if domain == "code":
        return "code", short[:_ID_CHARACTERS], ""
    return kinds.get(domain, domain), short, number
