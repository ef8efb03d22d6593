"""SVG pictures: lines go around boxes, everything is in view, and nothing of another's text becomes markup."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from taskflow import task
from taskflow.patterns import graph_flow, linear_flow, unordered_flow

from lmflow import visualize
from lmflow.models import Attempt, RunState
from lmflow.visualize import Edge, Group, Node, Picture
from tests.support import answers
from tests.support.pictures import make_definition
from tests.support.stored_runs import CRASHED, Row, draw_run
from tests.support.svg_reading import NS, Area, Drawing

SOME = settings(max_examples=40, deadline=None)
STATES = ("", "PENDING", "RUNNING", "SUCCESS", "FAILURE", "REVERTING", "REVERTED", "REVERT_FAILURE", "IGNORE", "NEW")


@st.composite
def pictures(draw: st.DrawFn) -> Picture:
    """Pictures of any graph: edges skip rows and flows, some even lead back; groups need not be true."""
    count = draw(st.integers(1, 12))
    numbers = st.integers(0, count - 1)
    flows = st.sampled_from(("one", "two", 'th"ree'))
    nodes = tuple(
        Node(
            id=f"n{number}",
            label=draw(st.text(max_size=50)),
            flow=draw(flows),
            state=draw(st.sampled_from(STATES)),
            seconds=draw(st.none() | st.floats(0, 1e5)),
            progress=draw(st.none() | st.floats(-1, 2)),
            error_code=draw(st.sampled_from(("", "VM_REQUIRES_SR", "X" * 90))),
            note=draw(st.text(max_size=200)),
        )
        for number in range(count)
    )
    pairs = draw(st.lists(st.tuples(numbers, numbers), max_size=24))
    edges = tuple(
        Edge(f"n{a}", f"n{b}", draw(st.lists(st.text(max_size=30), max_size=2).map(tuple))) for a, b in pairs if a != b
    )
    members = draw(st.lists(numbers, max_size=6))
    return Picture(
        title=draw(st.text(max_size=250)),
        subtitle=draw(st.text(max_size=300)),
        nodes=nodes,
        edges=edges,
        groups=(Group("in parallel", tuple(f"n{number}" for number in members)),) if members else (),
        point_of_no_return=draw(st.sampled_from(("", *(node.id for node in nodes)))),
        frontier=tuple(f"n{number}" for number in draw(st.lists(numbers, max_size=2))),
    )


class Step(task.Task):
    """A task that does nothing."""

    def execute(self, **kwargs: object) -> None:
        """Do nothing."""


@st.composite
def composed(draw: st.DrawFn) -> Picture:
    """Pictures of flows as people compose them: patterns within patterns, symbols that skip steps."""
    numbers = iter(range(1000))

    def make(depth: int) -> object:
        number = next(numbers)
        if not depth or draw(st.booleans()):
            return Step(f"step_{number}", requires=draw(st.sampled_from(((), ("given",)))), provides=f"made_{number}")
        pattern = draw(st.sampled_from((linear_flow.Flow, unordered_flow.Flow, graph_flow.Flow)))
        parts = [make(depth - 1) for _ in range(draw(st.integers(1, 6)))]
        return pattern(f"flow_{number}").add(*parts)

    flows = [linear_flow.Flow(name).add(make(3), make(2)) for name in ("before", "after")]
    return visualize.make_picture(*flows)


def judge_geometry(picture: Picture, drawing: Drawing) -> None:
    assert drawing.node_order == list(range(len(picture.nodes))), "each node once"
    assert sorted(each for line in drawing.lines for each in line.edges) == list(range(len(picture.edges)))
    boxes = list(drawing.boxes.values())
    for number, box in enumerate(boxes):
        assert not [other for other in boxes[number + 1 :] if box.overlaps(other)]
    for line in drawing.lines:
        for stroke in line.strokes():
            assert stroke.left == stroke.right or stroke.top == stroke.bottom, "no slanting line"
            assert not [box for box in boxes if stroke.overlaps(box)], "a line crosses a box"
    for area in (*drawing.areas, *drawing.texts, *(s for line in drawing.lines for s in line.strokes())):
        assert drawing.view.holds(area)


@SOME
@given(pictures() | composed())
def test_lines_go_around_boxes_and_everything_is_there_once_and_in_view(picture: Picture) -> None:
    judge_geometry(picture, Drawing(visualize.render(picture, "svg")))


@SOME
@given(pictures() | composed())
def test_a_line_leads_from_its_source_to_its_target_and_points_at_it(picture: Picture) -> None:
    drawing = Drawing(visualize.render(picture, "svg"))
    places = {node.id: drawing.boxes[number] for number, node in enumerate(picture.nodes)}
    for line in drawing.lines:
        ends = line.points if line.tip == line.points[-1] else line.points[::-1]
        edges = [picture.edges[number] for number in line.edges]
        for end, names in ((ends[0], {e.source for e in edges}), (ends[-1], {e.target for e in edges})):
            ringed = [place for name, place in places.items() if name in names]
            assert (
                touches(end, ringed[0])
                if len(ringed) == 1
                else any(touches(end, frame) and all(frame.holds(box) for box in ringed) for frame in drawing.areas)
            )


def touches(point: tuple[float, float], area: Area) -> bool:
    """Whether a point is on the upper or the lower side."""
    return area.left <= point[0] <= area.right and point[1] in (area.top, area.bottom)


@SOME
@given(pictures())
def test_no_text_of_others_becomes_markup(picture: Picture) -> None:
    drawing = Drawing(visualize.render(picture, "svg"))
    tags = {each.tag.removeprefix(NS) for each in drawing.root.iter()}
    assert tags <= {"svg", "title", "desc", "style", "rect", "g", "path", "circle", "text"}
    for each in drawing.root.iter():
        assert not [name for name in each.attrib if name.startswith("on") or "href" in name or name == "style"]
        assert not [value for value in each.attrib.values() if "url(" in value or "//" in value]
    (style,) = drawing.root.findall(f"{NS}style")
    assert re.fullmatch(
        r"@media \(prefers-color-scheme:dark\)\{(\.lf-[\w-]+\{(fill|stroke):#[0-9a-f]{6}\})*\}", style.text or ""
    )


@SOME
@given(pictures())
def test_the_same_picture_in_ascii(picture: Picture) -> None:
    plain = visualize.render(picture, "svg", ascii_only=True)
    assert plain.isascii()
    assert Drawing(plain).words() == Drawing(visualize.render(picture, "svg")).words()


def find_number(picture: Picture, name: str) -> int:
    (number,) = (number for number, node in enumerate(picture.nodes) if node.id == name)
    return number


def test_the_line_of_no_return_lies_between_the_flows_and_is_labelled() -> None:
    picture = make_definition("move-settle")
    drawing = Drawing(visualize.render(picture, "svg"))
    (mark,) = drawing.root.findall(f"{NS}g[@data-mark='point-of-no-return']")
    path = re.fullmatch(r"M(\d+) (\d+)H(\d+)", mark[0].attrib["d"])
    assert path
    left, y, right = map(int, path.groups())
    assert all((box.bottom < y) == (picture.nodes[n].flow == "move") for n, box in drawing.boxes.items())
    assert all(left <= box.left and box.right <= right for box in drawing.boxes.values())
    assert (mark[2].text or "").startswith("point of no return")
    (label,) = (area for area in drawing.areas if area.top < y < area.bottom and not area.holds(drawing.view))
    assert not [stroke for line in drawing.lines for stroke in line.strokes() if stroke.overlaps(label)]


def test_parallel_steps_stand_side_by_side_four_in_a_line() -> None:
    picture = make_definition("move")
    drawing = Drawing(visualize.render(picture, "svg"))
    tops = [drawing.boxes[find_number(picture, name)].top for name in picture.groups[0].nodes]
    assert [tops.count(top) for top in sorted(set(tops))] == [4, 4]


def test_a_crash_shows_its_frontier_its_progress_and_its_states_in_words() -> None:
    attempt = Attempt("t", "a1c9", 1, "accepted", 0.0, "s", progress=0.43)
    picture = draw_run(answers.make_run(), CRASHED, attempts=(attempt,), interrupted=True)
    drawing = Drawing(visualize.render(picture, "svg"))
    node = drawing.node(find_number(picture, "await_pool_migrate"))
    written = [each.text for each in node.findall(f"{NS}text")]
    assert written == ["await_pool_migrate", "running, 43 %", "interrupted here"]
    box, whole, part = node.findall(f"{NS}rect")
    assert "stroke-dasharray" in box.attrib
    assert float(part.attrib["width"]) == pytest.approx(0.43 * float(whole.attrib["width"]), abs=1)
    written = drawing.words().splitlines()
    assert [written.count(word) for word in ("interrupted here", "done", "not begun")] == [1, 16, 8]


def test_each_state_has_its_own_mark_and_word() -> None:
    nodes = tuple(Node(id=state, label="step", flow="f", state=state) for state in STATES if state)
    drawing = Drawing(visualize.render(Picture(title="states", nodes=nodes), "svg"))
    marks = [drawing.node(number).findall(f"{NS}path")[0].attrib["d"] for number in range(len(nodes))]
    words = [drawing.node(number).findall(f"{NS}text")[1].text for number in range(len(nodes))]
    assert len(set(words)) == len(nodes)
    # Undoing and undone share the arrow back; one of them is dashed.
    assert len(set(marks)) == len(nodes) - 1


def test_a_failure_shows_its_code_and_what_could_not_be_undone() -> None:
    rows = [
        Row("validate_sr", "REVERTED", "it said VM_REQUIRES_SR"),
        Row("connect_storage", "REVERT_FAILURE", "it broke"),
    ]
    words = Drawing(visualize.render(draw_run(answers.make_run(RunState.DIRTY), rows), "svg")).words()
    assert "VM_REQUIRES_SR" in words
    assert "FAILED, undone" in words
    assert "NOT UNDONE" in words


def test_a_hostile_name_is_text_and_a_long_one_is_shortened_and_kept_whole_in_titles() -> None:
    hostile = "<script>&\"'\x1b[31m"
    long = "verylong" * 25
    nodes = (Node(id="a", label=hostile, flow=hostile), Node(id="b", label=long, flow=hostile))
    text = visualize.render(Picture(title=long, nodes=nodes, edges=(Edge("a", "b", (long,)),)), "svg")
    drawing = Drawing(text)
    assert "<script" not in text
    assert "<script>&\"' [31m" in drawing.words()
    assert long not in drawing.words()
    assert drawing.root[0].text == long
    assert drawing.node(1)[0].text == long
    (line,) = drawing.root.findall(f"{NS}g[@data-edges]")
    assert (line[0].text or "").endswith(f": {long}")


def test_it_tells_those_who_hear_it() -> None:
    root = Drawing(visualize.render(make_definition("move-settle"), "svg")).root
    assert root.attrib["role"] == "img"
    assert [each.tag for each in root[:2]] == [f"{NS}title", f"{NS}desc"]
    told = root[1].text or ""
    assert "in parallel validate_pool, validate_host" in told
    assert "point of no return" in told
    assert told.endswith("; remove_source_kernel; hooks_after; release_vm; conclude.")


def test_a_picture_of_nothing_is_one() -> None:
    assert Drawing(visualize.render(Picture(title="nothing", nodes=()), "svg")).words() == "nothing"
