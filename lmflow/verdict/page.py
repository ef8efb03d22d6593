"""The table of verdicts as a page of the documentation.

``doc/source/verdicts.md`` is this page. To write it anew:

    python -c "import pathlib; from lmflow.verdict import page; pathlib.Path('doc/source/verdicts.md').write_text(
    page.render(), encoding='utf-8')"
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from lmflow.verdict.features import FEATURES
from lmflow.verdict.kinds import VerdictKind
from lmflow.verdict.table import TABLE, Row

_HEAD = """\
# Verdicts

One function decides what became of a migration, from what lmflow wrote and what the pool says now. This page is made
from its table. The rows are tried from the first on, and the first that fits is the verdict; a row may rely on those
above it not having fitted. `lmflow why RUN` shows the evidence, the verdict and one command; `lmflow resume RUN --plan`
shows what would happen.

The laws that the rows rest on:

1. *Ask the pool, and weigh the answer.* A failure, a lost task, our own records prove nothing. XAPI's view settles only
   where nothing was sent; or where the task ended in success, was cancelled, or was refused by a check that XAPI makes
   before anything begins; or where the VM is shown on a destination whose toolstack did not restart. Otherwise the
   *witness* settles, once the pool has settled: the xenopsd of source and destination, asked read-only.
2. *Never two migrations.* Sent again is only what never began, behind the fence.
3. *Undo only what we did*, and never while the VM may be on the destination.
4. *Point of no return.* Once it ran on the destination the way is forward.
5. *Unknown is not a way out.* It comes only where evidence cannot settle; then a person decides.

The function is pure. The tests show that there is a verdict for whatever is seen, that no row is dead, and that these
laws hold in every row: they are written down a second time there, over the evidence alone.

"""

FOLLOWS: Final[Mapping[VerdictKind, str]] = {
    VerdictKind.CONCLUDE: "the way is forward: the VM is verified on the destination and what remains is done there",
    VerdictKind.ROLL_BACK: "what was prepared is undone, the last first, and the run ends",
    VerdictKind.REDO: "it is submitted, behind the fence: the session of the former owner is ended first",
    VerdictKind.RE_ATTACH: "it is watched to its end; nothing is sent",
    VerdictKind.WAIT: "it is looked at again; nothing is sent, nothing is undone",
    VerdictKind.ASK: "the witness is asked at once, and the table is gone through again",
    VerdictKind.UNKNOWN: "nothing is touched: a person looks at both hosts and decides (`lmflow resolve`)",
}
"""What lmflow does next."""

_BY = {
    "xapi": "XAPI's own view",
    "task": "the task's record",
    "later": "the task's record, with something that came after it",
    "record": "what lmflow has stored",
    "witness": "the witness; it has to say so twice, some seconds apart",
}


def render() -> str:
    """Return the page in Markdown."""
    return "\n".join((_HEAD, *_render_overview(), *(line for row in TABLE for line in _render_row(row)), *_explain()))


def say_kind(kind: VerdictKind) -> str:
    """Return the name of a verdict as people read it."""
    return kind.value.upper().replace("_", "-")


def _render_overview() -> Iterator[str]:
    yield "| # | row | verdict |"
    yield "|---|---|---|"
    yield from (f"| {n} | [{row.name}](#{row.name}) | {say_kind(row.kind)} |" for n, row in enumerate(TABLE, 1))
    yield "\nWhat follows:\n"
    yield from (f"- {say_kind(kind)}: {text}." for kind, text in FOLLOWS.items())
    yield ""


def _render_row(row: Row) -> Iterator[str]:
    yield f"## {row.name}\n"
    yield from (f"- `{name}` is {_say_values(name, values)}" for name, values in row.when.items())
    yield f"\n**{say_kind(row.kind)}**: “{_say_template(row.because)}”.\n"
    settled = f" Settled by {_BY[row.by]}." if row.by else ""
    yield f"Follows: {FOLLOWS[row.kind]}.{settled} Rests on {row.rests_on}.\n"


def _say_values(name: str, values: frozenset[str]) -> str:
    """Return the values in the order in which they are explained, or what they are not, if that is shorter."""
    known = list(FEATURES[name].values)
    missing = [value for value in known if value not in values]
    if len(missing) < len(values):
        return "not " + " nor ".join(f"`{value}`" for value in missing)
    return " or ".join(f"`{value}`" for value in known if value in values)


def _say_template(text: str) -> str:
    return text.replace("{", "*").replace("}", "*")


def _explain() -> Iterator[str]:
    yield "## What is asked of the evidence\n"
    for name, feature in FEATURES.items():
        yield f"`{name}`: {feature.asks}\n"
        yield from (f"- `{value}`: {text}" for value, text in feature.values.items())
        yield ""
