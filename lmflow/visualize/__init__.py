"""Pictures of flows and of runs, as text, Mermaid, DOT, SVG or data; changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable

from lmflow.exceptions import UsageError
from lmflow.visualize.dot import render_dot
from lmflow.visualize.from_flow import EXAMPLE_REQUEST, make_picture
from lmflow.visualize.from_run import make_run_picture
from lmflow.visualize.mermaid import render_mermaid
from lmflow.visualize.picture import Edge, Group, Node, Picture
from lmflow.visualize.svg import render_svg
from lmflow.visualize.text import render_text

__all__ = [
    "EXAMPLE_REQUEST",
    "RENDERERS",
    "SCHEMA",
    "Edge",
    "Group",
    "Node",
    "Picture",
    "make_picture",
    "make_run_picture",
    "render",
]

# The form of the data; described in doc/source/schemas/picture.v1.json.
SCHEMA = "lmflow.picture/1"


def _render_json(picture: Picture, *, ascii_only: bool) -> str:
    return json.dumps({"schema": SCHEMA, **picture.to_json()}, indent=2, ensure_ascii=ascii_only) + "\n"


def _spell(markup: str, *, ascii_only: bool) -> str:
    """Return SVG or DOT with references (``&#10003;``), which both understand, for what is not ASCII."""
    return markup.encode("ascii", "xmlcharrefreplace").decode() if ascii_only else markup


# A renderer gets the picture and whether only ASCII may be used.
RENDERERS: dict[str, Callable[[Picture, bool], str]] = {
    "text": lambda picture, ascii_only: render_text(picture, ascii_only=ascii_only),
    "mermaid": lambda picture, ascii_only: render_mermaid(picture),
    "dot": lambda picture, ascii_only: _spell(render_dot(picture), ascii_only=ascii_only),
    "svg": lambda picture, ascii_only: _spell(render_svg(picture), ascii_only=ascii_only),
    "json": lambda picture, ascii_only: _render_json(picture, ascii_only=ascii_only),
}


def render(picture: Picture, how: str = "text", *, ascii_only: bool = False) -> str:
    """Draw a picture by the name of a renderer; UsageError lists the renderers there are."""
    if how not in RENDERERS:
        raise UsageError(f"there is no renderer {how!r}", candidates=sorted(RENDERERS))
    return RENDERERS[how](picture, ascii_only)
