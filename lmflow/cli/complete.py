"""``lmflow complete``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from lmflow.cli.base import Action

SHELLS = ("bash", "fish", "zsh")


class Complete(Action):
    """Print the completion script of a shell.

    bash: eval "$(lmflow complete --shell bash)"; zsh: the same, or save it as _lmflow in a directory of $fpath;
    fish: lmflow complete --shell fish | source.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the shell."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--shell", choices=SHELLS, help="default: that of $SHELL, else bash")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Write the script to stdout."""
        from lmflow.cli.completion import render  # noqa: PLC0415 - only this command needs every other command

        self.app.stdout.write(render(self.get_app(), parsed_args.shell or _find_shell()))
        return 0


def _find_shell() -> str:
    name = Path(os.environ.get("SHELL", "")).name
    return name if name in SHELLS else SHELLS[0]
