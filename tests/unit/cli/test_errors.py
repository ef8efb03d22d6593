"""Errors as people read them, and streams that have gone away."""

import io
import pathlib

import pytest

from lmflow import exceptions
from lmflow.cli.errors import explain_error, make_line, report_error
from lmflow.cli.printer import Printer, mask
from lmflow.models import Finding


class BrokenStream(io.StringIO):
    """A stream whose reader has gone away."""

    def write(self, text: str) -> int:
        """Fail as a broken pipe does."""
        raise BrokenPipeError(32, "Broken pipe")


@pytest.fixture
def stream(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return io.StringIO()


def tell(error: BaseException) -> str:
    return "\n".join(explain_error(error))


def test_an_unknown_name_comes_with_its_candidates() -> None:
    told = tell(exceptions.UsageError("no VM is called 'wep'", candidates=["web-01", "web-02"], advice="lmflow --help"))
    assert told.splitlines() == [
        "lmflow: no VM is called 'wep'",
        "  candidates: web-01, web-02",
        "  try: lmflow --help",
    ]


def test_long_candidates_stand_below_each_other() -> None:
    uuids = [f"web-0{number}  0df1d4c4-7a92-501f-b74a-9edebf43e34{number}" for number in range(3)]
    assert tell(exceptions.UsageError("ambiguous", candidates=uuids)).splitlines()[2:] == [f"    {u}" for u in uuids]


def test_a_refusal_gives_each_reason_with_code_and_remedy() -> None:
    finding = Finding("sr.reach", "VM_REQUIRES_SR", "disk on SR local, which xcp-c cannot reach " * 2, "move the disk")
    told = tell(exceptions.RefusedError("no", findings=[finding], state_now="Running on xcp-a"))
    assert "[VM_REQUIRES_SR]" in told
    assert "    move the disk" in told
    assert "the VM now: Running on xcp-a" in told
    assert max(map(len, told.splitlines())) <= 80


def test_a_failure_keeps_what_xapi_said() -> None:
    told = tell(exceptions.MigrationFailedError("it failed", xapi_code="HOST_DISABLED", xapi_params=["xcp-b"]))
    assert "XAPI says: HOST_DISABLED xcp-b" in told


def test_an_unreachable_pool_lists_what_was_tried() -> None:
    told = tell(exceptions.UnreachableError("nobody answers", tried=["192.0.2.1: refused", "192.0.2.2: time-out"]))
    assert "  tried: 192.0.2.1: refused\n  tried: 192.0.2.2: time-out" in told


def raised() -> ZeroDivisionError:
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError as error:
        return error
    raise AssertionError


def test_a_defect_shows_no_traceback_but_keeps_it(stream: io.StringIO, tmp_path: pathlib.Path) -> None:
    assert report_error(Printer(stream), raised(), debug=False) == 1
    (kept,) = (tmp_path / "lmflow").iterdir()
    assert "Traceback" not in stream.getvalue()
    assert str(kept) in stream.getvalue()
    assert "Traceback" in kept.read_text()


def test_debug_shows_the_traceback_and_keeps_nothing(stream: io.StringIO, tmp_path: pathlib.Path) -> None:
    report_error(Printer(stream), raised(), debug=True)
    assert "Traceback" in stream.getvalue()
    assert not list(tmp_path.iterdir())


def test_errors_are_told_even_when_quiet(stream: io.StringIO) -> None:
    printer = Printer(stream, quiet=True)
    printer.say("chatter")
    assert report_error(printer, exceptions.LockedError("locked by run a1c9"), debug=False) == 10
    assert stream.getvalue() == "lmflow: locked by run a1c9  [LOCKED]\n"


@pytest.mark.parametrize("stream", [None, BrokenStream()], ids=["closed", "broken"])
def test_a_stream_that_is_gone_costs_the_line_only(stream: io.StringIO | None) -> None:
    printer = Printer(stream)
    printer.say("one")
    printer.say("two")
    assert printer.stream is None
    assert printer.is_quiet
    assert not printer.is_terminal


def test_an_encoding_that_lacks_a_sign_costs_the_sign_only() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    Printer(stream).say("xcp-a → xcp-b")
    assert raw.getvalue() == b"xcp-a ? xcp-b\n"


def test_references_and_sessions_are_masked() -> None:
    told = mask("GET /services/xenops?session_id=OpaqueRef:12ab-34 failed for OpaqueRef:9f")
    assert "12ab" not in told
    assert "9f" not in told


def test_what_people_wrote_is_shown_escaped_and_in_one_line(stream: io.StringIO) -> None:
    wild = "\x1b[31mred\n\u202eevil\udcff שלום"
    assert report_error(Printer(stream), exceptions.UsageError(f"no VM is called {wild}"), debug=False) == 2
    assert stream.getvalue() == "lmflow: no VM is called \\x1b[31mred\\n\\u202eevil\\udcff שלום\n"


def test_what_is_very_long_is_cut_in_its_middle() -> None:
    line = make_line(f"no VM is called {'x' * 10_000} in pool lab")
    assert len(line) < 1100
    assert line.startswith("no VM is called xxx")
    assert "[... 9028 characters ...]" in line
    assert line.endswith("x in pool lab")


def test_a_secret_is_masked_before_a_line_is_cut() -> None:
    secret = "OpaqueRef:" + "ab" * 600
    assert make_line(secret) == "<masked>"


def test_of_many_candidates_the_first_are_shown() -> None:
    names = [f"a-rather-long-name-of-a-vm-{number:04}" for number in range(500)]
    told = tell(exceptions.UsageError("ambiguous", candidates=names)).splitlines()
    assert len(told) == 23
    assert told[-1] == "    and 480 more"


def test_a_defect_is_kept_in_the_configured_directory(stream: io.StringIO, tmp_path: pathlib.Path) -> None:
    wanted = tmp_path / "configured" / "deep"
    report_error(Printer(stream), raised(), debug=False, find_state_dir=lambda: wanted)
    (kept,) = wanted.iterdir()
    assert str(kept) in stream.getvalue()


def test_a_defect_that_cannot_be_kept_says_why(stream: io.StringIO, tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    assert report_error(Printer(stream), raised(), debug=False, find_state_dir=lambda: tmp_path / "file" / "x") == 1
    assert "could not be kept" in stream.getvalue()
    assert "Not a directory" in stream.getvalue()
    assert "Traceback" not in stream.getvalue()


def test_the_password_of_a_database_is_masked() -> None:
    assert mask("cannot reach postgresql://ann:sword@fish@db/lmflow?x=a@b") == (
        "cannot reach postgresql://<masked>@db/lmflow?x=a@b"
    )
    assert mask("http://192.0.2.1:80/a?b=c@d") == "http://192.0.2.1:80/a?b=c@d"
