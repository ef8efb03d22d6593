"""The application ``lmflow``: global options, one border for errors, nothing heavy."""

from __future__ import annotations

import argparse
import difflib
import errno
import gc
import importlib
import importlib.metadata
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import autopage.argparse
from cliff.app import App
from cliff.command import Command
from cliff.commandmanager import CommandManager, EntryPointWrapper

from lmflow.cli import logs
from lmflow.cli.core_dumps import ensure_no_core_dumps
from lmflow.cli.help import DESCRIPTIONS, Help, list_commands
from lmflow.cli.lazily import delay_imports
from lmflow.cli.printer import Printer, drop_output, ensure_streams, find_fault
from lmflow.exceptions import FlowSuspended, LeaseLost, UsageError

# What a write to stdout ends with when nobody reads it, or there is no room; unbuffered, the write itself says so.
_OUTPUT_FAULTS = (errno.EPIPE, errno.ENOSPC, errno.EIO)
# Objects made before the collector looks for cycles: importing SQLAlchemy makes so many that lasting ones are looked at
# again and again. The cycles of a long migration are collected all the same.
_COLLECTED_AFTER = 50_000
_ABOUT = "Live migration in XAPI pools that survives the death of whatever runs it."


class Commands(CommandManager):
    """The commands of entry points, each loaded only when it is asked for.

    stevedore loads all of them for each command, leaves out a broken one in silence, and its cache on disk misses
    an upgrade that follows an installation within two minutes.
    """

    def __init__(self, namespace: str) -> None:
        self._known: dict[str, Any] | None = None
        self._added: dict[str, Any] = {}
        super().__init__(namespace)

    def load_commands(self, namespace: str) -> None:
        """Note the namespace; what is in it is looked up when somebody asks for a command that is not ours."""
        self.group_list.append(namespace)

    @property
    def commands(self) -> dict[str, Any]:
        """Every command by name, ``run_list`` as ``run list``; reads what is installed. Nobody's goes before ours."""
        if self._known is None:
            found = (entry for group in self.group_list for entry in importlib.metadata.entry_points(group=group))
            installed = {entry.name.replace("_", " "): entry for entry in sorted(found, key=_is_ours)}
            self._known = {**self._added, **installed}
        return self._known

    @commands.setter
    def commands(self, value: dict[str, Any]) -> None:
        """Take no notice: cliff begins with an empty table."""

    def find_command(self, argv: list[str]) -> tuple[Any, str, list[str]]:
        """Return the command's class, its name and the rest; ours are found without a look at what is installed."""
        for count in (2, 1):
            name = " ".join(argv[:count])
            if name in DESCRIPTIONS and name != "help":
                module = importlib.import_module(f"lmflow.cli.{name.replace(' ', '_')}")
                return getattr(module, name.title().replace(" ", "")), name, argv[count:]
        return super().find_command(argv)

    def add_command(self, name: str, command_class: type[Command]) -> None:
        """Add one of cliff's own commands, unless an entry point has one of that name."""
        self._added.setdefault(name, EntryPointWrapper(name, command_class))
        self._known = None

    def describe(self, name: str) -> str:
        """Return what a command does, in one line; only a command of somebody else is loaded for it."""
        entry = self.commands[name]
        if name in DESCRIPTIONS and _is_ours(entry):
            return DESCRIPTIONS[name]
        try:
            return (entry.load().__doc__ or "").strip()
        except Exception as error:
            return f"(cannot be loaded: {type(error).__name__}: {error})"

    def find_near(self, words: Sequence[str]) -> tuple[str, ...]:
        """Return the commands that may have been meant: those of a noun, or else those spelt alike."""
        names = sorted(self.commands)
        verbs = tuple(name for name in names if name.startswith(f"{words[0]} "))
        wanted = next((n for n in range(len(words)) if words[n].startswith("-")), len(words))
        near = (close for count in (wanted, 1) for close in difflib.get_close_matches(" ".join(words[:count]), names))
        return verbs or tuple(dict.fromkeys(near))


def _is_ours(entry: Any) -> bool:
    return str(entry.value).startswith("lmflow.")


class LmflowApp(App):
    """Live migration in XAPI pools that survives the death of whatever runs it."""

    NAME = "lmflow"
    command_manager: Commands

    def __init__(self) -> None:
        commands = Commands("lmflow.cli")
        commands.add_command("help", Help)
        super().__init__(description=_ABOUT, version=None, command_manager=commands, deferred_help=True)
        self.options = argparse.Namespace(debug=False, config_file=[])
        self.printer = Printer(self.stderr)
        self._logging = logs.Logging()

    def build_option_parser(
        self, description: str | None, version: str | None, argparse_kwargs: dict[str, Any] | None = None
    ) -> argparse.ArgumentParser:
        """Add lmflow's own global options; they may stand before or after the command."""
        kwargs = {"allow_abbrev": False, "prog": self.NAME, "conflict_handler": "resolve", **(argparse_kwargs or {})}
        parser = super().build_option_parser(description, version, kwargs)
        parser.add_argument("--version", action="store_true", help="show the version and exit")
        parser.add_argument("--log-file", default="", metavar="FILE", help="append log records to a file")
        parser.add_argument(
            "--log-format", default="text", choices=logs.FORMATS, help="of log records, on stderr and in the log file"
        )
        parser.add_argument(
            "--config-file",
            action="append",
            default=[],
            metavar="FILE",
            help="configuration (repeatable); else $LMFLOW_CONFIG_FILE, ~/.config/lmflow/, /etc/lmflow/",
        )
        parser.add_argument("--pool", default="", metavar="NAME", help="pool profile, [pool:NAME] of the configuration")
        parser.add_argument("--database", default="", metavar="URL", help="database instead of the configured one")
        return _make_strict(parser, self.NAME)

    def configure_logging(self) -> None:
        """Send log records to the log file, and to stderr what is asked for; tracebacks only with ``--debug``."""
        self.printer = Printer(self.stderr, quiet=self.options.verbose_level == 0)
        self._logging.open(self.options, self.stderr, self.printer.insist)

    def run(self, argv: list[str]) -> int:
        """Run one command; every error ends here as words and an exit code."""
        try:
            code = self._run(argv)
            fault = find_fault(self.stdout)
            return self._report_fault(fault, code) if fault else code
        except (Exception, KeyboardInterrupt, LeaseLost, FlowSuspended) as error:
            return self._report(error)
        finally:
            self._logging.close()

    def _run(self, argv: list[str]) -> int:
        self.options, words = self.parser.parse_known_args(argv)
        self.configure_logging()
        if self.options.version:
            self.stdout.write(f"lmflow {importlib.metadata.version('lmflow')}\n")
            return 0
        if self.options.deferred_help:
            self.show_help(words)
            return 0
        if not words:
            self.printer.insist(self._describe_all())
            raise UsageError("a command is missing", advice="lmflow demo")
        return self.run_subcommand(words)

    def run_subcommand(self, argv: list[str]) -> int:
        """Find the command and run it; its arguments have to be text, as databases and pools take nothing else."""
        strange = next(
            (word for word in argv if not word.isascii() and any("\ud800" <= c <= "\udfff" for c in word)), None
        )
        if strange is not None:
            raise UsageError(
                f"the argument {strange} is no text in the encoding of this locale", advice="lmflow --help"
            )
        command, name, rest = self._find_command(argv)
        parser = _make_strict(command.get_parser(f"{self.NAME} {name}"), f"{self.NAME} {name}")
        return command.run(parser.parse_args(rest))

    def _find_command(self, words: list[str]) -> tuple[Command, str, list[str]]:
        """Return the command, its whole name and its arguments; UsageError with what may have been meant."""
        try:
            factory, name, rest = self.command_manager.find_command(words)
        except ValueError:
            raise self._refuse(words) from None
        return factory(self, self.options), name, rest

    def _refuse(self, words: list[str]) -> UsageError:
        near = self.command_manager.find_near(words)
        if near and near[0].startswith(f"{words[0]} "):
            alone = len(words) == 1 or words[1].startswith("-")
            what = f"{words[0]!r} needs a verb" if alone else f"there is no command {' '.join(words[:2])!r}"
            return UsageError(what, candidates=near, advice="lmflow --help")
        meant = f"; did you mean {' or '.join(near)}?" if near else ""
        return UsageError(f"there is no command {words[0]!r}{meant}", advice="lmflow --help")

    def show_help(self, words: list[str]) -> None:
        """Print the help of the command that the words begin with, of all those of a noun, or of everything."""
        nouns = self.command_manager.find_near(words) if len(words) == 1 else ()
        if not words:
            text = self._describe_all()
        elif nouns and nouns[0].startswith(f"{words[0]} "):
            text = "\n".join(list_commands((name, self.command_manager.describe(name)) for name in nouns))
        else:
            from lmflow.cli.codes import tell_codes  # noqa: PLC0415 - the models, which the overview does not need

            command, name, _ = self._find_command(words)
            text = "\n".join((command.get_parser(f"{self.NAME} {name}").format_help(), *tell_codes(name)))
        with autopage.argparse.help_pager(self.stdout) as out:
            out.write(text.rstrip("\n") + "\n")

    def _describe_all(self) -> str:
        commands = self.command_manager
        lines = list_commands((name, commands.describe(name)) for name, _ in commands)
        return "\n".join((self.parser.format_help(), *lines))

    def _report(self, error: BaseException) -> int:
        if isinstance(error, OSError) and error.errno in _OUTPUT_FAULTS:
            return self._report_fault(find_fault(self.stdout) or error, 0)
        from lmflow.cli.errors import report_error  # noqa: PLC0415 - the models, which the help does not need

        return report_error(self.printer, error, debug=self.options.debug, find_state_dir=self._find_state_dir)

    def _report_fault(self, fault: OSError, code: int) -> int:
        """Say that the output got lost; a reader who had read enough is no fault."""
        drop_output()
        if isinstance(fault, BrokenPipeError):
            return code
        self.printer.insist(f"lmflow: the output could not be written: {fault.strerror}")
        return code or 1

    def _find_state_dir(self) -> Path | None:
        """Return the configured state directory; None when the configuration cannot be read either."""
        from lmflow import conf  # noqa: PLC0415 - heavy: oslo.config

        try:
            return conf.load(tuple(self.options.config_file)).state_dir
        except Exception as error:
            self.printer.say(f"  the configuration could not be read either: {type(error).__name__}")
            return None


def _make_strict(parser: argparse.ArgumentParser, name: str) -> argparse.ArgumentParser:
    """Return the parser, which tells what is wrong with the arguments as every other error is told."""

    def refuse(message: str) -> NoReturn:
        raise UsageError(message, advice=f"{name} --help")

    parser.error = refuse  # type: ignore[method-assign]
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; without ``argv`` the process is the command, and dumps no core."""
    ensure_streams()
    if argv is None:
        ensure_no_core_dumps()
    delay_imports()
    gc.set_threshold(_COLLECTED_AFTER)
    try:
        return LmflowApp().run(list(sys.argv[1:] if argv is None else argv))
    finally:
        drop_output()
