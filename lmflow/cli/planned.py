"""What a resume would do: in sentences, as a row, as an exit code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lmflow.cli.exits import Exit
from lmflow.cli.formatters import Nested
from lmflow.cli.sentences import describe_move, fold, shorten

if TYPE_CHECKING:
    from lmflow.models import ResumePlan

PLAN_COLUMNS = (
    "run", "vm", "source", "destination", "state", "condition", "takes_over", "evidence", "verdict", "explanation",
    "steps", "refused", "exit_code", "advice",
)  # fmt: skip

_ORDER = ("skip", "re-attach", "redo", "run", "revert", "ask")
_OF_REFUSAL = {"locked": Exit.LOCKED, "misconfigured": Exit.USAGE, "unreachable": Exit.UNREACHABLE}


def get_plan_exit(plan: ResumePlan) -> Exit:
    """Return what `--plan` ends with: that it was told, that a person must decide, or why there would be no resume."""
    if plan.refused:
        return _OF_REFUSAL[plan.refused]
    return Exit.UNKNOWN if plan.verdict == "UNKNOWN" else Exit.DONE


def tell_plan(plan: ResumePlan) -> Iterator[str]:
    """Yield who owned the run, what the pool says now, the verdict, and what would be done."""
    run = plan.run
    yield f"run {shorten(run.uuid)}  {describe_move(run)}  {plan.condition.upper()}"
    if plan.takes_over:
        yield from fold("takes over", f"from {plan.takes_over}")
    for number, each in enumerate(plan.evidence):
        yield from fold("" if number else "evidence now", each)
    if plan.refused:
        yield from fold("would not", f"{plan.refused}: {plan.explanation}")
    else:
        yield from fold("verdict", f"{plan.verdict}: {plan.explanation}")
    if plan.steps:
        yield from fold("would", tell_steps(plan))
    if plan.advice:
        yield from fold("next", plan.advice)


def tell_steps(plan: ResumePlan) -> str:
    """Return ``skip 5 done, re-attach 1 (await_pool_migrate), run 2``."""
    counts = Counter(step.what for step in plan.steps)
    return ", ".join(_tell_kind(plan, what, counts[what]) for what in _ORDER if counts[what])


def _tell_kind(plan: ResumePlan, what: str, count: int) -> str:
    if what == "skip":
        return f"skip {count} done"
    names = [step.atom for step in plan.steps if step.what == what]
    return f"{what} {count}" + (f" ({names[0]})" if what in ("re-attach", "redo", "ask") else "")


def make_plan_row(plan: ResumePlan) -> tuple[Any, ...]:
    """Return a plan under ``PLAN_COLUMNS``."""
    run, request = plan.run, plan.run.request
    return (
        run.uuid, request.vm_name, request.source_name, request.destination_name, run.state.value, plan.condition,
        plan.takes_over, Nested(list(plan.evidence), "\n".join(plan.evidence)), plan.verdict, plan.explanation,
        Nested([step.to_json() for step in plan.steps], tell_steps(plan)), plan.refused, int(get_plan_exit(plan)),
        plan.advice,
    )  # fmt: skip
