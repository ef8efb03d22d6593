"""The chart of the page: a dot for each subject on a logarithmic scale, a line from quartile to quartile.

Names and numbers stand beside the dots, so that nothing is told by a colour alone; the two colours are of Okabe and
Ito's palette, which those who see colours differently can tell apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape

from bench.results import Results, Value
from bench.subjects import KNOWN

OURS, OTHERS, INK, GRID = "#0072B2", "#D55E00", "#222222", "#DDDDDD"
_LABELS, _PLOT, _NUMBERS, _ROW, _TOP = 190, 210, 60, 22, 64
_PANEL = _LABELS + _PLOT + _NUMBERS
_STORES = {"sqlite": "SQLite (WAL)", "postgresql": "PostgreSQL"}
_PANELS = (("one", "one at a time: ms a job, less is better"), ("many", "32 at a time: jobs a second, more is better"))


@dataclass(frozen=True, slots=True)
class _Dot:
    title: str
    ours: bool
    value: Value


def show(number: float) -> str:
    """Return a number with three digits that say something."""
    return f"{number:,.0f}" if abs(number) >= 1_000 else f"{number:.3g}"


def draw(results: Results) -> str:
    """Return the chart as SVG; of results without series, one that says so."""
    parts: list[str] = []
    bottom = _TOP
    for place, (part, title) in enumerate(_PANELS):
        groups = [(name, list(_list_dots(results, part, store))) for store, name in _STORES.items()]
        groups = [(name, dots) for name, dots in groups if dots]
        if groups:
            drawn, end = _draw_panel(place * _PANEL, title, groups)
            parts += drawn
            bottom = max(bottom, end)
    if not parts:
        parts = [_text(12, 40, "No run of the benchmark has been published yet.")]
    width, height = 2 * _PANEL + 12, bottom + 34
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' role="img" font-family="sans-serif" font-size="12" fill="{INK}">'
    )
    title = "<title>A job of five steps and a wait: what it takes, by subject and database</title>"
    return (
        "\n".join([head, title, f'<rect width="{width}" height="{height}" fill="#FFFFFF"/>', *parts, "</svg>"]) + "\n"
    )


def _list_dots(results: Results, part: str, store: str) -> Iterator[_Dot]:
    for known in KNOWN:
        if known.stores != ("memory",) and store not in known.stores:
            continue
        value = results.find(f"{part}/{known.name}/{store if store in known.stores else 'memory'}")
        if value is not None:
            yield _Dot(known.title, known.name in ("plugin", "lmflow"), value)


def _draw_panel(left: int, title: str, groups: list[tuple[str, list[_Dot]]]) -> tuple[list[str], int]:
    values = [dot.value for _name, dots in groups for dot in dots]
    low = math.floor(math.log10(min(value.low for value in values)))
    high = max(low + 1, math.ceil(math.log10(max(value.high for value in values))))
    start = left + _LABELS

    def place(number: float) -> float:
        return round(start + (math.log10(number) - low) / (high - low) * _PLOT, 1)

    rows, y = [], _TOP
    for name, dots in groups:
        rows.append(_text(left + 12, y + 4, name, weight="bold"))
        y += _ROW
        for dot in dots:
            rows += _draw_dot(dot, left, y, place)
            y += _ROW
        y += 6
    lines = [_line((place(10.0**n), _TOP - 12), (place(10.0**n), y - 8), GRID, 1) for n in range(low, high + 1)]
    marks = [_text(place(10.0**n), y + 8, f"{10.0**n:g}", anchor="middle") for n in range(low, high + 1)]
    return [_text(left + 12, 28, title, weight="bold"), *lines, *rows, *marks], y


def _draw_dot(dot: _Dot, left: int, y: int, place: Callable[[float], float]) -> list[str]:
    colour = OURS if dot.ours else OTHERS
    centre, low, high = (place(number) for number in (dot.value.median, dot.value.low, dot.value.high))
    shape = (
        f'<rect x="{centre - 5}" y="{y - 5}" width="10" height="10" fill="{colour}"/>'
        if dot.ours
        else f'<circle cx="{centre}" cy="{y}" r="5" fill="{colour}"/>'
    )
    number = _text(left + _LABELS + _PLOT + 10, y + 4, show(dot.value.median))
    return [_text(left + 24, y + 4, dot.title), _line((low, y), (high, y), colour, 2), shape, number]


def _line(begin: tuple[float, float], end: tuple[float, float], colour: str, width: int) -> str:
    (x1, y1), (x2, y2) = begin, end
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" stroke-width="{width}"/>'


def _text(x: float, y: float, text: str, *, weight: str = "normal", anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" font-weight="{weight}" text-anchor="{anchor}">{escape(text)}</text>'
