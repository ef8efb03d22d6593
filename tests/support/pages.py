"""The pages of the documentation as the tests read them: blocks, the commands in them, and what they show."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE = ROOT / "doc" / "source"
BIN = pathlib.Path(sys.executable).parent
COMMAND_SECONDS = 150

# A word before a block says what the reader does not see: `<!-- pool: PATH JSON -->` is sent to the demo pool's control
# port, `<!-- file: NAME -->` puts the block into a file, `<!-- picture: COMMAND -->` is the command that drew it.
_NOTE = re.compile(r"<!-- (?P<key>pool|file|picture): (?P<value>.+?) -->")
_BLOCK = re.compile(
    r"(?P<notes>(?:^ *<!-- .+? -->\n\n?)*)^(?P<indent> *)(?P<fence>`{3,})(?P<language>[^`\n]*)\n"
    r"(?P<body>.*?)^ *(?P=fence)$",
    re.M | re.S,
)
_EXIT = re.compile(r"\s+# exit (\d+)\b.*$")


@dataclasses.dataclass(frozen=True)
class Step:
    """A command of a console block, the exit code the page promises, and the lines it shows (… for anything)."""

    command: str
    code: int
    shown: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block of a page; ``notes`` are the words before it, by key."""

    page: str
    line: int
    language: str
    body: str
    notes: tuple[tuple[str, str], ...]

    def find_note(self, key: str) -> str:
        """Return the note of that key, '' without one."""
        return dict(self.notes).get(key, "")

    def steps(self) -> Iterator[Step]:
        """Yield the commands, in their order."""
        for part in re.split(r"^\$ ", self.body, flags=re.M)[1:]:
            first, *shown = part.rstrip("\n").split("\n")
            promised = _EXIT.search(first)
            yield Step(_EXIT.sub("", first), int(promised[1]) if promised else 0, tuple(s for s in shown if s.strip()))


def list_pages() -> list[str]:
    """Return every page, relative to the checkout."""
    return ["README.md", *sorted(p.relative_to(ROOT).as_posix() for p in SOURCE.rglob("*.md"))]


def read_page(page: str) -> str:
    """Return the text of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def list_blocks(page: str, language: str | None = None) -> list[Block]:
    """Return the blocks of a page, of one language or of all."""
    text = read_page(page)
    found = (
        Block(
            page=page,
            line=text.count("\n", 0, m.start("fence")) + 1,
            language=m["language"].strip(),
            body=re.sub(f"^{m['indent']}", "", m["body"], flags=re.M),
            notes=tuple((n["key"], n["value"]) for n in _NOTE.finditer(m["notes"])),
        )
        for m in _BLOCK.finditer(text)
    )
    return [block for block in found if language in (None, block.language)]


def shows(output: str, shown: tuple[str, ...]) -> bool:
    """Tell whether the output has these lines, in this order, with anything between and around them."""
    lines = iter(output.splitlines())
    patterns = (".*".join(re.escape(piece) for piece in line.strip().split("…")) for line in shown)
    return all(any(re.search(pattern, line) for line in lines) for pattern in patterns)


def write_configuration(path: pathlib.Path, body: str) -> None:
    """Write a configuration and the files that it names beside it; every password is ``secret``."""
    path.write_text(body, encoding="utf-8")
    for name in re.findall(r"^(?:ca|password)_file = ([^/\s]+)$", body, re.M):
        (path.parent / name).touch(mode=0o600)
        (path.parent / name).write_text("secret\n", encoding="utf-8")


class Reader:
    """Somebody who does what a page says, in a home of their own in which nothing is configured."""

    def __init__(self, home: pathlib.Path) -> None:
        self._home = home
        names = ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("LMFLOW_", "XDG_", "OS_"))}
        self._environment = kept | dict.fromkeys(names, str(home))
        self._environment |= {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "120"}
        self._environment |= {"PYTHONIOENCODING": "utf-8"}

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a line in bash."""
        return subprocess.run(
            ["bash", "-c", command],
            env=self._environment,
            cwd=self._home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )

    def obey(self, block: Block) -> None:
        """Do what the words before a block say; a block that is a file is written."""
        for key, value in block.notes:
            if key == "pool":
                path, _, body = value.partition(" ")
                self._control(path, json.loads(body or "{}"))
            elif key == "file":
                write_configuration(self._home / value, block.body)

    def leave(self) -> None:
        """End the demo pool, if one was started."""
        self.run("lmflow demo --stop")

    def _control(self, path: str, body: dict[str, Any]) -> None:
        from lmflow.cli.demo_pool import find_demo  # noqa: PLC0415 - what only reads pages needs no pool

        demo = find_demo(self._home / "lmflow" / "demo")
        assert demo is not None, "a page speaks of a demo pool that it has not started"
        vms = {vm["name_label"]: vm["uuid"] for vm in demo.control("GET", "/state")["VM"].values()}
        named = {"vm": vms[body["vm"]]} if "vm" in body else {}
        demo.control("POST", path, {**body, **named})
