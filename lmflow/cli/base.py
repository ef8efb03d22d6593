"""What the commands have in common: an answer that is sentences for people, and data for everything else."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import importlib.metadata
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from cliff.display import DisplayCommandBase
from cliff.lister import Lister
from cliff.show import ShowOne
from stevedore import ExtensionManager
from stevedore.extension import Extension

from lmflow.cli.exits import Exit
from lmflow.cli.printer import drop_output

if TYPE_CHECKING:
    from lmflow.cli.main import LmflowApp

_FORMATTERS = {
    "text": "lmflow.cli.formatters:TextFormatter",
    "table": "cliff.formatters.table:TableFormatter",
    "json": "cliff.formatters.json_format:JSONFormatter",
    "yaml": "cliff.formatters.yaml_format:YAMLFormatter",
    "value": "cliff.formatters.value:ValueFormatter",
}
_NO_ENTRY_POINT = importlib.metadata.EntryPoint("", "", "")


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a command found out. ``data`` is one row (ShowOne) or many (Lister) under ``columns``."""

    columns: Sequence[str]
    data: Sequence[Any]
    lines: Iterable[str] = ()
    exit: Exit = Exit.DONE


class _Answering(DisplayCommandBase[Any]):
    """Runs ``answer`` and prints it; the exit code is the answer's."""

    formatters: ClassVar[Mapping[str, str]]

    def _load_formatter_plugins(self) -> Any:
        """Build cliff's collection of formatters from our table, so that ``text`` is no format of other programs."""
        made = (
            Extension(name, _NO_ENTRY_POINT, object, getattr(importlib.import_module(module), kind)())
            for name, (module, _, kind) in ((n, where.partition(":")) for n, where in self.formatters.items())
        )
        return ExtensionManager.make_test_instance(list(made))

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
            drop_output()
        return int(answer.exit)


class ShowCommand(_Answering, ShowOne):
    """A command that answers with one thing."""

    formatters = _FORMATTERS
    formatter_default = "text"


class ListCommand(_Answering, Lister):
    """A command that answers with rows."""

    formatters: ClassVar[Mapping[str, str]] = {**_FORMATTERS, "csv": "cliff.formatters.commaseparated:CSVLister"}
    formatter_default = "text"
