"""What is shown while a run goes on."""

import io
import os
import signal

import pytest

from lmflow.cli.exits import Exit
from lmflow.cli.printer import Printer
from lmflow.cli.progress import Following, PlainDisplay, TerminalDisplay, _Guarded
from lmflow.models import Notice, RunState
from tests.support.answers import make_outcome


class Clock:
    """A clock that is set by the test."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def plain(stream: io.StringIO, clock: Clock) -> PlainDisplay:
    return PlainDisplay(Printer(stream), clock)


def atom(name: str, state: str) -> Notice:
    return Notice("atom", f"{name} {state}", atom=name, state=state)


def test_an_atom_is_one_line_when_it_ends(plain: PlainDisplay, stream: io.StringIO, clock: Clock) -> None:
    plain.show(atom("connect_storage", "RUNNING"))
    assert not stream.getvalue()
    clock.now += 1.26
    plain.show(atom("connect_storage", "SUCCESS"))
    assert stream.getvalue() == "  ok     connect_storage            1.3 s\n"


def test_an_atom_begun_by_another_process_has_no_duration(plain: PlainDisplay, stream: io.StringIO) -> None:
    plain.show(atom("await_pool_migrate", "SUCCESS"))
    assert stream.getvalue() == "  ok     await_pool_migrate\n"


def test_progress_is_a_line_each_ten_seconds(plain: PlainDisplay, stream: io.StringIO, clock: Clock) -> None:
    for second in range(31):
        clock.now = 100.0 + second
        plain.show(Notice("progress", f"pool_migrate {second}%", progress=second / 100))
    assert stream.getvalue().split("\n") == [f"  ..     pool_migrate {n}%" for n in (10, 20, 30)] + [""]


def test_a_check_that_says_no_has_not_failed(plain: PlainDisplay, stream: io.StringIO) -> None:
    plain.show(atom("validate_sr", "FAILURE"))
    plain.show(atom("validate_sr", "REVERTED"))
    plain.show(atom("connect_storage", "REVERTED"))
    assert [line.split() for line in stream.getvalue().splitlines()] == [
        ["NO", "validate_sr"],
        ["undone", "connect_storage"],
    ]


def test_evidence_that_differs_in_numbers_only_is_told_once(plain: PlainDisplay, stream: io.StringIO) -> None:
    for text in ("the task is still migrating (9%)", "the task is still migrating (18%)", "the task succeeded"):
        plain.show(Notice("evidence", text))
    assert stream.getvalue() == "  the task is still migrating (9%)\n  the task succeeded\n"


def test_a_terminal_gets_lines_and_a_bar(clock: Clock) -> None:
    stream = io.StringIO()
    display = TerminalDisplay(Printer(stream), clock)
    display.show(atom("await_pool_migrate", "RUNNING"))
    display.show(Notice("progress", "pool_migrate 43%", progress=0.43))
    display.show(Notice("message", "a [bold]name[/bold] is not markup"))
    display.show(atom("await_pool_migrate", "SUCCESS"))
    display.close()
    assert "a [bold]name[/bold] is not markup" in stream.getvalue()
    assert "await_pool_migrate" in stream.getvalue()


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, Exit.SIGINT, "ctrl-C"), (signal.SIGTERM, Exit.INTERRUPTED, "told to stop")],
)
def test_what_made_lmflow_let_go_is_told_apart(stream: io.StringIO, number: int, code: Exit, word: str) -> None:
    reader, writer = os.pipe2(os.O_NONBLOCK)
    os.write(writer, bytes([signal.SIGWINCH, number]))
    following = Following(None, Printer(stream, quiet=True), reader)  # type: ignore[arg-type]
    detached = make_outcome(RunState.SUSPENDED, reason="detached")
    assert [following.judge(detached) for _ in range(2)] == [code] * 2, "of several runs, too"
    assert stream.getvalue().startswith(f"{word}: lmflow let go of run a1c9f00d.")
    assert following.judge(make_outcome(RunState.SUCCESS)) is Exit.DONE
    os.close(reader)
    os.close(writer)


class Breaking:
    """A display on a terminal that has gone away."""

    shown = 0

    def show(self, notice: Notice) -> None:
        """Fail as a write to a terminal that was closed."""
        self.shown += 1
        raise OSError(5, "Input/output error")

    def close(self) -> None:
        """Never reached."""
        raise AssertionError("a display that broke is not used again")


def test_a_display_that_breaks_never_breaks_the_run() -> None:
    display = Breaking()
    guarded = _Guarded(display)
    guarded.notify(Notice("run", "run a1c9", run_uuid="a1c9"))
    guarded.notify(Notice("message", "more"))
    guarded.close()
    assert display.shown == 1
    assert guarded.run_uuid == "a1c9"
