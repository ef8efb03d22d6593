"""``lmflow demo`` (to be filled)."""

from __future__ import annotations

import argparse

from cliff.command import Command


class Demo(Command):
    """Show a migration in a simulated pool: no configuration, no real pool."""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Do nothing yet."""
        return 0
