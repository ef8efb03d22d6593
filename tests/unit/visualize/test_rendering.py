"""Whatever stands in a picture, it stays a picture: narrow, on its lines, inside its quotes."""

import itertools
import re
import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from lmflow import visualize
from lmflow.visualize import Edge, Group, Node, Picture

# Whole pictures are big examples; wall-clock time is nobody's business here.
SOME = settings(max_examples=50, deadline=None)
STATES = (
    "",
    "PENDING",
    "RUNNING",
    "SUCCESS",
    "FAILURE",
    "REVERTING",
    "REVERTED",
    "REVERT_FAILURE",
    "RETRYING",
    "IGNORE",
    "NEW STATE",
)


@st.composite
def pictures(draw: st.DrawFn) -> Picture:
    labels = draw(st.lists(st.text(max_size=60), min_size=1, max_size=9, unique=True))
    optional = st.none() | st.floats(0, 1e5)
    nodes = tuple(
        Node(
            id=label,
            label=label,
            flow=draw(st.sampled_from(("one", 'tw"o'))),
            state=draw(st.sampled_from(STATES)),
            seconds=draw(optional),
            progress=draw(optional),
            attempts=draw(st.integers(0, 3)),
            error_code=draw(st.text(max_size=40)),
            note=draw(st.text(max_size=120)),
        )
        for label in labels
    )
    edges = tuple(Edge(a, b, (draw(st.text(max_size=9)),)) for a, b in itertools.pairwise(labels))
    together = tuple(n.id for n in nodes if n.flow == "one")[:4]
    groups = (Group("together", together),) if len(together) > 1 else ()
    return Picture(
        title=draw(st.text(max_size=100)),
        subtitle=draw(st.text(max_size=100)),
        nodes=nodes,
        edges=edges,
        groups=groups,
        point_of_no_return=draw(st.sampled_from(labels)),
        frontier=(labels[0],),
    )


def width(line: str) -> int:
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in line if not unicodedata.combining(c))
    return wide + sum(not unicodedata.combining(c) for c in line)


@SOME
@given(pictures())
def test_text_is_narrow_and_free_of_control_characters(picture: Picture) -> None:
    text = visualize.render(picture, "text")
    assert all(width(line) <= 80 for line in text.splitlines())
    assert not [c for c in text if unicodedata.category(c)[0] == "C" and c != "\n"]
    assert "point of no return" in text


@SOME
@given(pictures())
def test_ascii_is_ascii(picture: Picture) -> None:
    text = visualize.render(picture, "text", ascii_only=True)
    assert text.isascii()
    assert all(len(line) <= 80 for line in text.splitlines())


@SOME
@given(pictures())
def test_no_name_breaks_out_of_its_quotes(picture: Picture) -> None:
    title, _, chart = visualize.render(picture, "mermaid").partition("\n---\nflowchart TD\n")
    assert len(title.split("\n")) == 2
    shapes = (
        r'  subgraph flow\d+\["[^"<>]*"\]',
        r'    subgraph \w+\["in parallel"\]',
        r" +end",
        r' +\w+\["([^"<>]|<br/>)*"\](:::\w+)?',
        r'  \w+ (-->|==>)(\|"[^"<>|]*"\|)? \w+(\(\["point of no return"\]\))?',
        r"  classDef \w+ [\w:#,;-]+",
    )
    for line in chart.rstrip("\n").split("\n"):
        assert any(re.fullmatch(shape, line) for shape in shapes), line


def test_a_wide_name_counts_twice() -> None:
    picture = Picture(title="仮想" * 40, nodes=(Node(id="a", label="移" * 60, flow="f", seconds=1.0),))
    lines = visualize.render(picture).splitlines()
    assert [line for line in lines if line.endswith(" 1.0 s")]
    assert max(width(line) for line in lines) <= 80
