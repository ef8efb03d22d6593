"""Which of our references, names and addresses stands for which recorded one, and where two trees differ."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.support.recorded.reading import Leaf, Tree

TOKEN = re.compile(
    r"OpaqueRef:[0-9a-f]{8}-[0-9a-f-]{27}|DummyRef:\|[0-9a-f-]{36}\|[\w.]+|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
)
_SHORT = re.compile(r"(?<= )R:[0-9a-f]{12}\b")
_TEMPORARY = re.compile(r"\b([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-)(000000000001)\b")
_FIXED = re.compile(r"00000000-0000-0000-0000-000000000000")
EPOCH = "19700101T00:00:00Z"
DATE = re.compile(r"\d{8}T\d\d:\d\d:\d\dZ")
"""A moment in JSON, which has no type for it."""
ORDERED = re.compile(r"(ErrorDescription|error_info|error|error/data|events|history.*|/state)$")
"""Paths of the lists whose order says something; XAPI's sets come in any order."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """A place where a reply is not what was recorded."""

    path: str
    recorded: str
    seen: str
    is_of_values: bool = False
    """Whether both sides have a value there, of one kind."""

    def __str__(self) -> str:
        return f"{self.path}: recorded {self.recorded[:300]}, seen {self.seen[:300]}"


class Binding:
    """Pairs of (recorded, ours); ``names`` are words that stand for other words in this world.

    ``extra`` holds what this world has more than the recorded one: references that no recorded one stands for. They
    may be members of a set that is otherwise as recorded.
    """

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        self.ours: dict[str, str] = {}
        self.recorded: dict[str, str] = {}
        self.extra: set[str] = set()
        self.count_extra: Callable[[str], int] = lambda _: 0
        """Gives how many objects of a class (lower case) this world has more."""
        self.is_masked: Callable[[Difference], bool] = lambda _: False
        """Tells what does not count inside the members of a set; elsewhere whoever compares looks himself."""
        self._names = dict(names or {})
        words = sorted(map(re.escape, self._names), key=len, reverse=True)
        self._words = re.compile(rf"(?<![\w.<-])(?<!</)({'|'.join(words)})(?![\w-])") if words else None

    def bind(self, recorded: str, ours: str) -> None:
        """Pair two tokens; ValueError when one of them is paired with another already."""
        if self.ours.setdefault(recorded, ours) != ours or self.recorded.setdefault(ours, recorded) != recorded:
            raise ValueError(f"{recorded} cannot be {ours}: it is {self.ours[recorded]}")
        self.extra.discard(ours)

    def is_known(self, recorded: str) -> bool:
        return recorded in self.ours or _FIXED.search(recorded) is not None

    def translate(self, text: str) -> str:
        """Write a recorded text with our tokens and names; what is unknown stays."""
        text = TOKEN.sub(lambda found: self.ours.get(found.group(), found.group()), text)
        text = _SHORT.sub(self._lengthen, text)
        text = _TEMPORARY.sub(self._rebuild, text)
        if self._words is not None:
            text = self._words.sub(lambda found: self._names[found.group()], text)
        return text

    def _lengthen(self, found: re.Match[str]) -> str:
        """Write the short form in which logs speak of a task with the digits of ours; what is unknown stays."""
        return next((_shorten(new) for old, new in self.ours.items() if _shorten(old) == found.group()), found.group())

    def _rebuild(self, found: re.Match[str]) -> str:
        """Write the UUID of a copy that arrives with ours of its VM; what is unknown stays."""
        known = (new[:24] for old, new in self.ours.items() if old.startswith(found.group(1)))
        return next(known, found.group(1)) + found.group(2)

    # -- comparing

    def compare(self, recorded: Tree, seen: Tree, path: str = "") -> list[Difference]:
        """Pair what is new, and list the places that differ."""
        return list(self._compare(recorded, seen, path))

    def _compare(self, recorded: Tree, seen: Tree, path: str) -> Iterator[Difference]:
        if isinstance(recorded, Leaf) and isinstance(seen, Leaf):
            if not self._is_same_leaf(recorded, seen, path):
                theirs, mine = f"{recorded.kind} {self.translate(recorded.text)!r}", f"{seen.kind} {seen.text!r}"
                yield Difference(path, theirs, mine, recorded.kind == seen.kind)
        elif isinstance(recorded, dict) and isinstance(seen, dict):
            yield from self._compare_dicts(recorded, seen, path)
        elif isinstance(recorded, list) and isinstance(seen, list) and path.endswith("/events"):
            yield from self._compare_events(recorded, seen, path)
        elif isinstance(recorded, list) and isinstance(seen, list):
            compare = self._compare_in_order if ORDERED.search(path) else self._compare_as_sets
            yield from compare(recorded, seen, path)
        else:
            yield Difference(path, show(recorded), show(seen))

    def _is_same_leaf(self, recorded: Leaf, seen: Leaf, path: str) -> bool:
        if recorded.kind == "i4" == seen.kind:
            return int(recorded.text) == int(seen.text) - self.count_extra(path.rpartition("/")[2])
        if recorded.kind != seen.kind:
            return False
        if recorded.kind == "dateTime.iso8601" or (DATE.fullmatch(recorded.text) and DATE.fullmatch(seen.text)):
            # When something happened is of the recording; that it happened is not.
            return (recorded.text == EPOCH) == (seen.text == EPOCH)
        return self._pair_texts(recorded.text, seen.text)

    def _pair_texts(self, recorded: str, seen: str) -> bool:
        theirs, mine = TOKEN.findall(recorded), TOKEN.findall(seen)
        if len(theirs) != len(mine):
            return self.translate(recorded) == seen
        for old, new in zip(theirs, mine, strict=True):
            if not self.is_known(old) and new not in self.recorded and kind_of(old) == kind_of(new):
                self.bind(old, new)
        return self.translate(recorded) == seen

    def _compare_dicts(self, recorded: dict[str, Any], seen: dict[str, Any], path: str) -> Iterator[Difference]:
        pairs, missing, more = self._match(list(recorded), list(seen), self._pair_texts)
        for old, new in pairs:
            yield from self._compare(recorded[old], seen[new], f"{path}/{name_of(old)}")
        for old in missing:
            yield Difference(f"{path}/{name_of(old)}", show(recorded[old]), "nothing")
        for new in more:
            if new not in self.extra:
                yield Difference(f"{path}/{name_of(new)}", "nothing", show(seen[new]))

    def _compare_in_order(self, recorded: list[Any], seen: list[Any], path: str) -> Iterator[Difference]:
        for index, (old, new) in enumerate(zip(recorded, seen, strict=False)):
            yield from self._compare(old, new, f"{path}/{index}")
        if len(recorded) != len(seen):
            yield Difference(path, f"{len(recorded)} members {show(recorded)}", f"{len(seen)} members {show(seen)}")

    def _compare_events(self, recorded: list[Any], seen: list[Any], path: str) -> Iterator[Difference]:
        """Hold the order of operations and classes against each other; within them it follows from the references."""
        theirs, mine = _in_runs(recorded), _in_runs(seen)
        if list(theirs) != list(mine):
            yield Difference(path, show(list(theirs)), show(list(mine)))
        for kind in filter(mine.__contains__, theirs):
            compare = self._compare_in_order if kind[0] == "message" else self._compare_run
            yield from compare(theirs[kind], mine[kind], f"{path}/{kind[0]}")

    def _compare_run(self, recorded: list[Any], seen: list[Any], path: str) -> Iterator[Difference]:
        by_ref = {text_of(event["ref"]): event for event in seen}
        known = [event for event in recorded if self.ours.get(text_of(event["ref"])) in by_ref]
        for event in known:
            yield from self._compare(event, by_ref.pop(self.ours[text_of(event["ref"])]), path)
        rest = [event for event in recorded if event not in known]
        _, missing, more = self._match(rest, list(by_ref.values()), lambda a, b: self._is_same(a, b, path))
        more = [event for event in more if text_of(event["ref"]) not in self.extra]
        if missing or more:
            yield Difference(path, f"also {show(missing)}", f"also {show(more)}")

    def _compare_as_sets(self, recorded: list[Any], seen: list[Any], path: str) -> Iterator[Difference]:
        _, missing, more = self._match(recorded, seen, lambda a, b: self._is_same(a, b, path))
        more = [new for new in more if not (isinstance(new, Leaf) and new.text in self.extra)]
        if missing or more:
            yield Difference(path, f"also {show(missing)}", f"also {show(more)}")

    def _is_same(self, recorded: Tree, seen: Tree, path: str) -> bool:
        """Compare, and forget what was paired on the way when the two are not the same."""
        before = dict(self.ours), dict(self.recorded), set(self.extra)
        if all(map(self.is_masked, self.compare(recorded, seen, path))):
            return True
        self.ours, self.recorded, self.extra = before
        return False

    def _match(
        self, recorded: list[Any], seen: list[Any], same: Callable[[Any, Any], bool]
    ) -> tuple[list[tuple[Any, Any]], list[Any], list[Any]]:
        """Pair members: first those whose tokens are all known, then the others with what is left."""
        pairs, left = [], list(seen)
        missing = []
        for old in sorted(recorded, key=lambda value: not self._is_all_known(value)):
            taken = set() if self._is_all_known(old) else self.extra
            partner = next((new for new in left if text_of(new) not in taken and same(old, new)), None)
            if partner is None:
                missing.append(old)
            else:
                left.remove(partner)
                pairs.append((old, partner))
        return pairs, missing, left

    def _is_all_known(self, value: Any) -> bool:
        return all(map(self.is_known, TOKEN.findall(text_of(value))))


def _in_runs(events: list[Any]) -> dict[tuple[str, str], list[Any]]:
    """Group events that follow each other and are of one class and operation."""
    return {
        kind: list(group)
        for kind, group in itertools.groupby(events, lambda e: (text_of(e["class"]), text_of(e["operation"])))
    }


def _shorten(ref: str) -> str:
    return f"R:{ref.removeprefix('OpaqueRef:').replace('-', '')[:12]}"


def text_of(value: Any) -> str:
    """Give the text of a leaf or of a key; "" for what holds others."""
    return value.text if isinstance(value, Leaf) else value if isinstance(value, str) else ""


def kind_of(token: str) -> str:
    """Tell references from UUIDs and from the names of inner tasks."""
    return token.partition(":")[0] if ":" in token else "uuid"


def name_of(key: str) -> str:
    """Write a reference in a path as a star, so that masks can name the place."""
    return TOKEN.sub("*", key)


def show(tree: Any) -> str:
    """Write a tree briefly."""
    if isinstance(tree, Leaf):
        return repr(tree.text)
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{key}: {show(value)}" for key, value in tree.items()) + "}"
    if isinstance(tree, list | tuple):
        return "[" + ", ".join(map(show, tree)) + "]"
    return repr(tree)
