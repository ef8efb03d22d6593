"""The help: one line a command, without loading the commands."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, cast

from cliff.command import Command

# The first lines of the commands' docstrings, here because loading all commands takes longer than all else in the
# help. A test compares them. A command that is not in the table is loaded for its line.
DESCRIPTIONS = {
    "cancel": "Ask for a run to be cancelled: cancelled, too late, or not cancellable now.",
    "check": (
        "Say whether VMs may move, and where to: every rule, every host, with reasons and remedies; changes nothing."
    ),
    "complete": "Print the completion script of a shell.",
    "config show": "Show every option with its value and where the value comes from; secrets are masked.",
    "db upgrade": "Bring the database to the version that this lmflow writes.",
    "demo": "Show a migration in a simulated pool: no configuration, no real pool.",
    "explain": "Explain a code: what it means, where it comes from, what is true of the VM, what to do.",
    "graph": "Draw the flows, or a run with its states, durations and progress.",
    "help": "Show the help of all commands, or of one.",
    "migrate": "Migrate a running VM to another host of its pool.",
    "repair": "Finish what the reverts of a failed run could not undo.",
    "resolve": "Record a person's decision on where the VM of an unknown run is, and bring the run to its end by it.",
    "resume": "Take up interrupted runs: ask the pool, then conclude, re-attach, redo or roll back.",
    "run list": "List the open runs, or all of them.",
    "run prune": "Delete the records of old requests that ended; shows what it would be without --yes.",
    "run show": "Show one run: request, state, picture and events.",
    "run wait": "Wait until a run has ended; its exit code is the run's own.",
    "simulator": "Serve a simulated pool over the wire of a real one.",
    "status": "Tell what needs me now; first of all whether a VM is down.",
    "why": "Explain a run: what was written last, what the pool says now, the verdict, one command.",
}


class _Helpful(Protocol):
    """The application, as far as its help goes."""

    def show_help(self, words: Sequence[str]) -> None:
        """Print the help of all commands, or of one."""


class Help(Command):
    """Show the help of all commands, or of one."""

    def get_epilog(self) -> str:
        """Say nothing more; cliff would read the metadata of every installed distribution."""
        return ""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the command."""
        parser = super().get_parser(prog_name)
        parser.add_argument("words", nargs="*", metavar="COMMAND", help="its name, for example: run list")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print to stdout, through a pager on a terminal."""
        cast(_Helpful, self.app).show_help(parsed_args.words)
        return 0


def list_commands(lines: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield a heading and a line for each pair of a command's name and description."""
    yield "Commands:"
    for name, description in sorted(lines):
        yield f"  {name:<13}  {description.split(chr(10))[0].rstrip('.')}"
