"""Pictures of flows as they are composed: the golden ones, and TaskFlow's other patterns."""

import json

import pytest
from taskflow import retry, task
from taskflow.patterns import graph_flow, linear_flow, unordered_flow

from lmflow import visualize
from lmflow.exceptions import UsageError
from lmflow.visualize import Edge, Picture
from tests.support import pictures
from tests.support.pictures import make_definition


@pytest.mark.parametrize("suffix", pictures.STYLES)
@pytest.mark.parametrize("name", pictures.NAMES)
def test_the_picture_of_each_flow_is_the_golden_one(name: str, suffix: str) -> None:
    golden = pictures.find_golden(name, suffix)
    kept = golden.read_text(encoding="utf-8")
    assert pictures.draw(name, suffix) == kept, f"{golden.name} is out of date; if meant: {pictures.COMMAND}"


def test_no_golden_picture_is_left_of_a_flow_that_is_gone() -> None:
    kept = {path for _, _, folder in pictures.STYLES.values() for path in folder.iterdir() if path.suffix != ".md"}
    assert kept == {pictures.find_golden(name, suffix) for name in pictures.NAMES for suffix in pictures.STYLES}


def test_the_point_of_no_return_lies_between_the_flows() -> None:
    picture = make_definition("move-settle")
    assert picture.point_of_no_return == "await_pool_migrate"
    assert Edge("await_pool_migrate", "verify_on_destination") in picture.edges
    assert not make_definition("settle").point_of_no_return


def test_the_validations_are_one_parallel_group_fed_by_the_snapshot() -> None:
    picture = make_definition("move")
    (group,) = picture.groups
    assert len(group.nodes) == 8
    assert all(node.startswith("validate_") for node in group.nodes)
    assert {e.symbols for e in picture.edges if e.target in group.nodes} == {("snapshot",)}


def test_a_definition_shows_no_state() -> None:
    assert {node.state for node in make_definition("move-settle").nodes} == {""}
    assert "not begun" not in visualize.render(make_definition("move-settle"))


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
    picture = make_definition("move-settle")
    assert Picture.from_json(json.loads(visualize.render(picture, "json"))) == picture


def test_an_unknown_renderer_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError) as refused:
        visualize.render(make_definition("move"), "png")
    assert refused.value.candidates == ("dot", "json", "mermaid", "svg", "text")


def test_a_renderer_can_be_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(visualize.RENDERERS, "count", lambda picture, ascii_only: str(len(picture.nodes)))
    assert visualize.render(make_definition("settle"), "count") == "8"
