"""``lmflow graph``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from lmflow.cli.base import Action
from lmflow.cli.exits import Exit
from lmflow.cli.printer import drop_output

if TYPE_CHECKING:
    from lmflow.cli.main import LmflowApp
    from lmflow.visualize import Picture

# lmflow.visualize.RENDERERS knows them, but behind it stands the engine: too heavy for --help.
FORMATS = ("text", "mermaid", "dot", "svg", "json")
_DEFINITIONS = {"": ("move", "settle"), "move": ("move",), "settle": ("settle",)}


class Graph(Action):
    """Draw the flows, or a run with its states, durations and progress."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add what to draw and how."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "what",
            nargs="?",
            default="",
            metavar="RUN|move|settle",
            help="a run, or a flow's definition, which needs no database; default: the definition of both flows",
        )
        parser.add_argument(
            "-f", "--format", dest="formatter", default="text", choices=FORMATS,
            help="text fits 80 columns; mermaid and dot (Graphviz) are for other programs; svg is a drawing",
        )  # fmt: skip
        parser.add_argument("--ascii", action="store_true", help="use ASCII characters only")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Draw to stdout."""
        from lmflow.visualize import render  # noqa: PLC0415 - only when a picture is asked for

        flows = _DEFINITIONS.get(parsed_args.what)
        picture = _draw_definition(flows) if flows else _draw_run(self.get_app(), parsed_args.what)
        encoding = getattr(self.app.stdout, "encoding", "") or "utf-8"
        plain = parsed_args.ascii or not encoding.lower().startswith("utf")
        return self._print(render(picture, parsed_args.formatter, ascii_only=plain).rstrip("\n") + "\n")

    def _print(self, drawn: str) -> int:
        try:
            self.app.stdout.write(drawn)
            self.app.stdout.flush()
        except BrokenPipeError:
            drop_output()
        except OSError as error:
            drop_output()
            self.get_app().printer.insist(f"lmflow: the picture could not be written: {error.strerror}")
            return Exit.INTERNAL
        return Exit.DONE


def _draw_definition(names: tuple[str, ...]) -> Picture:
    from lmflow import visualize  # noqa: PLC0415 - only when a picture is asked for
    from lmflow.flows.move import make_move_flow  # noqa: PLC0415 - heavy: the engine
    from lmflow.flows.settle import make_settle_flow  # noqa: PLC0415

    factories = {"move": make_move_flow, "settle": make_settle_flow}
    return visualize.make_picture(*(factories[name](visualize.EXAMPLE_REQUEST) for name in names))


def _draw_run(app: LmflowApp, text: str) -> Picture:
    from lmflow.cli.door import get_place  # noqa: PLC0415

    with get_place(app).open_client() as client:
        return client.picture(client.run(text).uuid)
