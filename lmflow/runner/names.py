"""From what people type to one record: a UUID, a name, or a unique beginning of either."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from lmflow.exceptions import UsageError


class Named(Protocol):
    """What has an identity and a name for people."""

    @property
    def uuid(self) -> str:
        """Return the permanent identity."""
        ...

    @property
    def name_label(self) -> str:
        """Return the name, which need not be unique."""
        ...


N = TypeVar("N", bound=Named)

_MAX_CANDIDATES = 20


def find_matches(text: str, items: Sequence[N]) -> tuple[N, ...]:
    """Return what the text can mean: the UUID, else the exact name, else everything that begins so."""
    exact = tuple(i for i in items if i.uuid == text) or tuple(i for i in items if i.name_label == text)
    return exact or tuple(i for i in items if i.uuid.startswith(text) or i.name_label.startswith(text))


def get_match(text: str, items: Sequence[N], *, what: str) -> N:
    """Return the one record that the text means; UsageError with candidates when it is none or several."""
    found = find_matches(text, items)
    if len(found) == 1:
        return found[0]
    if found:
        names = [f"{item.name_label}  {item.uuid}" for item in found[:_MAX_CANDIDATES]]
        raise UsageError(f"{what} {text!r} is ambiguous: {len(found)} match", candidates=names, advice="give the UUID")
    names = sorted(item.name_label for item in items)
    close = [n for n in names if text.lower() in n.lower() or n.lower() in text.lower()] or names
    raise UsageError(f"no {what} is called {text!r} in this pool", candidates=close[:_MAX_CANDIDATES])
