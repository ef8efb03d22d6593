"""The golden pictures of the flows: ``python -m tests.support.pictures`` (``tox -e pictures``) draws them anew."""

import pathlib

from lmflow import visualize
from lmflow.flows.move import make_move_flow
from lmflow.flows.settle import make_settle_flow
from lmflow.visualize import EXAMPLE_REQUEST, Picture

ROOT = pathlib.Path(__file__).parents[2]
NAMES = ("move", "settle", "move-settle")
COMMAND = "tox -e pictures (or: python -m tests.support.pictures)"
# Suffix: renderer, ASCII only, folder. What readers of the documentation have no use for stands with the tests.
STYLES = {
    "txt": ("text", False, ROOT / "doc" / "source" / "pictures"),
    "mmd": ("mermaid", False, ROOT / "doc" / "source" / "pictures"),
    "dot": ("dot", False, ROOT / "doc" / "source" / "pictures"),
    "svg": ("svg", False, ROOT / "doc" / "source" / "pictures"),
    "ascii.txt": ("text", True, ROOT / "tests" / "data" / "pictures"),
}


def make_definition(name: str) -> Picture:
    """Make the picture of one flow or of both."""
    flows = {"move": make_move_flow, "settle": make_settle_flow}
    return visualize.make_picture(*(flows[each](EXAMPLE_REQUEST) for each in name.split("-")))


def find_golden(name: str, suffix: str) -> pathlib.Path:
    """Return where a golden picture is kept."""
    return STYLES[suffix][2] / f"{name}.{suffix}"


def draw(name: str, suffix: str) -> str:
    """Draw a picture as it should be kept."""
    how, ascii_only, _ = STYLES[suffix]
    return visualize.render(make_definition(name), how, ascii_only=ascii_only)


def write_all() -> None:
    """Write every golden picture."""
    for name in NAMES:
        for suffix in STYLES:
            golden = find_golden(name, suffix)
            golden.parent.mkdir(parents=True, exist_ok=True)
            golden.write_text(draw(name, suffix), encoding="utf-8")


if __name__ == "__main__":
    write_all()
