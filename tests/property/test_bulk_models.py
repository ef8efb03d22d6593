"""Any record that XAPI's data model allows gives the same models by XML-RPC and by JSON-RPC.

Texts are what both can carry: XML has no control characters, and parsers of it make a line feed of a carriage return.
Floats have the 16 digits that XAPI writes in XML.
"""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from lmflow.simulator.database.schema import Schema, split_map, split_set
from lmflow.simulator.database.values import DateTime
from tests.support.bulk import MAKE, send_by_json, send_by_sdk
from tests.support.recorded import lab

SCHEMA = Schema.load()
ROUNDS = 30
REFS = ["OpaqueRef:NULL", "", "OpaqueRef:1", "OpaqueRef:2", "OpaqueRef:away"]
UUIDS = {"OpaqueRef:1": "uuid-1", "OpaqueRef:2": "uuid-2"}
KEYS = [
    "feature-suspend",
    "nomigrate",
    "lmflow-run",
    "http:lmflow-attempt",
    "vendor",
    "features_hvm",
    "agent_start_time",
]
TEXTS = [
    "",
    " ",
    "true",
    "1",
    "0",
    "-7",
    "hvm",
    "IPv6",
    "fe80::1",
    "null",
    "NaN",
    "a\tb\nc",
    "<&>\"'\\/",
    "é日\U0001f600\x7f\u2028",
]
INTEGERS = [0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)]
DATES = [DateTime("19700101T00:00:00Z"), DateTime("20261123T03:05:33Z")]


def make_value(kind: str, chance: random.Random) -> Any:
    """Make up a value of a type of the data model; words that the models look for come up among the texts."""
    pair, item = split_map(kind), split_set(kind)
    if pair is not None:
        return {chance.choice(KEYS + TEXTS): make_value(pair[1], chance) for _ in range(chance.randrange(4))}
    if item is not None:
        return [make_value(item, chance) for _ in range(chance.randrange(3))]
    if kind.startswith("enum "):
        return chance.choice(sorted(SCHEMA.enums[kind.removeprefix("enum ")]))
    known: dict[str, list[Any]] = {
        "int": INTEGERS, "bool": [True, False], "float": [0.0, 0.25, 1.0, 1e-7, 1e16], "datetime": DATES
    }  # fmt: skip
    return chance.choice(known.get(kind, REFS if " ref" in kind else TEXTS))


def assert_equal_models(cls: str, record: dict[str, Any]) -> None:
    assert MAKE[cls](send_by_json(record), UUIDS) == MAKE[cls](send_by_sdk(record), UUIDS)


@pytest.mark.parametrize("cls", MAKE)
def test_equal_models(cls: str) -> None:
    chance = random.Random(cls)  # noqa: S311 - no secret is made of it
    fields = SCHEMA.classes[cls].fields
    for _ in range(ROUNDS):
        assert_equal_models(cls, {name: make_value(item.type, chance) for name, item in fields.items()})


def test_every_recorded_record() -> None:
    seen = set()
    for cls, record in lab.records().values():
        if cls in MAKE:
            seen.add(cls)
            assert_equal_models(cls, lab.read_record(cls, record))
    assert {"VM", "host", "host_metrics", "pool", "SR", "PBD", "VDI", "VBD", "VIF", "PIF", "network"} <= seen


def test_the_two_encodings_do_differ() -> None:
    """So that equal models say something."""
    record = {"memory": 2**53 + 1, "at": DateTime("20261123T03:05:33Z"), "progress": 0.25, "void": None}
    assert send_by_sdk(record)["memory"] == str(send_by_json(record)["memory"]) == "9007199254740993"
    assert str(send_by_sdk(record)["at"]) == send_by_json(record)["at"] == "20261123T03:05:33Z"
    assert math.isclose(send_by_sdk(record)["progress"], send_by_json(record)["progress"])
