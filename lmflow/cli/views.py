"""XAPI's wrong view of a VM as people read it: what it shows, what the hosts say, the one step and its proof."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from lmflow.cli.formatters import Nested
from lmflow.models import WrongView

_HEADS = {
    "halted_but_running": "XAPI's view is wrong: it runs",
    "misplaced": "XAPI's view is wrong: it runs on another host",
    "ghost": "XAPI's view is wrong: it runs nowhere",
    "twice": "it runs on MORE THAN ONE host",
    "unlisted": "XAPI has lost it, and it runs",
    "unproved": "XAPI's view cannot be confirmed",
}


def tell_view(view: WrongView, fold: Callable[[str, str], Iterable[str]], indent: str = "") -> Iterator[str]:
    """Yield lines; ``fold`` puts a text beside its label."""
    yield from fold(f"{indent}view", f"{_HEADS[view.kind]}; {view.shown}; {'; '.join(view.witness)}")
    if view.step:
        yield from fold(f"{indent}mend", f"{view.step}  ({view.where})")
    yield from fold(f"{indent}safe" if view.step else f"{indent}no step", "; ".join(view.proof))
    if view.never:
        yield from fold(f"{indent}never", view.never)


def nest_view(view: WrongView | None) -> Nested:
    """Return a view for a cell: the whole of it in documents, the step or what it is in tables."""
    return Nested(view.to_json() if view else None, (view.step or _HEADS[view.kind]) if view else "")
