"""The one function that says what became of a migration, and what may follow."""

from __future__ import annotations

from lmflow.verdict.evidence import Evidence
from lmflow.verdict.features import find_odd, read_features
from lmflow.verdict.kinds import Verdict
from lmflow.verdict.table import TABLE, Row


def decide(seen: Evidence, table: tuple[Row, ...] = TABLE) -> Verdict:
    """Weigh the evidence: the first row of the table that fits is the verdict.

    Pure and total: every combination has a verdict, and none starts or stops a VM. The table is ``TABLE``, and the page
    ``doc/source/verdicts.md`` is made from it.
    """
    features = read_features(seen)
    row = next(row for row in table if row.fits(features))
    return Verdict(row.kind, row.because.format_map(_make_words(seen)), row.by, row.name)


def _make_words(seen: Evidence) -> dict[str, str]:
    """Return what the reasons of the table are completed with."""
    task = seen.task
    word = "" if task is None else task.error.code if task.error else task.status
    return {
        "state": seen.power_state or "no longer in the pool",
        "place": _say_place(seen),
        "progress": "" if task is None else f"{task.progress:.0%}",
        "status": "" if task is None else task.status,
        "word": word,
        "lost": f"the task ended: {word}" if task else "the task is gone or was never seen",
        "odd": find_odd(seen),
    }


def _say_place(seen: Evidence) -> str:
    if seen.runs_on(seen.source_uuid):
        return "Running on the source"
    if seen.runs_on(seen.destination_uuid):
        return "Running on the destination"
    if seen.power_state == "Running" and seen.resident_on_uuid:
        return "Running on a third host"
    return seen.power_state or "no longer in the pool"
