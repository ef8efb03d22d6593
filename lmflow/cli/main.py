"""The application ``lmflow``: global options, one border for errors, nothing heavy."""

from __future__ import annotations

import argparse
import importlib.metadata
import logging
import sys
from collections.abc import Sequence
from typing import Any

from cliff.app import App
from cliff.commandmanager import CommandManager

from lmflow.cli.errors import report_error
from lmflow.cli.exits import Exit
from lmflow.cli.printer import Printer, drop_output, ensure_streams
from lmflow.exceptions import FlowSuspended, LeaseLost, UsageError


class Commands(CommandManager):
    """The commands of entry points, each loaded only when it is asked for.

    stevedore loads all of them for each command, leaves out a broken one in silence, and its cache on disk misses
    an upgrade that follows an installation within two minutes.
    """

    def load_commands(self, namespace: str) -> None:
        """Note the commands of a namespace; ``run_list`` is called ``run list``."""
        self.group_list.append(namespace)
        for entry in importlib.metadata.entry_points(group=namespace):
            self.commands[entry.name.replace("_", " ")] = entry


class LmflowApp(App):
    """Live migration in XAPI pools that survives the death of whatever runs it."""

    NAME = "lmflow"

    def __init__(self) -> None:
        super().__init__(
            description="Live migration in XAPI pools that survives the death of whatever runs it.",
            version=importlib.metadata.version("lmflow"),
            command_manager=Commands("lmflow.cli"),
            deferred_help=True,
        )
        self.printer = Printer(self.stderr)

    def build_option_parser(
        self, description: str | None, version: str | None, argparse_kwargs: dict[str, Any] | None = None
    ) -> argparse.ArgumentParser:
        """Add lmflow's own global options; they may stand before or after the command."""
        kwargs = {"allow_abbrev": False, "prog": self.NAME, **(argparse_kwargs or {})}
        parser = super().build_option_parser(description, version, kwargs)
        parser.add_argument(
            "--config-file",
            action="append",
            default=[],
            metavar="FILE",
            help="configuration (repeatable); else $LMFLOW_CONFIG_FILE, ~/.config/lmflow/, /etc/lmflow/",
        )
        parser.add_argument("--pool", default="", metavar="NAME", help="pool profile, [pool:NAME] of the configuration")
        parser.add_argument("--database", default="", metavar="URL", help="database instead of the configured one")
        return parser

    def configure_logging(self) -> None:
        """Send log records to the log file, and to stderr what is asked for; tracebacks only with ``--debug``."""
        root = logging.getLogger("")
        root.setLevel(logging.DEBUG)
        if self.options.log_file:
            to_file = logging.FileHandler(self.options.log_file)
            to_file.setFormatter(logging.Formatter(self.LOG_FILE_MESSAGE_FORMAT))
            to_file.setLevel(logging.DEBUG if self.options.debug else logging.INFO)
            root.addHandler(to_file)
        console = logging.StreamHandler(self.stderr)
        console.setFormatter(_Plain(debug=self.options.debug))
        console.addFilter(_Audible(self.options.verbose_level, debug=self.options.debug))
        root.addHandler(console)
        # A handler whose stream is gone would print a traceback for each record.
        logging.raiseExceptions = bool(self.options.debug)
        self.printer = Printer(self.stderr, quiet=self.options.verbose_level == 0)

    def interact(self) -> None:
        """Show the help: lmflow has no shell of its own."""
        self.parser.print_help(self.stderr)

    def run(self, argv: list[str]) -> int:
        """Run one command; every error ends here as words and an exit code."""
        if not argv:
            self.parser.print_help(self.stderr)
            return Exit.USAGE
        return super().run(argv)

    def run_subcommand(self, argv: list[str]) -> int:
        """Find the command and run it behind the border for errors."""
        try:
            return self._run_command(argv)
        except BrokenPipeError:
            raise
        except (Exception, KeyboardInterrupt, LeaseLost, FlowSuspended) as error:
            return report_error(self.printer, error, debug=self.options.debug)

    def _run_command(self, argv: list[str]) -> int:
        try:
            factory, name, rest = self.command_manager.find_command(argv)
        except ValueError:
            near = self.get_fuzzy_matches(argv[0])
            raise UsageError(f"there is no command {argv[0]!r}", candidates=near, advice="lmflow --help") from None
        command = factory(self, self.options)
        return command.run(command.get_parser(f"{self.NAME} {name}").parse_args(rest))


class _Plain(logging.Formatter):
    """A line a record; its traceback only when debugging."""

    def __init__(self, *, debug: bool) -> None:
        super().__init__("%(name)s: %(message)s")
        self._debug = debug

    def format(self, record: logging.LogRecord) -> str:
        if self._debug:
            return super().format(record)
        bare = logging.makeLogRecord({**record.__dict__, "exc_info": None, "exc_text": None, "stack_info": None})
        return super().format(bare).split("\n", 1)[0]


class _Audible(logging.Filter):
    """What reaches the terminal: lmflow's own warnings; ``-v`` more of ours, ``-vv`` and ``--debug`` everybody's."""

    def __init__(self, verbose_level: int, *, debug: bool) -> None:
        super().__init__()
        level = 3 if debug else verbose_level
        self._ours = {0: logging.ERROR, 1: logging.WARNING, 2: logging.INFO}.get(level, logging.DEBUG)
        # TaskFlow warns, with the whole failure, of each atom that fails: that is our outcome to tell.
        self._theirs = {0: logging.CRITICAL + 1, 1: logging.CRITICAL + 1, 2: logging.WARNING}.get(level, logging.DEBUG)

    def filter(self, record: logging.LogRecord) -> bool:
        ours = record.name == "lmflow" or record.name.startswith("lmflow.")
        return record.levelno >= (self._ours if ours else self._theirs)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    ensure_streams()
    try:
        return LmflowApp().run(list(sys.argv[1:] if argv is None else argv))
    finally:
        drop_output()
