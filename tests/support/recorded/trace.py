"""The recorded requests and replies of a real xapi, item by item."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from pathlib import Path
from typing import Any

TRACES = Path(__file__).parents[2] / "data" / "traces"
_METHOD = re.compile(r"<methodName>([^<]*)|\"method\": ?\"([^\"]*)")


@dataclasses.dataclass(frozen=True)
class Item:
    """One item of a trace: a request with its reply, or a note of what was watched."""

    topic: str
    index: int
    label: str
    data: dict[str, Any]

    @property
    def is_note(self) -> bool:
        return "request" not in self.data

    @property
    def note(self) -> dict[str, Any]:
        return dict(self.data["note"])

    @property
    def request(self) -> dict[str, Any]:
        return dict(self.data["request"])

    @property
    def body(self) -> str:
        return str(self.data["request"].get("body") or "")

    @property
    def response(self) -> dict[str, Any]:
        return dict(self.data["response"])

    @property
    def seconds(self) -> float:
        return float(self.data.get("seconds", 0.0))

    @property
    def method(self) -> str:
        """The call, or the HTTP method and path of what is none; the label of a note."""
        if self.is_note:
            return self.label
        found = _METHOD.search(self.body)
        if found is None:
            return f"{self.request['method']} {self.request['path']}"
        return found.group(1) or found.group(2)

    @property
    def name(self) -> str:
        """What a test of this item is called."""
        return f"{self.topic[:3].rstrip('_')}#{self.index} {self.label}"


@functools.cache
def load(topic: str) -> tuple[Item, ...]:
    """Read a trace by the name of its file without the suffix."""
    (path,) = TRACES.glob(f"{topic}*.json")
    data = json.loads(path.read_text(encoding="utf-8"))
    return tuple(Item(path.stem, i, str(item.get("label", i)), item) for i, item in enumerate(data["items"]))


def requests(topic: str) -> tuple[Item, ...]:
    """Give the items that are requests."""
    return tuple(item for item in load(topic) if not item.is_note)


def notes(topic: str) -> tuple[Item, ...]:
    """Give the items that are notes."""
    return tuple(item for item in load(topic) if item.is_note)
