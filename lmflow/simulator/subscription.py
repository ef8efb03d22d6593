"""What a session wants to hear of: ``*``, ``class`` or ``class/reference``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lmflow.simulator.database.schema import ObjectClass, Schema

_SILENT = frozenset({"user", "secret", "role"})
"""Classes that nobody is told of, beside sessions: a real pool has objects of them and gave no event of any."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """Classes subscribed to as a whole, and single objects by (class, reference)."""

    classes: frozenset[str]
    objects: frozenset[tuple[str, str]]

    @property
    def involved(self) -> frozenset[str]:
        """Every class that may give an event."""
        return self.classes | {cls for cls, _ in self.objects}

    def wants(self, cls: str, ref: str) -> bool:
        """Tell whether an object is subscribed to."""
        return cls in self.classes or (cls, ref) in self.objects


def class_names(schema: Schema) -> dict[str, str]:
    """Give the classes that have events in the model's order: lower-case name -> name."""
    return {item.name.lower(): item.name for item in schema.classes.values() if _has_events(item)}


def _has_events(item: ObjectClass) -> bool:
    return item.has_events and item.name not in _SILENT


def read_texts(names: Mapping[str, str], texts: list[str]) -> Subscription:
    """Read what a client asks for; a class that is not among the names gives nothing, and is no error."""
    classes: set[str] = set()
    objects: set[tuple[str, str]] = set()
    for text in texts:
        name, slash, ref = text.partition("/")
        known = names.get(name.lower())
        if text == "*":
            classes.update(names.values())
        elif known is not None and slash:
            objects.add((known, ref))
        elif known is not None:
            classes.add(known)
    return Subscription(frozenset(classes), frozenset(objects))
