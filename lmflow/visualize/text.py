"""Pictures as text that fits an 80-column ticket and needs no colour."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from lmflow.visualize.picture import Node, Picture, clean
from lmflow.visualize.words import NO_RETURN, WORDS, judge, measure, shorten, tell_seconds, tell_state

WIDTH = 80


@dataclasses.dataclass(frozen=True)
class _Signs:
    """The characters of one style; ``marks`` are by state and all equally wide."""

    marks: dict[str, str]
    down: str
    beside: str
    full: str
    empty: str
    rule: str
    arrow: str


_UNICODE = _Signs(
    marks={
        "": "○",
        "SUCCESS": "✓",
        "RUNNING": "▶",
        "FAILURE": "✗",
        "REVERTING": "↶",
        "REVERTED": "↶",
        "REVERT_FAILURE": "!",
        "RETRYING": "↻",
        "IGNORE": "-",
        "PENDING": "·",
    },
    down="│",
    beside="║",
    full="█",
    empty="░",
    rule="═",
    arrow="→",
)
_ASCII = _Signs(
    marks={
        "": "o",
        "SUCCESS": "ok",
        "RUNNING": "..",
        "FAILURE": "XX",
        "REVERTING": "<.",
        "REVERTED": "<-",
        "REVERT_FAILURE": "!!",
        "RETRYING": "@@",
        "IGNORE": "//",
        "PENDING": "--",
    },
    down="|",
    beside="||",
    full="#",
    empty="-",
    rule="=",
    arrow="->",
)


def render_text(picture: Picture, *, ascii_only: bool = False) -> str:
    """Draw the picture with box characters, or with ASCII alone."""
    signs = _ASCII if ascii_only else _UNICODE
    drawn = _draw(_spell_in_ascii(picture) if ascii_only else picture, signs)
    return "\n".join(shorten(line.rstrip(), WIDTH) for line in drawn) + "\n"


def _spell_in_ascii(picture: Picture) -> Picture:
    """Replace what is shown, before it is laid out: a sign may be wider or narrower than what stands in for it."""

    def spell(text: str) -> str:
        return text.encode("ascii", "replace").decode()

    nodes = tuple(
        dataclasses.replace(
            node,
            label=spell(node.label),
            flow=spell(node.flow),
            error_code=spell(node.error_code),
            note=spell(node.note),
        )
        for node in picture.nodes
    )
    edges = tuple(dataclasses.replace(e, symbols=tuple(spell(symbol) for symbol in e.symbols)) for e in picture.edges)
    title, subtitle = spell(picture.title), spell(picture.subtitle)
    return dataclasses.replace(picture, title=title, subtitle=subtitle, nodes=nodes, edges=edges)


def _draw(picture: Picture, signs: _Signs) -> Iterator[str]:
    yield clean(picture.title).replace(" -> ", f" {signs.arrow} ")
    if picture.subtitle:
        yield "  " + clean(picture.subtitle)
    for flow in picture.flows():
        yield f"{clean(flow)}"
        first = True
        for row in picture.rows(flow):
            carried = ", ".join(clean(symbol) for symbol in picture.symbols_into(row))
            if not first:
                yield f"  {signs.down} {carried}" + (", in parallel to" if carried and len(row) > 1 else "")
            first = False
            yield from _draw_row(picture, row, signs)
            if any(node.id == picture.point_of_no_return for node in row):
                yield f" {NO_RETURN} ".center(WIDTH, signs.rule)
    if any(node.state for node in picture.nodes):
        yield _make_legend(picture.nodes, signs)


def _draw_row(picture: Picture, row: Sequence[Node], signs: _Signs) -> Iterator[str]:
    if len(row) == 1:
        yield _draw_single(picture, row[0], signs)
    else:
        yield from _draw_parallel(row, signs)
    for node in row:
        if len(row) > 1 and node.error_code:
            yield f"      {clean(node.label)}: {tell_state(node)} {clean(node.error_code)}"
        if node.note:
            yield f"      {clean(node.label)} {clean(node.note)}"


def _draw_single(picture: Picture, node: Node, signs: _Signs) -> str:
    told = f"  {_mark(node, signs)} {clean(node.label)}"
    if node.progress is not None:
        filled = round(min(max(node.progress, 0.0), 1.0) * 16)
        told += f"  {signs.full * filled}{signs.empty * (16 - filled)} {node.progress * 100:.0f} %"
    if node.state not in ("", "SUCCESS", "PENDING"):
        told += f"  {tell_state(node)}"
    if node.id in picture.frontier:
        told += ", interrupted here"
    if node.error_code:
        told += f"  {clean(node.error_code)}"
    if node.attempts > 1:
        told += f"  (begun {node.attempts} times)"
    return _put_right(told, tell_seconds(node))


def _draw_parallel(row: Sequence[Node], signs: _Signs) -> Iterator[str]:
    """Lay the nodes out side by side, as many in a line as fit; the bars say that they run in parallel."""
    cells = []
    for node in row:
        seconds = tell_seconds(node)
        cells.append(f"{_mark(node, signs)} {clean(node.label)}" + (f" {seconds}" if seconds else ""))
    bar = signs.beside
    width = max(measure(cell) for cell in cells)
    fitting = max(1, (WIDTH - 2) // (width + len(bar) + 2))
    for start in range(0, len(cells), fitting):
        yield "  " + " ".join(f"{bar} {_pad(cell, width)}" for cell in cells[start : start + fitting])


def _mark(node: Node, signs: _Signs) -> str:
    return signs.marks.get(judge(node), "?")


def _make_legend(nodes: Sequence[Node], signs: _Signs) -> str:
    present = dict.fromkeys(judge(node) for node in nodes if node.state)
    return "  " + "   ".join(f"{signs.marks.get(state, '?')} {WORDS.get(state, state)}" for state in present)


def _put_right(left: str, right: str) -> str:
    return left if not right else _pad(shorten(left, WIDTH - len(right) - 1), WIDTH - len(right)) + right


def _pad(text: str, width: int) -> str:
    return text + " " * (width - measure(text))
