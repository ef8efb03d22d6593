"""``lmflow simulator``."""

from __future__ import annotations

import argparse

from lmflow.cli.base import Action
from lmflow.simulator.options import add_options


class Simulator(Action):
    """Serve a simulated pool over the wire of a real one."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options of ``python -m lmflow.simulator``."""
        parser = super().get_parser(prog_name)
        add_options(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Serve until told to stop."""
        from lmflow.simulator import serve  # noqa: PLC0415 - a server is started only when asked for

        return int(serve.run(parsed_args) or 0)
