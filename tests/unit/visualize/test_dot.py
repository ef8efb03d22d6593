"""DOT pictures: read back by a small reader of the language, so that Graphviz is not needed to test them."""

import dataclasses
import html
import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmflow import visualize
from lmflow.models import Attempt, RunState
from lmflow.visualize import Edge, Group, Node, Picture
from tests.support import answers
from tests.support.pictures import make_definition
from tests.support.stored_runs import CRASHED, Row, draw_run

# Graphviz ends a quoted string at the first quote that no backslash precedes.
TOKEN = re.compile(r'\s*(?:(->|[{}\[\];,=])|"((?:\\.|[^"\\])*)"|(\w+))', re.S)


@dataclasses.dataclass
class Graph:
    """What a DOT text says: attributes of nodes and edges, and the clusters with what they hold."""

    nodes: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    edges: list[tuple[str, str, dict[str, str]]] = dataclasses.field(default_factory=list)
    clusters: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    looks: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)

    def shown(self) -> set[tuple[str, str]]:
        return {(a, b) for a, b, looks in self.edges if looks.get("style") != "invis"}


class Reader:
    """Reads the part of DOT that lmflow writes; anything else fails."""

    def __init__(self, text: str) -> None:
        self.graph = Graph()
        self.tokens: list[tuple[str, str]] = []
        end = 0
        while text[end:].strip():
            found = TOKEN.match(text, end)
            assert found, text[end : end + 60]
            mark, quoted, word = found.groups()
            self.tokens.append(("mark", mark) if mark else ("word", word) if word else ("quoted", quoted))
            end = found.end()
        assert self.take("word") == "digraph"
        self.take("word")
        self.read_body(self.graph.looks.setdefault("", {}))
        assert not self.tokens

    def take(self, kind: str, value: str = "") -> str:
        (found, text), *self.tokens = self.tokens
        assert found == kind, text
        assert not value or text == value
        return text

    def next_is(self, value: str) -> bool:
        return self.tokens[0] == ("mark", value)

    def read_body(self, own: dict[str, str]) -> None:
        self.take("mark", "{")
        while not self.next_is("}"):
            self.read_statement(own)
        self.take("mark", "}")

    def read_statement(self, own: dict[str, str]) -> None:
        if self.next_is("{"):
            self.read_body({})
            return
        first = self.take("word")
        if first == "subgraph":
            self.read_body(self.graph.clusters.setdefault(self.take("word"), {}))
            return
        if self.next_is("="):
            self.take("mark")
            self.take("word")
        else:
            self.read_node_or_edges(first, own)
        self.take("mark", ";")

    def read_node_or_edges(self, first: str, own: dict[str, str]) -> None:
        chain = [first]
        while self.next_is("->"):
            self.take("mark")
            chain.append(self.take("word"))
        looks = self.read_looks()
        if first == "graph":
            own.update(looks)
        elif first in ("node", "edge"):
            self.graph.looks[first] = looks
        elif len(chain) > 1:
            self.graph.edges += [(a, b, looks) for a, b in itertools.pairwise(chain)]
        else:
            assert first not in self.graph.nodes, "each node once"
            self.graph.nodes[first] = looks

    def read_looks(self) -> dict[str, str]:
        looks: dict[str, str] = {}
        if not self.next_is("["):
            return looks
        self.take("mark")
        while not self.next_is("]"):
            name = self.take("word")
            self.take("mark", "=")
            looks[name] = self.take("quoted")
            if self.next_is(","):
                self.take("mark")
        self.take("mark")
        return looks


def read(picture: Picture) -> Graph:
    return Reader(visualize.render(picture, "dot")).graph


def spell(label: str) -> str:
    """Return a label as Graphviz shows it, or fail where it would put something else in its place."""
    assert not re.search(r"[<>]|&(?!amp;|lt;|gt;|quot;)", label)
    shown = re.sub(r"\\(.)", lambda found: {"n": "\n", "\\": "\0"}.get(found[1], "\1"), label)
    assert "\1" not in shown
    return html.unescape(shown).replace("\0", "\\")


@st.composite
def pictures(draw: st.DrawFn) -> Picture:
    names = draw(st.lists(st.text(max_size=30), min_size=1, max_size=9, unique=True))
    nodes = tuple(Node(id=n, label=n, flow=draw(st.sampled_from(("one", 'tw"o'))), note=draw(st.text())) for n in names)
    pairs = draw(st.lists(st.tuples(st.sampled_from(names), st.sampled_from(names)), max_size=12))
    return Picture(
        title=draw(st.text()),
        subtitle=draw(st.text()),
        nodes=nodes,
        edges=tuple(Edge(a, b, (draw(st.text(max_size=9)),)) for a, b in pairs),
        groups=(Group(draw(st.text(max_size=20)), tuple(names[:6])),),
        point_of_no_return=draw(st.sampled_from(names)),
    )


@settings(max_examples=60, deadline=None)
@given(pictures())
def test_whatever_it_holds_it_stays_a_graph_of_as_many_nodes(picture: Picture) -> None:
    graph = read(picture)
    assert len(set(graph.nodes) - {"beyond"}) == len(picture.nodes)
    every = [graph.looks[""], *graph.nodes.values(), *graph.clusters.values(), *(looks for _, _, looks in graph.edges)]
    assert all(spell(looks["label"]) is not None for looks in every if "label" in looks)
    assert {end for a, b, _ in graph.edges for end in (a, b)} <= set(graph.nodes)


def test_flows_and_parallel_steps_are_clusters() -> None:
    graph = read(make_definition("move-settle"))
    labels = {name: looks["label"] for name, looks in graph.clusters.items()}
    assert labels == {"cluster_0": "move", "cluster_1": "settle", "cluster_n_validate_pool": "in parallel"}
    assert len(graph.nodes) == 25
    (into,) = ((a, looks) for a, _, looks in graph.edges if "lhead" in looks)
    assert (into[0], into[1]["lhead"], into[1]["label"]) == ("n_observe", "cluster_n_validate_pool", "  snapshot")
    assert ("n_verify_on_destination", "n_await_settled") in graph.shown()
    assert len(graph.shown()) == 17


@pytest.mark.parametrize(("name", "beyond"), [("move-settle", "n_verify_on_destination"), ("move", "beyond")])
def test_the_point_of_no_return_is_a_bold_edge_of_its_own(name: str, beyond: str) -> None:
    graph = read(make_definition(name))
    bold = [(a, b) for a, b, looks in graph.edges if looks.get("style") == "bold"]
    assert bold == [("n_await_pool_migrate", beyond)]
    labels = [looks.get("label", "") for _, _, looks in graph.edges] + [
        looks["label"] for looks in graph.nodes.values()
    ]
    assert [label for label in labels if "point of no return" in label]


def test_a_picture_without_one_has_none() -> None:
    assert "no return" not in visualize.render(make_definition("settle"), "dot")


def test_states_are_colours_and_words() -> None:
    attempt = Attempt("t", "a1c9", 1, "accepted", 0.0, "s", progress=0.43)
    rows = [*CRASHED, Row("conclude", "FAILURE", "it said HOST_OFFLINE")]
    graph = read(draw_run(answers.make_run(RunState.SUSPENDED), rows, attempts=(attempt,)))
    assert graph.nodes["n_await_pool_migrate"]["label"] == "await_pool_migrate\\nrunning, 43 %\\ninterrupted here"
    assert graph.nodes["n_conclude"]["label"] == "conclude\\nFAILED\\nHOST_OFFLINE"
    colours = {graph.nodes[f"n_{name}"]["fillcolor"] for name in ("observe", "await_pool_migrate", "conclude")}
    assert len(colours) == 3


def test_a_hostile_name_is_shown_as_it_is() -> None:
    hostile = 'a"]; evil -> graph; \\N \\" &quot; <b>&'
    graph = read(Picture(title=hostile, nodes=(Node(id="x", label=hostile, flow="f"),)))
    assert set(graph.nodes) == {"n_x"}
    assert spell(graph.nodes["n_x"]["label"]) == hostile
    assert spell(graph.looks[""]["label"]) == hostile


def test_an_edge_is_drawn_once_and_carries_its_symbols() -> None:
    nodes = tuple(Node(id=name, label=name, flow="f") for name in "abc")
    edges = (Edge("a", "b", ("x", "y")), Edge("b", "c"), Edge("a", "c", ("x",)))
    graph = read(Picture(title="", nodes=nodes, edges=edges))
    told = sorted((a, b, looks.get("label", "").strip()) for a, b, looks in graph.edges)
    assert told == [("n_a", "n_b", "x, y"), ("n_a", "n_c", "x"), ("n_b", "n_c", "")]
