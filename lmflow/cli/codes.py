"""Which command ends with which exit code, and when: for the help, for the documentation, for the tests.

``doc/source/exit-codes.md`` is made from this. To write it anew:

    python -c "import pathlib; from lmflow.cli import codes; pathlib.Path('doc/source/exit-codes.md').write_text(
    codes.render(), encoding='utf-8')"
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from lmflow.cli.errors import WIDTH
from lmflow.cli.exits import Exit

_HEAD = """\
# Exit codes of every command

This page is made from `lmflow/cli/codes.py`; `lmflow COMMAND --help` shows the same, and a test produces each code of
each command. What a code says, and what to do then, is in [the codes](errors.md): `lmflow explain 4`.

A process that is killed by a signal has no exit code of its own; a shell shows 128 and the number of the signal. The
run that it drove is resumable.
"""

_READS: Final = {
    Exit.INTERNAL: "a defect of lmflow, or the answer could not be written",
    Exit.USAGE: "a wrong option, name or configuration",
    Exit.SIGINT: "ctrl-C",
}
_READS_RUNS: Final = {
    **_READS,
    Exit.USAGE: "a wrong option or configuration; no run is called so",
    Exit.UNREACHABLE: "the database does not answer",
}
_TOLD_TO_STOP: Final = "SIGTERM or SIGHUP: ended before its answer"
_DRIVES: Final = {
    Exit.INTERNAL: "a defect of lmflow; an answer that could not be written does not count, see the run",
    Exit.INTERRUPTED: "SIGTERM, SIGHUP or the deadline: let go of, resumable",
    Exit.UNREACHABLE: "the pool, or the database, does not answer or let us in",
    Exit.SIGINT: "ctrl-C; it says whether a run goes on",
}
_MIGRATES: Final = {
    **_DRIVES,
    Exit.REFUSED: "refused by a check, nothing was changed",
    Exit.FAILED: "failed or cancelled; the VM is verified not to be on the destination, what was ours is undone",
    Exit.UNKNOWN: "evidence does not settle where the VM runs: a person must decide",
    Exit.DIRTY: "as 4, but something of ours is left: lmflow repair",
}

_OF_COMMANDS: Final[Mapping[str, Mapping[Exit, str]]] = {
    "cancel": {
        **_DRIVES,
        Exit.DONE: "cancelled, or it had been",
        Exit.USAGE: "a wrong option or configuration; no run is called so",
        Exit.REFUSED: "too late, or not now: the run goes on; or it had succeeded, or been refused",
        Exit.FAILED: "too late: the run had failed by itself",
        Exit.INTERRUPTED: "it took an interrupted run up, and SIGTERM or SIGHUP made it let go; the request stands",
        Exit.UNKNOWN: "not now: where the VM runs is unknown",
        Exit.GOES_ON: "no answer within --timeout; the request stands",
        Exit.DIRTY: "cancelled or failed, and something of ours is left: lmflow repair",
    },
    "check": {
        **_READS,
        Exit.DONE: "yes, for every VM asked for",
        Exit.REFUSED: "no, for at least one",
        Exit.INTERRUPTED: _TOLD_TO_STOP,
        Exit.UNREACHABLE: "the pool, or the database, does not answer or let us in",
    },
    "complete": {**_READS, Exit.DONE: "printed", Exit.USAGE: "a wrong option, or no script for such a shell"},
    "config show": {**_READS, Exit.DONE: "shown", Exit.USAGE: "a wrong option, or a wrong configuration"},
    "db upgrade": {
        **_READS_RUNS,
        Exit.DONE: "it is at the version of this lmflow",
        Exit.INTERNAL: "a defect of lmflow",
        Exit.USAGE: "a wrong option or configuration; a database that cannot be upgraded",
    },
    "demo": {
        **_MIGRATES,
        Exit.DONE: "shown; with --crash: killed as promised; with --stop: it does not run any more",
        Exit.USAGE: "a wrong option, or no place to keep the demo's state",
        Exit.UNREACHABLE: "the demo pool, or its database, does not answer or let us in",
        Exit.LOCKED: "another run of the demo has the VM",
    },
    "explain": {**_READS, Exit.DONE: "explained", Exit.USAGE: "a wrong option; no code begins so, or several do"},
    "graph": {
        **_READS_RUNS,
        Exit.DONE: "drawn",
        Exit.USAGE: "a wrong option or configuration; no run is called so, or its records were pruned",
    },
    "migrate": {
        **_MIGRATES,
        Exit.DONE: "moved, or it was there already and nothing was sent",
        Exit.USAGE: "a wrong option, name or configuration; a request id that names another request",
        Exit.LOCKED: "another run has the VM, or another process took this run over",
    },
    "repair": {
        **_DRIVES,
        Exit.DONE: "nothing to repair: the run had succeeded",
        Exit.USAGE: "a wrong option or configuration; no such run, or one that has not ended",
        Exit.REFUSED: "nothing to repair: the run had been refused",
        Exit.FAILED: "repaired, or nothing to repair: the run had failed, and what was ours is undone",
        Exit.INTERRUPTED: "SIGTERM or SIGHUP: let go of, to be repaired again",
        Exit.LOCKED: "another process has the run",
        Exit.DIRTY: "something of ours is still left",
    },
    "resolve": {
        **_DRIVES,
        Exit.DONE: "decided that it runs on the destination, and brought to its end by that",
        Exit.USAGE: "a wrong option or configuration; no such run, one that has ended, a host that is not its",
        Exit.REFUSED: "refused: evidence can settle it, or a host says the opposite; nothing was recorded",
        Exit.FAILED: "decided that it does not run on the destination; what was ours is undone",
        Exit.LOCKED: "another process has the run",
        Exit.DIRTY: "as 4, but something of ours is left: lmflow repair",
    },
    "resume": {
        **_MIGRATES,
        Exit.DONE: "every run that was taken up is done, or there was none; with --plan: it is told what would be done",
        Exit.USAGE: "a wrong option or configuration; no such run, or a profile that leads to another pool",
        Exit.PARTLY: "of several runs some are done and some are not",
        Exit.LOCKED: "the run's owner lives, or another process took the run over",
    },
    "run list": {**_READS_RUNS, Exit.DONE: "listed", Exit.USAGE: "a wrong option or configuration"},
    "run prune": {
        **_READS_RUNS,
        Exit.DONE: "deleted; without --yes counted; or there was nothing to delete",
        Exit.USAGE: "a wrong option or configuration",
    },
    "run show": {**_READS_RUNS, Exit.DONE: "shown"},
    "run wait": {
        **_READS_RUNS,
        Exit.DONE: "the run has succeeded",
        Exit.REFUSED: "the run was refused",
        Exit.FAILED: "the run has failed or was cancelled",
        Exit.INTERRUPTED: "nobody drives the run any more: it is resumable",
        Exit.UNKNOWN: "the run needs a person's decision",
        Exit.GOES_ON: "it has not ended within --timeout",
        Exit.DIRTY: "the run has failed, and something of ours is left: lmflow repair",
    },
    "simulator": {
        **_READS,
        Exit.DONE: "served until SIGTERM, ctrl-C, the control channel or idleness ended it",
        Exit.INTERNAL: "a defect of lmflow",
        Exit.USAGE: "a wrong option, no such world, or an address or port that cannot be listened on",
        Exit.SIGINT: "ctrl-C before it listens",
    },
    "status": {
        **_READS_RUNS,
        Exit.DONE: "told, also where something needs a person: the headline says it",
        Exit.USAGE: "a wrong option or configuration",
        Exit.INTERRUPTED: _TOLD_TO_STOP,
        Exit.UNREACHABLE: "the pool of an open run, or the database, does not answer: what is true cannot be said",
    },
    "why": {
        **_READS_RUNS,
        Exit.DONE: "explained",
        Exit.INTERRUPTED: _TOLD_TO_STOP,
        Exit.UNREACHABLE: "the pool of an open run, or the database, does not answer: what is true cannot be said",
    },
}

CODES: Final = MappingProxyType({name: MappingProxyType(codes) for name, codes in _OF_COMMANDS.items()})
"""When a command, by its whole name, ends with which exit code."""


def tell_codes(command: str) -> Iterator[str]:
    """Yield a heading and each exit code of the command with when it comes; nothing for one that is not ours."""
    codes = CODES.get(command, MappingProxyType({}))
    if codes:
        yield "exit codes (lmflow explain CODE):"
    for code in sorted(codes):
        indent = " " * 7
        yield from textwrap.wrap(f"  {code:<5}{codes[code]}", WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def render() -> str:
    """Return the page of the documentation, in Markdown: commands by codes, then each command's own."""
    used = sorted({code for codes in CODES.values() for code in codes})
    rows = [
        f"| command | {' | '.join(str(int(code)) for code in used)} |",
        f"|---|{'---|' * len(used)}",
        *(
            f"| `{name}` | {' | '.join('x' if code in codes else '' for code in used)} |"
            for name, codes in CODES.items()
        ),
    ]
    return "\n".join((_HEAD, *rows, *(line for name in CODES for line in _render_command(name)))) + "\n"


def _render_command(name: str) -> Iterator[str]:
    yield f"\n## {name}\n"
    yield "| exit | when |"
    yield "|---|---|"
    yield from (f"| {int(code)} | {CODES[name][code]} |" for code in sorted(CODES[name]))
