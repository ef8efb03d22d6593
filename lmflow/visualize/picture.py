"""What a picture holds, before anybody draws it."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Iterator

from lmflow.models import Model


@dataclasses.dataclass(frozen=True, slots=True)
class Node(Model):
    """One atom. ``state`` is TaskFlow's, '' in a definition; ``attempts`` counts how often it was begun.

    ``note`` says in a few words what its revert could not undo.
    """

    id: str
    label: str
    flow: str
    state: str = ""
    seconds: float | None = None
    progress: float | None = None
    attempts: int = 0
    error_code: str = ""
    note: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Edge(Model):
    """``target`` waits for ``source``; ``symbols`` are the results that go along."""

    source: str
    target: str
    symbols: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Group(Model):
    """Nodes that wait for the same and are waited for by the same: they run in parallel."""

    label: str
    nodes: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Picture(Model):
    """Nodes stand in an order in which they may run.

    ``point_of_no_return`` is the last node whose failure still reverts; beyond it the way is forward. ``frontier``
    are the nodes at which a run was interrupted: a resume begins there.
    """

    title: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...] = ()
    groups: tuple[Group, ...] = ()
    point_of_no_return: str = ""
    frontier: tuple[str, ...] = ()
    subtitle: str = ""

    def flows(self) -> tuple[str, ...]:
        """Return the names of the flows, in order."""
        return tuple(dict.fromkeys(node.flow for node in self.nodes))

    def rows(self, flow: str) -> Iterator[tuple[Node, ...]]:
        """Yield the nodes of a flow, those of one parallel group together."""
        by_id = {node.id: node for node in self.nodes}
        group_of = {node_id: group for group in self.groups for node_id in group.nodes}
        shown: set[str] = set()
        for node in self.nodes:
            if node.flow == flow and node.id not in shown:
                members = group_of[node.id].nodes if node.id in group_of else (node.id,)
                shown.update(members)
                yield tuple(by_id[each] for each in members)

    def symbols_into(self, row: tuple[Node, ...]) -> tuple[str, ...]:
        """Return what the edges into a row carry, each symbol once."""
        ids = {node.id for node in row}
        return tuple(dict.fromkeys(s for edge in self.edges if edge.target in ids for s in edge.symbols))


def clean(text: str) -> str:
    """Return the text on one line without control characters: a VM's name may hold a terminal's escape sequences."""
    return "".join(c if unicodedata.category(c)[0] != "C" else " " for c in text)
