"""Pictures of flows as they are composed: the golden ones, and TaskFlow's other patterns."""

import json
import pathlib

import pytest
from taskflow import retry, task
from taskflow.patterns import graph_flow, linear_flow, unordered_flow

from lmflow import visualize
from lmflow.exceptions import UsageError
from lmflow.flows.move import make_move_flow
from lmflow.flows.settle import make_settle_flow
from lmflow.visualize import EXAMPLE_REQUEST, Edge, Picture

GOLDEN = pathlib.Path(__file__).parents[2] / "data" / "pictures"
STYLES = {"txt": ("text", False), "ascii.txt": ("text", True), "mmd": ("mermaid", False)}


def draw(name: str) -> Picture:
    move, settle = make_move_flow(EXAMPLE_REQUEST), make_settle_flow(EXAMPLE_REQUEST)
    return visualize.make_picture(*{"move": (move,), "settle": (settle,), "migration": (move, settle)}[name])


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", ["move", "settle", "migration"])
def test_the_picture_of_each_flow_is_the_golden_one(name: str, style: str) -> None:
    how, ascii_only = STYLES[style]
    golden = (GOLDEN / f"{name}.{style}").read_text(encoding="utf-8")
    drawn = visualize.render(draw(name), how, ascii_only=ascii_only)
    assert drawn == golden, f"if this is meant: lmflow graph {name} -f {how} > tests/data/pictures/{name}.{style}"


def test_the_point_of_no_return_lies_between_the_flows() -> None:
    picture = draw("migration")
    assert picture.point_of_no_return == "await_pool_migrate"
    assert Edge("await_pool_migrate", "verify_on_destination") in picture.edges
    assert not draw("settle").point_of_no_return


def test_the_validations_are_one_parallel_group_fed_by_the_snapshot() -> None:
    picture = draw("move")
    (group,) = picture.groups
    assert len(group.nodes) == 7
    assert all(node.startswith("validate_") for node in group.nodes)
    assert {e.symbols for e in picture.edges if e.target in group.nodes} == {("snapshot",)}


def test_a_definition_shows_no_state() -> None:
    assert {node.state for node in draw("migration").nodes} == {""}
    assert "not begun" not in visualize.render(draw("migration"))


class Step(task.Task):
    """A task that does nothing."""

    def execute(self, **kwargs: object) -> None:
        """Do nothing."""


def test_symbols_order_a_graph_flow() -> None:
    flow = graph_flow.Flow("dance").add(
        Step("b", requires=("x",), provides="y"), Step("c", requires=("y", "x")), Step("a", provides="x")
    )
    picture = visualize.make_picture(flow)
    assert [node.id for node in picture.nodes] == ["a", "b", "c"]
    assert set(picture.edges) == {Edge("a", "b", ("x",)), Edge("a", "c", ("x",)), Edge("b", "c", ("y",))}
    assert not picture.groups


def test_nested_flows_and_retries_are_seen_through() -> None:
    inner = linear_flow.Flow("inner", retry=retry.Times(3, name="again")).add(Step("one"), Step("two"))
    flow = unordered_flow.Flow("outer").add(inner, Step("alone"))
    picture = visualize.make_picture(flow)
    assert {node.id for node in picture.nodes} == {"again", "one", "two", "alone"}
    assert set(picture.edges) == {Edge("again", "one"), Edge("one", "two")}


def test_json_holds_the_whole_picture() -> None:
    picture = draw("migration")
    assert Picture.from_json(json.loads(visualize.render(picture, "json"))) == picture


def test_an_unknown_renderer_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError) as refused:
        visualize.render(draw("move"), "svg")
    assert refused.value.candidates == ("json", "mermaid", "text")


def test_a_renderer_can_be_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(visualize.RENDERERS, "count", lambda picture, ascii_only: str(len(picture.nodes)))
    assert visualize.render(draw("settle"), "count") == "3"
