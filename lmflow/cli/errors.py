"""An error as people read it: what, which VM and host, XAPI's code, why, the VM now, one command to try."""

from __future__ import annotations

import logging
import os
import textwrap
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lmflow import exceptions
from lmflow.cli.exits import Exit, get_exit
from lmflow.cli.logs import TOLD
from lmflow.cli.printer import Printer, escape, mask

if TYPE_CHECKING:
    from lmflow.models import Finding

LOG = logging.getLogger(TOLD)
# Wrong global options are told before there is a log; logging would print the record itself.
LOG.addHandler(logging.NullHandler())
WIDTH = 80
_LINE = 1000
_TAIL = 200
_CANDIDATES = 20


def explain_findings(findings: tuple[Finding, ...]) -> Iterator[str]:
    """Yield the reasons of a refusal, each with XAPI's code and its remedy."""
    for finding in findings:
        yield from _fold(f"  x {finding.rule}: ", f"{finding.message}  [{finding.code}]")
        if finding.remedy:
            yield from _fold("    ", finding.remedy)


def _fold(label: str, text: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=label, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )


def _list_candidates(candidates: tuple[str, ...]) -> Iterator[str]:
    on_one_line = "  candidates: " + ", ".join(candidates)
    if len(on_one_line) <= WIDTH:
        yield on_one_line
    else:
        yield "  candidates:"
        yield from (f"    {each}" for each in candidates[:_CANDIDATES])
        if len(candidates) > _CANDIDATES:
            yield f"    and {len(candidates) - _CANDIDATES} more"


def make_line(text: str) -> str:
    """Return any text as one line that is safe to print: masked, escaped, and cut in its middle when very long.

    What people or a pool wrote stands in errors: an argument of 10,000 characters, a name with control characters.
    """
    line = escape(mask(text), keep="")
    if len(line) <= _LINE:
        return line
    return f"{line[: _LINE - _TAIL]}[... {len(line) - _LINE} characters ...]{line[-_TAIL:]}"


def explain_error(error: BaseException) -> Iterator[str]:
    """Yield the lines that tell an error of ours, from what happened to what to do."""
    code = getattr(error, "code", "")
    first = str(error) or type(error).__name__
    yield f"lmflow: {first}" + (f"  [{code}]" if code and code not in ("USAGE",) else "")
    if isinstance(error, exceptions.UsageError) and error.candidates:
        yield from _list_candidates(error.candidates)
    if isinstance(error, exceptions.RefusedError):
        yield from explain_findings(error.findings)
    xapi_code = getattr(error, "xapi_code", "")
    if xapi_code and xapi_code not in first:
        yield f"  XAPI says: {' '.join((xapi_code, *getattr(error, 'xapi_params', ())))}"
    if isinstance(error, exceptions.UnreachableError):
        yield from (f"  tried: {each}" for each in error.tried if each.partition(": ")[2] not in first)
    state_now, advice = getattr(error, "state_now", ""), getattr(error, "advice", "")
    if state_now:
        yield f"  the VM now: {state_now}"
    if advice:
        yield f"  try: {advice}"


def report_error(
    printer: Printer, error: BaseException, *, debug: bool, find_state_dir: Callable[[], Path | None] | None = None
) -> Exit:
    """Print the error, log it, and return its exit code; a defect of ours leaves its traceback in a file.

    ``find_state_dir`` is asked only for a defect; without an answer the directory is the default one.
    """
    code = get_exit(error)
    if isinstance(error, KeyboardInterrupt):  # who was told to end has said how things stand
        return code
    LOG.error("%s (exit %d)", make_line(str(error) or type(error).__name__), code, exc_info=error if debug else None)
    if not isinstance(error, (exceptions.LmflowError, exceptions.LeaseLost, exceptions.FlowSuspended)):
        _report_defect(printer, error, debug=debug, find_state_dir=find_state_dir)
        return code
    if debug:
        printer.insist(_render_traceback(error))
    for line in explain_error(error):
        printer.insist(make_line(line))
    return code


def _render_traceback(error: BaseException) -> str:
    return mask("".join(traceback.format_exception(error)).rstrip())


def _report_defect(
    printer: Printer, error: BaseException, *, debug: bool, find_state_dir: Callable[[], Path | None] | None
) -> None:
    printer.insist(make_line(f"lmflow: internal error: {type(error).__name__}: {error}"))
    if debug:
        printer.insist(_render_traceback(error))
        return
    path, fault = _write_report(error, find_state_dir)
    if fault:
        printer.insist(make_line(f"  the traceback could not be kept ({fault}): --debug shows it"))
    else:
        printer.insist(f"  the traceback is in {path}; --debug shows it at once")
    printer.insist("  a run that had begun is safe in the database.  try: lmflow status")


def _write_report(error: BaseException, find_state_dir: Callable[[], Path | None] | None) -> tuple[Path | None, str]:
    """Return the file with the traceback, or why there is none."""
    try:
        base = (find_state_dir() if find_state_dir else None) or _get_default_dir()
        path = base / f"error-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}.log"
        base.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text(_render_traceback(error) + "\n", encoding="utf-8", errors="backslashreplace")
    except OSError as fault:
        return None, f"{fault.filename}: {fault.strerror}"
    except RuntimeError as fault:  # nobody has a home directory
        return None, str(fault)
    return path, ""


def _get_default_dir() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "lmflow"
