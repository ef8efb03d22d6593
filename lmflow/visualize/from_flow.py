"""A picture of flows as they are composed: no engine runs, no database is asked."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from taskflow import flow as taskflow_flow
from taskflow.engines.action_engine import compiler

from lmflow.models import MoveRequest
from lmflow.visualize.picture import Edge, Group, Node, Picture

# The last step of the move flow; once it has succeeded the VM is on the destination and nothing is reverted.
PIVOT = "await_pool_migrate"

EXAMPLE_REQUEST = MoveRequest(
    request_id="example",
    pool_profile="lab",
    pool_uuid="00000000-0000-0000-0000-000000000001",
    vm_uuid="00000000-0000-0000-0000-000000000002",
    vm_name="VM",
    source_uuid="00000000-0000-0000-0000-000000000003",
    source_name="source",
    destination_uuid="00000000-0000-0000-0000-000000000004",
    destination_name="destination",
).to_json()


def make_picture(*flows: taskflow_flow.Flow, title: str = "") -> Picture:
    """Draw the definition of one flow, or of several that follow each other."""
    parts = [_read_flow(flow) for flow in flows]
    nodes = tuple(node for part, _ in parts for node in part)
    edges = [edge for _, part in parts for edge in part]
    for (before, before_edges), (after, after_edges) in itertools.pairwise(parts):
        edges += _join(before, before_edges, after, after_edges)
    return Picture(
        title=title or " then ".join(flow.name for flow in flows),
        nodes=nodes,
        edges=tuple(edges),
        groups=tuple(_find_groups(nodes, edges)),
        point_of_no_return=PIVOT if any(node.id == PIVOT for node in nodes) else "",
    )


def _read_flow(flow: taskflow_flow.Flow) -> tuple[list[Node], list[Edge]]:
    """Read tasks and retries out of TaskFlow's own execution graph, stepping over its markers of nesting."""
    graph: Any = compiler.PatternCompiler(flow).compile().execution_graph
    order = [atom for atom in graph.topological_sort() if not graph.nodes[atom].get("noop")]
    nodes = [Node(id=atom.name, label=atom.name, flow=flow.name) for atom in order]
    edges = [
        Edge(atom.name, after.name, tuple(symbol for symbol in atom.provides if symbol in after.requires))
        for atom in order
        for after in dict.fromkeys(_follow(graph, atom))
    ]
    return nodes, edges


def _follow(graph: Any, atom: Any) -> Iterator[Any]:
    for after in graph.successors(atom):
        if graph.nodes[after].get("noop"):
            yield from _follow(graph, after)
        else:
            yield after


def _join(
    before: Iterable[Node], before_edges: Iterable[Edge], after: Iterable[Node], after_edges: Iterable[Edge]
) -> Iterator[Edge]:
    """Yield the edges from the ends of one flow to the beginnings of the next."""
    inner, led = {edge.source for edge in before_edges}, {edge.target for edge in after_edges}
    for last in before:
        for first in after:
            if last.id not in inner and first.id not in led:
                yield Edge(last.id, first.id)


def _find_groups(nodes: Iterable[Node], edges: Iterable[Edge]) -> Iterator[Group]:
    """Yield the sets of nodes with the same neighbours on both sides."""
    edges = tuple(edges)
    alike: dict[tuple[Any, ...], list[str]] = {}
    for node in nodes:
        before = frozenset(edge.source for edge in edges if edge.target == node.id)
        after = frozenset(edge.target for edge in edges if edge.source == node.id)
        alike.setdefault((node.flow, before, after), []).append(node.id)
    for members in alike.values():
        if len(members) > 1:
            yield Group(label="in parallel", nodes=tuple(members))
