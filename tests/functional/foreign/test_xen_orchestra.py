"""Xen Orchestra's own client, from npm, in a simulated pool."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable

import pytest

from tests.functional.foreign.clients import HERE, Desk, Program, find_xen_orchestra
from tests.support.invariants import Invariants

SAID = [
    "connected to lab",
    "SR 3",
    "VM 12",
    "host 3",
    "pool 1",
    "web-01 Running on xcp-a",
    "enabled true, live true",
    "result ''",
    "seen on xcp-b",
    "Async.VM.pool_migrate success",
    "other_config xen-orchestra",
    "HANDLE_INVALID 2",
    "VM_BAD_POWER_STATE 3",
    "synchronously ''",
    "disconnected",
]


@pytest.mark.parametrize(("transport", "path"), [("auto", "/jsonrpc"), ("xml-rpc", "/xmlrpc")])
def test_xen_orchestra_lists_moves_and_watches(
    transport: str, path: str, sit_down: Callable[..., Desk], invariants: Invariants
) -> None:
    invariants.foreign_migrations["web-01"] = 2
    directory = find_xen_orchestra()
    desk = sit_down("lab", "--https")
    # Node looks for what a program imports beside the program.
    program = shutil.copy(HERE / "xen_orchestra.mjs", directory / f"{transport}.mjs")
    there = (desk.pool.uuid("VM", "web-01"), desk.pool.uuid("host", "xcp-b"))
    command = ["node", str(program), desk.url(), *desk.credentials(), transport, *there]
    assert Program(desk, "xen-orchestra", command).read_all() == SAID
    assert desk.pool.runs_on("web-01") == ["xcp-a"]
    assert "moved-by" not in desk.pool.get("VM", "web-01")["other_config"]


def test_the_lock_file_names_no_registry_and_fixes_every_package() -> None:
    text = (HERE / "package-lock.json").read_text(encoding="utf-8")
    assert not re.findall(r'"resolved": "(?!https://registry\.npmjs\.org/).*"', text)
    assert text.count('"integrity": "sha512-') == text.count('"node_modules/') > 50
