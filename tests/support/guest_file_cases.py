"""What the plugin for guests' files promises, as cases: the real script and the simulated one must both do so."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

BELOW = "/var/lib/xcp/guest"
KERNEL = f"{BELOW}/vmlinuz"
DEEP = f"{BELOW}/linux/vmlinuz"
PART = "5f0c8f7e-0000-4000-8000-000000000001"
PARTIAL = f"{BELOW}/.vmlinuz.{PART}.lmflow-part"
PIECE = 65536
BITS = "bits of a kernel"
MISSING = {"directory": True, "exists": False}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def code(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def refused(text: str) -> str:
    """What a refusal looks like in an outcome."""
    return f"GuestFileError: {text}"


def shown(text: str, *, ours: bool = False) -> dict[str, Any]:
    return {"directory": True, "exists": True, "size": len(text.encode()), "sha256": digest(text), "ours": ours}


@dataclasses.dataclass(frozen=True)
class Call:
    """One call and its outcome: JSON for a dict, else the text, or ``refused(...)``."""

    function: str
    outcome: Any
    path: str | None = KERNEL
    args: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def arguments(self) -> dict[str, str]:
        return ({} if self.path is None else {"path": self.path}) | dict(self.args)


@dataclasses.dataclass(frozen=True)
class Case:
    """Files, calls one after the other, files after that; paths and texts."""

    name: str
    calls: tuple[Call, ...]
    before: Mapping[str, str] = dataclasses.field(default_factory=dict)
    after: Mapping[str, str] | None = None


def stat(outcome: Any, path: str = KERNEL, **args: str) -> Call:
    return Call("stat", outcome, path, args)


def write(outcome: Any, text: str, offset: int = 0, path: str = KERNEL, part: str = PART) -> Call:
    return Call("write", outcome, path, {"part": part, "offset": str(offset), "data": code(text)})


def finish(outcome: Any, text: str, path: str = KERNEL, part: str = PART) -> Call:
    return Call("finish", outcome, path, {"part": part, "size": str(len(text)), "sha256": digest(text)})


def discard(removed: bool, path: str = KERNEL) -> Call:
    return Call("discard", {"removed": removed}, path, {"part": PART})


def remove(outcome: Any, text: str, path: str = KERNEL) -> Call:
    return Call("remove", outcome, path, {"sha256": digest(text)})


def read(outcome: str, offset: str, length: str, path: str = KERNEL) -> Call:
    return Call("read", outcome, path, {"offset": offset, "length": length})


def _elsewhere(path: str) -> Case:
    told = path.encode("unicode_escape").decode()
    text = refused(f"the path is not one below {BELOW} in plain ASCII: {told}")
    calls = (stat(text, path), read(text, "0", "1", path), write(text, "x", 0, path), finish(text, "x", path))
    rest = (Call("discard", text, path, {"part": PART}), remove(text, "x", path))
    return Case(f"no path for it: {told}", calls + rest, {KERNEL: BITS}, {KERNEL: BITS})


GAP = "the partial of {} has {} bytes: a piece at {} would leave a gap"
EXISTS = f"{KERNEL} exists; it is never replaced"
LONG = f"a piece has at most {PIECE} bytes, not {PIECE + 1}"

CASES = (
    Case("nothing is there", (stat(MISSING), discard(removed=False), remove({"removed": False}, BITS)), {}, {}),
    Case("a file is shown", (stat(shown(BITS)),), {KERNEL: BITS}),
    Case("a file in a directory", (stat(shown(BITS), DEEP), remove({"removed": True}, BITS, DEEP)), {DEEP: BITS}, {}),
    Case("no directory", (stat({"directory": False, "exists": False}, DEEP),
         write(refused(f"the directory {BELOW}/linux is missing"), BITS, 0, DEEP)), {}, {}),
    Case("a directory is no file", (stat(refused(f"{BELOW}/linux is no regular file"), f"{BELOW}/linux"),),
         {DEEP: BITS}),
    Case("a file is no directory", (stat(refused(f"{KERNEL} is no directory"), f"{KERNEL}/x"),), {KERNEL: BITS}),
    Case("read in pieces", (read(code("bits"), "0", "4"), read(code("nel"), "13", "4"), read("", "16", "4"),
         read(refused(f"{DEEP} does not exist"), "0", "1", DEEP)), {KERNEL: BITS, f"{BELOW}/linux/x": "x"}),
    Case("written in pieces", (write({"size": 4}, BITS[:4]), write({"size": 16}, BITS[4:], 4),
         stat(MISSING, part=PART), finish({"size": 16}, BITS), stat(shown(BITS, ours=True), part=PART),
         stat(shown(BITS), part=PART[:-1] + "2"), discard(removed=True), stat(shown(BITS), part=PART)),
         {}, {KERNEL: BITS}),
    Case("every call twice", (write({"size": 4}, BITS[:4]), write({"size": 4}, BITS[:4]),
         write({"size": 16}, BITS[4:], 4), write({"size": 16}, BITS[:4]), finish({"size": 16}, BITS),
         finish({"size": 16}, BITS), discard(removed=True), discard(removed=False),
         remove({"removed": True}, BITS), remove({"removed": False}, BITS)), {}, {}),
    Case("an empty file", (write({"size": 0}, ""), finish({"size": 0}, ""), discard(removed=True), stat(shown(""))),
         {}, {KERNEL: ""}),
    Case("no gap", (write(refused(GAP.format(KERNEL, 0, 4)), BITS, 4), write({"size": 16}, BITS),
         write(refused(GAP.format(KERNEL, 16, 17)), BITS, 17)), {}, {PARTIAL: BITS}),
    Case("a file is never replaced", (write(refused(EXISTS), "other"),), {KERNEL: BITS}, {KERNEL: BITS}),
    Case("nor by what was written before it came", (finish(refused(EXISTS), "other"),),
         {KERNEL: BITS, PARTIAL: "other"}, {KERNEL: BITS, PARTIAL: "other"}),
    Case("nor by the same content", (finish(refused(EXISTS), BITS), stat(shown(BITS), part=PART)),
         {KERNEL: BITS, PARTIAL: BITS}, {KERNEL: BITS, PARTIAL: BITS}),
    Case("a partial is checked", (write({"size": 5}, "bogus"),
         finish(refused(f"the partial of {KERNEL} has 5 bytes, not 16"), BITS),
         finish(refused(f"the partial of {KERNEL} has not the digest that it should have"), "other"),
         finish(refused(f"there is no partial of {KERNEL} with this token"), "bogus", part=PART[:-1] + "2"),
         discard(removed=True)), {}, {}),
    Case("removed by digest only", (remove(refused(f"{KERNEL} has another digest; it is not removed"), "other"),),
         {KERNEL: BITS}, {KERNEL: BITS}),
    Case("a partial has no other name", (stat(refused(f"{PARTIAL} is the name of a partial"), PARTIAL),
         remove(refused(f"{PARTIAL} is the name of a partial"), "x", PARTIAL)), {PARTIAL: "x"}, {PARTIAL: "x"}),
    Case("arguments are missing", (Call("stat", refused("the argument path is missing"), None),
         Call("read", refused("the argument offset is missing")),
         Call("write", refused("the argument part is missing")), Call("remove",
         refused("the argument sha256 is missing"))), {KERNEL: BITS}, {KERNEL: BITS}),
    Case("arguments are nonsense", (read(refused("offset is not a number of bytes"), "-1", "4"),
         read(refused("length is not a number of bytes"), "0", "4k"), read(refused(LONG), "0", str(PIECE + 1)),
         write(refused(LONG), "x" * (PIECE + 1)), write(refused("a token has 8 to 64 letters, digits and dashes"), "x",
         part="../../../etc"), Call("write", refused("data is not base64"), KERNEL, {"part": PART, "offset": "0",
         "data": "A"}), Call("write", refused("data is not base64"), KERNEL, {"part": PART, "offset": "0",
         "data": "Yml0cw==\n"}), Call("remove", refused("sha256 is not a digest of 64 hexadecimal digits"), KERNEL,
         {"sha256": digest(BITS).upper()})), {}, {}),
    _elsewhere("/etc/passwd"),
    _elsewhere(BELOW),
    _elsewhere(f"{BELOW}/"),
    _elsewhere(f"{BELOW}/../../../etc/passwd"),
    _elsewhere(f"{BELOW}/linux/../vmlinuz"),
    _elsewhere(f"{BELOW}//vmlinuz"),
    _elsewhere(f"{BELOW}-other/vmlinuz"),
    _elsewhere("vmlinuz"),
    _elsewhere(""),
    _elsewhere(f"{KERNEL}\x00.txt"),
    _elsewhere(f"{KERNEL}\n"),
    _elsewhere(f"{BELOW}/k\xe9rnel"),
)  # fmt: skip
