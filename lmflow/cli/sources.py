"""The rules that a migration is judged by, and where each comes from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lmflow.cli.formatters import Nested
from lmflow.cli.sentences import wrap

if TYPE_CHECKING:
    from lmflow.checks import RuleSource

SOURCE_COLUMNS = ("rule", "group", "order", "codes", "source", "distribution", "state", "error")


def make_source_rows(sources: Sequence[RuleSource]) -> Iterator[tuple[Any, ...]]:
    """Yield each rule under ``SOURCE_COLUMNS``, in the order in which they are asked."""
    for each in sources:
        yield (
            each.name, each.group, each.order, Nested(list(each.codes), " ".join(each.codes)), each.source,
            each.distribution, each.state, each.error,
        )  # fmt: skip


def tell_sources(sources: Sequence[RuleSource]) -> Iterator[str]:
    """Yield how many there are, then two lines a rule, and what is wrong with one that cannot be asked."""
    states = [each.state for each in sources]
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("on", "off", "failed") if state in states)
    yield f"{len(sources)} rules: {counts}"
    for each in sources:
        yield f"  {each.state:<6} {each.name:<17} {each.source} ({each.distribution})"
        for text in filter(None, (", ".join(each.codes), each.error)):
            yield from wrap("", text)
