"""A record as it was at one moment, and what it looks like on the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import TypeAlias

from lmflow.simulator.database.values import Value, copy_value

Piece: TypeAlias = str | bytes
"""A part of a text that is being written: fresh ones are str, those of records written before are bytes."""


def join(pieces: list[Piece]) -> bytes:
    """Put the parts of a text together."""
    return b"".join(
        b"".join(run) if kind is bytes else "".join(run).encode()  # type: ignore[arg-type]
        for kind, run in groupby(pieces, type)
    )


class Snapshot(Mapping[str, Value]):
    """Reads like the record, in the order of its fields; what is read out is a copy.

    Its text is made once in each encoding and kept: most records are read far more often than they change.
    """

    __slots__ = ("_encoded", "_lists", "_values")

    def __init__(self, values: Mapping[str, Value], lists: Mapping[str, list[str]]) -> None:
        self._values = values
        self._lists = lists
        self._encoded: dict[str, bytes] = {}

    def __getitem__(self, name: str) -> Value:
        return copy_value(self._lists.get(name, self._values[name]))

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def shared(self) -> dict[str, Value]:
        """Give the record without copying what is in it: to be read and forgotten."""
        return {**self._values, **self._lists} if self._lists else dict(self._values)

    def encode(self, encoding: str, write: Callable[[dict[str, Value]], bytes]) -> bytes:
        """Give the record in an encoding, written now if it never was."""
        found = self._encoded.get(encoding)
        if found is None:
            found = self._encoded[encoding] = write(self.shared())
        return found
