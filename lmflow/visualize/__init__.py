"""Pictures of flows and of runs, as text, Mermaid or data; changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable

from lmflow.exceptions import UsageError
from lmflow.visualize.from_flow import EXAMPLE_REQUEST, make_picture
from lmflow.visualize.from_run import make_run_picture
from lmflow.visualize.mermaid import render_mermaid
from lmflow.visualize.picture import Edge, Group, Node, Picture
from lmflow.visualize.text import render_text

__all__ = [
    "EXAMPLE_REQUEST",
    "RENDERERS",
    "Edge",
    "Group",
    "Node",
    "Picture",
    "make_picture",
    "make_run_picture",
    "render",
]

# A renderer gets the picture and whether only ASCII may be used.
RENDERERS: dict[str, Callable[[Picture, bool], str]] = {
    "text": lambda picture, ascii_only: render_text(picture, ascii_only=ascii_only),
    "mermaid": lambda picture, ascii_only: render_mermaid(picture),
    "json": lambda picture, ascii_only: json.dumps(picture.to_json(), indent=2, ensure_ascii=ascii_only) + "\n",
}


def render(picture: Picture, how: str = "text", *, ascii_only: bool = False) -> str:
    """Draw a picture by the name of a renderer; UsageError lists the renderers there are."""
    if how not in RENDERERS:
        raise UsageError(f"there is no renderer {how!r}", candidates=sorted(RENDERERS))
    return RENDERERS[how](picture, ascii_only)
