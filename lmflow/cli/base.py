"""What the commands have in common: an answer that is sentences for people, and data for everything else."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

from cliff.display import DisplayCommandBase
from cliff.lister import Lister
from cliff.show import ShowOne

from lmflow.cli.exits import Exit

if TYPE_CHECKING:
    from lmflow.cli.main import LmflowApp


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a command found out. ``data`` is one row (ShowOne) or many (Lister) under ``columns``."""

    columns: Sequence[str]
    data: Sequence[Any]
    lines: Iterable[str] = ()
    exit: Exit = Exit.DONE


class _Answering(DisplayCommandBase[Any]):
    """Runs ``answer`` and prints it; the exit code is the answer's."""

    def get_app(self) -> LmflowApp:
        """Return the application by its real type."""
        return cast("LmflowApp", self.app)

    def answer(self, parsed_args: argparse.Namespace) -> Answer:
        """Do the work of the command."""
        raise NotImplementedError

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        """Return the data alone, as cliff asks for it."""
        answer = self.answer(parsed_args)
        return answer.columns, answer.data

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Print the answer in the format asked for.

        A reader of stdout that has gone away does not change what happened to the VM: the exit code stays.
        """
        self.formatter = self._formatter_plugins[parsed_args.formatter].obj
        answer = self.answer(parsed_args)
        try:
            if parsed_args.formatter == "text" and not parsed_args.columns:
                self.app.stdout.writelines(line + "\n" for line in answer.lines)
            else:
                self.produce_output(parsed_args, answer.columns, answer.data)
            self.app.stdout.flush()
        except BrokenPipeError:
            if answer.exit is Exit.DONE:
                raise
        return int(answer.exit)


class ShowCommand(_Answering, ShowOne):
    """A command that answers with one thing."""

    formatter_namespace = "lmflow.formatter.show"  # type: ignore[assignment]  # cliff makes it a property
    formatter_default = "text"  # type: ignore[assignment]


class ListCommand(_Answering, Lister):
    """A command that answers with rows."""

    formatter_namespace = "lmflow.formatter.list"  # type: ignore[assignment]
    formatter_default = "text"  # type: ignore[assignment]
