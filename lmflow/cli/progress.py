"""What happens, shown while it happens: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from lmflow.cli import logs
from lmflow.cli.door import Place
from lmflow.cli.ends import heeded_ends
from lmflow.cli.exits import Exit, Terminated, get_exit
from lmflow.cli.printer import Printer
from lmflow.models import Notice, Outcome

if TYPE_CHECKING:
    from lmflow.api import Client

LINE_SECONDS = 10.0
_TOLD = logging.getLogger(logs.TOLD)
_DIGITS = re.compile(r"\d+")
_READING = ("record_", "observe", "validate_")
_MARKS = {
    "SUCCESS": "ok",
    "FAILURE": "FAILED",
    "REVERTED": "undone",
    "REVERT_FAILURE": "NOT UNDONE",
    "IGNORE": "left out",
}


class Display(Protocol):
    """Shows notices; called from the threads that drive a run, one at a time."""

    def show(self, notice: Notice) -> None:
        """Show one notice."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class Teller:
    """Turns notices into lines: atoms with their durations, and nothing twice."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._begun: dict[str, float] = {}
        self._last_evidence = ""

    def make_line(self, notice: Notice) -> str:
        """Return a notice as a line, '' when there is nothing new to say (an atom begins, a number has grown)."""
        if notice.kind == "atom":
            return self._make_atom_line(notice)
        if notice.kind == "evidence":
            shape = _DIGITS.sub("", notice.text)
            if shape == self._last_evidence:
                return ""
            self._last_evidence = shape
        return notice.text if notice.kind == "run" or not notice.text else f"  {notice.text}"

    def _make_atom_line(self, notice: Notice) -> str:
        mark = _MARKS.get(notice.state)
        if mark is None:
            self._begun[notice.atom] = self._clock()
            return ""
        begun = self._begun.pop(notice.atom, None)
        if notice.atom.startswith(_READING):
            # A check that fails has worked, and there is nothing of it to undo.
            mark = {"FAILED": "NO", "undone": ""}.get(mark, mark)
        # An atom that another process began has no duration that we could tell.
        took = "" if begun is None else f" {self._clock() - begun:5.1f} s"
        return f"  {mark:<6} {notice.atom:<24}{took}".rstrip() if mark else ""


class PlainDisplay:
    """A line for each atom that ended, and for progress one each ten seconds."""

    def __init__(self, printer: Printer, clock: Callable[[], float] = time.monotonic) -> None:
        self._printer = printer
        self._clock = clock
        self._teller = Teller(clock)
        self._last_progress = clock()

    def show(self, notice: Notice) -> None:
        """Print the notice, or let it pass."""
        if notice.kind == "progress":
            if self._clock() - self._last_progress >= LINE_SECONDS:
                self._last_progress = self._clock()
                self._printer.say(f"  ..     {notice.text}")
            return
        line = self._teller.make_line(notice)
        if line:
            self._printer.say(line)

    def close(self) -> None:
        """Do nothing: lines are complete."""


class TerminalDisplay:
    """The same lines above a bar that moves."""

    def __init__(self, printer: Printer, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.console import Console  # noqa: PLC0415 - heavy, and only for terminals
        from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn  # noqa: PLC0415

        self._teller = Teller(clock)
        columns = (
            TextColumn("  .. {task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:3.0f} %"),
            TimeElapsedColumn(),
        )
        console = Console(file=printer.stream, highlight=False)
        self._bar = Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
        self._task: TaskID | None = None
        self._bar.start()

    def show(self, notice: Notice) -> None:
        """Print above the bar, or move the bar; progress may go back, as XAPI's does."""
        if notice.kind == "progress" and notice.progress is not None:
            if self._task is None:
                self._task = self._bar.add_task("pool_migrate", total=1.0)
            self._bar.update(self._task, completed=notice.progress)
            return
        if notice.kind == "atom" and notice.state != "RUNNING" and self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
        line = self._teller.make_line(notice)
        if line:
            self._bar.console.print(line, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Remove the bar."""
        self._bar.stop()


class _Guarded:
    """Keeps a display from ever ending a run: what cannot be shown is not shown, and nothing more is tried."""

    def __init__(self, display: Display | None) -> None:
        self._display = display
        self._lock = threading.Lock()
        self.run_uuid = ""

    def notify(self, notice: Notice) -> None:
        """Pass a notice on, and to the log file."""
        self.run_uuid = notice.run_uuid or self.run_uuid
        if notice.kind != "progress":
            _TOLD.info("%s", notice.text, extra={"run_uuid": notice.run_uuid})
        self._try(lambda display: display.show(notice))

    def close(self) -> None:
        """Close the display; later notices are dropped."""
        self._try(lambda display: display.close())
        self._display = None

    def _try(self, work: Callable[[Display], None]) -> None:
        with self._lock:
            if self._display is not None:
                try:
                    work(self._display)
                except (OSError, ValueError):
                    # The terminal went away (EIO, a closed file).
                    self._display = None


@dataclasses.dataclass
class Following:
    """A client whose notices are shown, and what was seen of signals meanwhile."""

    client: Client
    printer: Printer
    signals: int
    seen: set[int] = dataclasses.field(default_factory=set)
    close: Callable[[], None] = lambda: None

    def judge(self, outcome: Outcome) -> Exit:
        """Return the exit code of an outcome; when a signal made lmflow let go, say what goes on and what to do."""
        if outcome.reason != "detached":
            return get_exit(outcome)
        self.close()  # the bar, on whose line the words would stand
        short, by_hand = outcome.run.uuid[:8], self._saw(signal.SIGINT)
        self.printer.insist(
            f"{'ctrl-C' if by_hand else 'told to stop'}: lmflow let go of run {short}."
            "  What the pool has begun goes on."
        )
        self.printer.insist(f"  the run is resumable.  try: lmflow resume {short}")
        return Exit.SIGINT if by_hand else Exit.INTERRUPTED

    def _saw(self, number: int) -> bool:
        with contextlib.suppress(BlockingIOError):
            self.seen.update(os.read(self.signals, 4096))
        return number in self.seen


@contextlib.contextmanager
def follow(
    printer: Printer, place: Place, *, on_interrupt: str = "", left: str = "no run had begun, nothing was sent"
) -> Iterator[Following]:
    """Open a client on the place and show what it tells; ctrl-C is passed on with a word on what goes on.

    ``on_interrupt`` goes before the configured choice of what a first signal does; ``left`` says how things stand when
    a ctrl-C comes while no run is driven from here.
    """
    place = dataclasses.replace(place, on_interrupt=on_interrupt or place.on_interrupt)
    display = _Guarded(_make_display(printer))
    try:
        with _noted_signals() as signals, heeded_ends(), place.open_client(display.notify) as client:
            try:
                yield Following(client, printer, signals, close=display.close)
            finally:
                display.close()
    except KeyboardInterrupt as error:
        display.close()
        _explain_interrupt(
            printer, "told to stop" if isinstance(error, Terminated) else "ctrl-C", display.run_uuid, left
        )
        raise


def _make_display(printer: Printer) -> Display | None:
    if printer.is_quiet:
        return None
    return TerminalDisplay(printer) if printer.is_terminal else PlainDisplay(printer)


@contextlib.contextmanager
def _noted_signals() -> Iterator[int]:
    """Yield a descriptor from which the numbers of signals can be read, whoever handles them."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(before)
        os.close(writer)
        os.close(reader)


def _explain_interrupt(printer: Printer, word: str, run_uuid: str, left: str) -> None:
    if run_uuid:
        printer.insist(f"{word}: run {run_uuid[:8]} is left as it stands.  What the pool has begun goes on.")
        printer.insist(f"  the run is resumable.  try: lmflow resume {run_uuid[:8]}")
    else:
        printer.insist(f"{word}: {left}.")
