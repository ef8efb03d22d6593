"""Replies as trees that keep the type of every value, so that ``"1"`` and ``1`` and ``true`` stay apart."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
import xmlrpc.client
from typing import Any, NamedTuple, TypeAlias


class Leaf(NamedTuple):
    """A value that holds no others: what kind it is on the wire, and its text."""

    kind: str
    text: str


Tree: TypeAlias = "Leaf | list[Any] | dict[str, Any]"


def _from_xml(value: ET.Element) -> Tree:
    children = list(value)
    if not children:
        return Leaf("string", value.text or "")
    (child,) = children
    if child.tag == "struct":
        pairs = ((member.findtext("name") or "", member.find("value")) for member in child.findall("member"))
        return {name: _from_xml(found) for name, found in pairs if found is not None}
    if child.tag == "array":
        return [_from_xml(item) for item in child.findall("./data/value")]
    return Leaf("string" if child.tag == "string" else child.tag, child.text or "")


def _from_json(value: Any) -> Tree:
    if isinstance(value, dict):
        if set(value) == {"__dateTime__"}:
            return Leaf("dateTime.iso8601", str(value["__dateTime__"]))
        return {str(name): _from_json(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_from_json(item) for item in value]
    if isinstance(value, xmlrpc.client.DateTime):
        return Leaf("dateTime.iso8601", str(value))
    return Leaf(type(value).__name__, str(value))


def read_result(text: str) -> Tree:
    """Read a task's result: a fragment of XML-RPC, or nothing."""
    return _from_xml(ET.fromstring(text)) if text.startswith("<value>") else Leaf("str", text)  # noqa: S314 - as below


def read_body(text: str) -> Tree:
    """Read an XML-RPC or JSON reply; anything else is one leaf of kind ``text``."""
    if text.startswith("<?xml"):
        value = ET.fromstring(text).find("./params/param/value")  # noqa: S314 - our own recordings and our own pool
        if value is not None:
            return _from_xml(value)
    if text.startswith("{"):
        return _from_json(json.loads(text))
    return Leaf("text", text)


def read_value(value: Any) -> Tree:
    """Read what a note holds, or what ``xmlrpc.client`` gave."""
    return _from_json(value)
