"""Ansible's module ``community.general.xenserver_guest_info``, unmodified, in a simulated pool."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.functional.foreign.clients import Desk, Program, find_collections

SitDown = Callable[..., Desk]

MODULE = "community.general.xenserver_guest_info"
GIB = 2**30


@pytest.fixture(scope="module")
def collections() -> Path:
    return find_collections()


def ask(desk: Desk, collections: Path, arguments: str, code: int = 0) -> tuple[str, dict[str, Any]]:
    """Run the module on this machine, as an administrator does, and return its state and its answer."""
    username, password = desk.credentials()
    command = [str(Path(sys.executable).parent / "ansible"), "localhost", "-i", "localhost,", "-m", MODULE]
    program = Program(
        desk,
        "ansible",
        [*command, "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}", "-a", arguments],
        ANSIBLE_COLLECTIONS_PATH=str(collections),
        ANSIBLE_NOCOLOR="1",
        LC_ALL="C.UTF-8",
        XENSERVER_HOST=desk.url(),
        XENSERVER_USER=username,
        XENSERVER_PASSWORD=password,
    )
    program.process.wait(60)
    said = program.out.read_text(encoding="utf-8")
    assert program.process.returncode == code, said + program.err.read_text(encoding="utf-8")
    head, _, body = said[said.index("localhost |") :].partition(" => ")
    return head.partition("| ")[2], json.loads(body)


def test_facts_of_a_guest_by_its_name(sit_down: SitDown, collections: Path) -> None:
    desk = sit_down()
    vm, storage = desk.pool.get("VM", "db-01"), ("nfs-vms", "local-ssd")
    state, answer = ask(desk, collections, "name=db-01")
    facts = answer["instance"]
    assert (state, answer["changed"]) == ("SUCCESS", False)
    assert (facts["name"], facts["uuid"], facts["state"]) == ("db-01", vm["uuid"], "poweredon")
    assert facts["hardware"] == {"memory_mb": 16384, "num_cpus": 8, "num_cpu_cores_per_socket": 1}
    assert [(disk["name"], disk["size"]) for disk in facts["disks"]] == [("root", 20 * GIB), ("data", 200 * GIB)]
    assert [(disk["sr"], disk["sr_uuid"]) for disk in facts["disks"]] == [(n, desk.pool.uuid("SR", n)) for n in storage]
    assert [(disk["os_device"], disk["vbd_userdevice"]) for disk in facts["disks"]] == [("xvda", "0"), ("xvdb", "1")]
    (card,) = facts["networks"]
    (mac,) = (vif["MAC"] for ref, vif in desk.pool.records("VIF").items() if ref in vm["VIFs"])
    assert (card["name"], card["vif_device"], card["mtu"], card["mac"]) == ("lan", "0", "1500", mac)
    assert (facts["domid"], facts["platform"], facts["is_template"]) == (str(vm["domid"]), vm["platform"], False)
    assert facts["cdrom"] == {}


def test_facts_of_a_guest_by_its_uuid_over_tls(sit_down: SitDown, collections: Path) -> None:
    desk = sit_down("lab", "--https")
    uuid = desk.pool.uuid("VM", "cache-01")
    state, answer = ask(desk, collections, f"uuid={uuid} validate_certs=no")
    assert (state, answer["instance"]["name"], answer["instance"]["uuid"]) == ("SUCCESS", "cache-01", uuid)
    assert answer["instance"]["cdrom"] == {"type": "iso", "iso_name": "guest-tools.iso"}


def test_a_guest_that_is_not_there(sit_down: SitDown, collections: Path) -> None:
    state, answer = ask(sit_down(), collections, "name=nobody", code=2)
    assert (state, answer["msg"]) == ("FAILED!", "VM search: VM with name 'nobody' not found!")
