"""From what people type to one record: a UUID, a name, or a unique beginning of either."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from lmflow.exceptions import UnknownUUIDError, UsageError


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

_UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")
_MAX_CANDIDATES = 20
_MAX_SHOWN = 60


def show_name(text: str, limit: int = _MAX_SHOWN) -> str:
    """Return a name as a message can hold it: what does not print is escaped, and what is long is cut."""
    kept = text if len(text) <= limit else f"{text[: limit - 3]}..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in kept)


def find_matches(text: str, items: Sequence[N]) -> tuple[N, ...]:
    """Return what the text can mean: the UUID, else the exact name, else all that begins so. '' means nothing."""
    if not text.strip():
        return ()
    exact = tuple(i for i in items if i.uuid == text) or tuple(i for i in items if i.name_label == text)
    return exact or tuple(i for i in items if i.uuid.startswith(text) or i.name_label.startswith(text))


Others = Mapping[str, Callable[[], Sequence[Named]]]


def get_match(text: str, items: Sequence[N], *, what: str, others: Others | None = None) -> N:
    """Return the one record that the text means; UsageError with candidates when it is none or several.

    UnknownUUIDError, which is a refusal too, for a whole UUID that means nothing here.
    ``others`` lists things of another kind, by kind; asked only for a text that means nothing here, to say what it is.
    """
    found = find_matches(text, items)
    if len(found) == 1:
        return found[0]
    if not text.strip():
        raise UsageError(f"the name of the {what} is empty", candidates=_list_names(text, items))
    shown = f"'{show_name(text)}'"
    if found:
        names = [f"{show_name(item.name_label)}  {item.uuid}" for item in found[:_MAX_CANDIDATES]]
        raise UsageError(f"{what} {shown} is ambiguous: {len(found)} match", candidates=names, advice="give the UUID")
    for kind, list_them in (others or {}).items():
        if any(text in (thing.uuid, thing.name_label) for thing in list_them()):
            raise UsageError(f"{shown} is a {kind}, not a {what}", candidates=_list_names("", items))
    if _UUID.fullmatch(text):
        raise UnknownUUIDError(f"no {what} of this pool has the UUID {text}", candidates=_list_names("", items))
    raise UsageError(f"no {what} is called {shown} in this pool", candidates=_list_names(text, items))


def _list_names(text: str, items: Sequence[Named]) -> list[str]:
    """Return names that resemble the text, or else any."""
    names = sorted({item.name_label for item in items})
    low = text.lower()
    close = [n for n in names if n and (low in n.lower() or n.lower() in low)]
    return [show_name(name) for name in (close or names)[:_MAX_CANDIDATES]]
