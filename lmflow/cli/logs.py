"""Log records of the command: lines for people, or one JSON object a line. Only the command sets up handlers."""

from __future__ import annotations

import argparse
import datetime
import json
import logging
from collections.abc import Callable
from typing import TextIO

from lmflow.cli.printer import escape, mask
from lmflow.exceptions import UsageError

FORMATS = ("text", "json")
# Its records are for the log file: the printer tells a terminal the same.
TOLD = "lmflow.cli.told"
_NEVER = logging.CRITICAL + 1


class TextFormatter(logging.Formatter):
    """``HH:MM:SS level message``, one line; ``names`` adds the logger, ``debug`` the traceback."""

    def __init__(self, *, names: bool = False, debug: bool = False) -> None:
        super().__init__()
        self._names = names
        self._debug = debug

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text, masked and without control characters."""
        at = self.formatTime(record, "%H:%M:%S")
        name = f"{record.name}: " if self._names else ""
        # A message of TaskFlow holds the traceback of an atom in its further lines.
        message = record.getMessage() if self._debug else record.getMessage().partition("\n")[0]
        lines = [f"{at} {record.levelname.lower()} {name}{message}"]
        if self._debug and record.exc_info:
            lines.append(self.formatException(record.exc_info))
        return escape(mask("\n".join(lines)), keep="\n\t")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (ISO 8601, UTC), level, logger, message, run_uuid, exception."""

    def __init__(self, *, debug: bool = False) -> None:
        super().__init__()
        self._debug = debug

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON; ``run_uuid`` only when ``extra`` gave it, ``exception`` only when debugging."""
        at = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        told = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        run_uuid = getattr(record, "run_uuid", "")
        if run_uuid:
            told["run_uuid"] = str(run_uuid)
        if self._debug and record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps({key: mask(value) for key, value in told.items()})


class _Threshold(logging.Filter):
    """Lets records pass from one level on when they are lmflow's, from another when they are not."""

    def __init__(self, ours: int, theirs: int, *, without: str = "") -> None:
        super().__init__()
        self.ours = ours
        self.theirs = theirs
        self._without = without

    def filter(self, record: logging.LogRecord) -> bool:
        ours = record.name == "lmflow" or record.name.startswith("lmflow.")
        return record.levelno >= (self.ours if ours else self.theirs) and record.name != self._without


class _LogFile(logging.FileHandler):
    """A log file that says once that it cannot be written, and never disturbs the command."""

    def __init__(self, path: str, tell: Callable[[str], None]) -> None:
        super().__init__(path, encoding="utf-8", errors="backslashreplace")
        self._tell = tell

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging calls it so
        """Tell, and log nothing more."""
        self.setLevel(_NEVER)
        self._tell(f"lmflow: the log file {self.baseFilename} cannot be written; nothing more is logged")

    def close(self) -> None:
        """Close the file, also when what it still holds cannot be written."""
        try:
            super().close()
        except OSError:
            self.stream = None


class Logging:
    """The handlers of one command, on the root logger until ``close``."""

    def __init__(self) -> None:
        self._root = logging.getLogger()
        self._lmflow = logging.getLogger("lmflow")
        self._handlers: list[logging.Handler] = []
        self._before = (self._root.level, self._lmflow.level, logging.raiseExceptions)

    def open(self, options: argparse.Namespace, stream: TextIO | None, tell: Callable[[str], None]) -> None:
        """Send records to ``stream`` and the log file as the options say; UsageError when the file cannot be opened."""
        verbose = 3 if options.debug else options.verbose_level
        thresholds = []
        if options.log_file:
            thresholds.append(_Threshold(*(2 * [logging.DEBUG] if options.debug else [logging.INFO, logging.WARNING])))
            self._add(_open_file(options.log_file, tell), thresholds[-1], _choose_formatter(options, names=True))
        if stream is not None:
            ours = {0: logging.ERROR, 1: logging.WARNING, 2: logging.INFO}.get(verbose, logging.DEBUG)
            # TaskFlow warns, with the whole failure, of each atom that fails: that is our outcome to tell.
            theirs = {0: _NEVER, 1: _NEVER, 2: logging.WARNING}.get(verbose, logging.DEBUG)
            thresholds.append(_Threshold(ours, theirs, without=TOLD))
            self._add(logging.StreamHandler(stream), thresholds[-1], _choose_formatter(options, names=verbose > 1))
        # As high as can be: SQLAlchemy writes each statement out when anybody might listen.
        self._root.setLevel(min((t.theirs for t in thresholds), default=_NEVER))
        self._lmflow.setLevel(min((t.ours for t in thresholds), default=_NEVER))
        # A handler whose stream is gone would print a traceback for each record.
        logging.raiseExceptions = bool(options.debug)

    def _add(self, handler: logging.Handler, threshold: logging.Filter, formatter: logging.Formatter) -> None:
        handler.addFilter(threshold)
        handler.setFormatter(formatter)
        self._handlers.append(handler)
        self._root.addHandler(handler)

    def close(self) -> None:
        """Take the handlers away again and leave everything as it was found."""
        for handler in self._handlers:
            self._root.removeHandler(handler)
            handler.close()
        self._handlers.clear()
        root, lmflow, logging.raiseExceptions = self._before
        self._root.setLevel(root)
        self._lmflow.setLevel(lmflow)


def _open_file(path: str, tell: Callable[[str], None]) -> logging.Handler:
    try:
        return _LogFile(path, tell)
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", "") or str(error)
        raise UsageError(f"the log file {path} cannot be written: {cause}", advice="another --log-file") from None


def _choose_formatter(options: argparse.Namespace, *, names: bool) -> logging.Formatter:
    if options.log_format == "json":
        return JsonFormatter(debug=options.debug)
    return TextFormatter(names=names, debug=options.debug)
