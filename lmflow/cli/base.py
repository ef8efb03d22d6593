"""What the commands have in common: an answer that is sentences for people, and data for everything else."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import errno
import importlib
import importlib.metadata
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from cliff.command import Command
from cliff.display import DisplayCommandBase
from cliff.lister import Lister
from cliff.show import ShowOne
from stevedore import ExtensionManager
from stevedore.extension import Extension

from lmflow.cli.ends import heeded_ends
from lmflow.cli.exits import Exit
from lmflow.cli.printer import drop_output, escape
from lmflow.exceptions import UsageError

if TYPE_CHECKING:
    from lmflow.cli.main import LmflowApp

_FORMATTERS = {
    "text": "lmflow.cli.formatters:TextFormatter",
    "table": "lmflow.cli.formatters:TableFormatter",
    "json": "cliff.formatters.json_format:JSONFormatter",
    "yaml": "cliff.formatters.yaml_format:YAMLFormatter",
    "value": "lmflow.cli.formatters:ValueFormatter",
}
_NO_ENTRY_POINT = importlib.metadata.EntryPoint("", "", "")
_EPILOG = "Options for all commands (--config-file, --pool, --database, --debug, -v, -q): lmflow --help"


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a command found out. ``data`` is one row (ShowOne) or many (Lister) under ``columns``."""

    columns: Sequence[str]
    data: Sequence[Any]
    lines: Iterable[str] = ()
    exit: Exit = Exit.DONE


class Action(Command):
    """A command that writes its own output, if any."""

    def get_epilog(self) -> str:
        """Say where the other options are; cliff would read the metadata of every installed distribution."""
        return _EPILOG

    def get_app(self) -> LmflowApp:
        """Return the application by its real type."""
        return cast("LmflowApp", self.app)


class _Answering(DisplayCommandBase[Any]):
    """Runs ``answer`` and prints it; the exit code is the answer's."""

    formatters: ClassVar[Mapping[str, str]]
    columns: ClassVar[Sequence[str]]
    # Whether the exit code tells what happened to a VM: nothing that befalls the output may change it then.
    moves_vms: ClassVar[bool] = False
    # Whether it may have a session in a pool, which a signal must not leave there.
    asks_pools: ClassVar[bool] = False

    def get_epilog(self) -> str:
        """Say where the other options are."""
        return _EPILOG

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

    def get_columns(self, parsed_args: argparse.Namespace) -> Sequence[str]:
        """Return the columns that the answer to these arguments will have."""
        return self.columns

    def answer(self, parsed_args: argparse.Namespace) -> Answer:
        """Do the work of the command."""
        raise NotImplementedError

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        """Return the data alone, as cliff asks for it."""
        answer = self.answer(parsed_args)
        return answer.columns, answer.data

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Print the answer in the format asked for; the columns are checked before anything is done."""
        columns = self.get_columns(parsed_args)
        unknown = [name for name in parsed_args.columns if self._normalize_column_name(name) not in columns]
        if unknown:
            raise UsageError(f"there is no column {unknown[0]!r}", candidates=columns)
        self.formatter = self._formatter_plugins[parsed_args.formatter].obj
        with heeded_ends() if self.asks_pools else contextlib.nullcontext():
            answer = self.answer(parsed_args)
        try:
            self._print(parsed_args, answer)
        except BrokenPipeError:
            drop_output()
        except OSError as error:
            drop_output()
            if error.errno != errno.EIO:  # the terminal was closed: there is nobody to tell
                self.get_app().printer.insist(f"lmflow: the answer could not be written: {error.strerror}")
            return int(answer.exit if self.moves_vms else Exit.INTERNAL)
        return int(answer.exit)

    def _print(self, parsed_args: argparse.Namespace, answer: Answer) -> None:
        if parsed_args.formatter == "text" and not parsed_args.columns:
            self.app.stdout.writelines(escape(line) + "\n" for line in answer.lines)
        else:
            self.produce_output(parsed_args, answer.columns, answer.data)
        self.app.stdout.flush()


class ShowCommand(_Answering, ShowOne):
    """A command that answers with one thing."""

    formatters = _FORMATTERS
    formatter_default = "text"


class ListCommand(_Answering, Lister):
    """A command that answers with rows."""

    formatters: ClassVar[Mapping[str, str]] = {**_FORMATTERS, "csv": "lmflow.cli.formatters:CsvFormatter"}
    formatter_default = "text"
