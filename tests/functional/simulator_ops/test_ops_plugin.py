"""host.call_plugin on the files of each host's control domain, and VMs that boot from such files."""

import json
from collections.abc import Callable

import pytest

from lmflow.simulator.hosts.boot_files import BootFiles
from lmflow.simulator.hosts.dom0_plugins import Dom0Plugins
from lmflow.simulator.pool import SimulatedPool
from tests.functional.simulator_ops.test_ops_control import control
from tests.support.guest_file_cases import BITS, PART, code, digest, shown
from tests.support.moves import TWO_HOSTS, Moves, world_with

KERNEL = "/var/lib/xcp/guest/vmlinuz"
OWN_KERNEL = {"name": "p", "memory": "256 MiB", "domain_type": "pv", "pv_kernel": KERNEL}


@pytest.fixture
def lab(make_moves: Callable[..., Moves]) -> Moves:
    hosts = [{**host, "files": {"/boot/guest/cached": "bits"}} if host["name"] == "h1" else host
             for host in TWO_HOSTS["hosts"]]  # fmt: skip
    return make_moves(world_with(OWN_KERNEL, hosts=hosts))


def call(lab: Moves, host: str, function: str, plugin: str = "kernel", **args: str) -> object:
    given = {name.replace("_", "-"): value for name, value in args.items()}
    return lab.client.call("host.call_plugin", lab.ref("host", host), plugin, function, given)


def files(lab: Moves, host: str) -> dict[str, str]:
    found = control(lab, "GET", "/files")[1][host]
    assert isinstance(found, dict)
    return found


def test_a_disk_becomes_a_file_and_the_file_goes(lab: Moves) -> None:
    vdi = lab.client.call("VBD.get_VDI", lab.vm("v")["VBDs"][0])
    uuid = lab.client.call("VDI.get_uuid", vdi)
    path = call(lab, "h2", "copy_vdi", vdi_ref=vdi, image_size="4096", cached_image="kept")
    assert path == f"/boot/guest/{uuid}"
    assert set(files(lab, "h2")) == {f"/boot/guest/{uuid}", "/boot/guest/kept"}
    assert set(files(lab, "h1")) == {"/boot/guest/cached"}, "each host has files of its own"
    assert call(lab, "h2", "remove_kernel_ramdisk", kernel_file=path, ramdisk_file="/boot/guest/none") == "ok"
    assert set(files(lab, "h2")) == {"/boot/guest/kept"}


def test_a_cached_file_is_copied_where_it_is(lab: Moves) -> None:
    assert call(lab, "h1", "create_kernel_ramdisk", cached_image="cached", new_image_uuid="new") == "/boot/guest/new"
    assert files(lab, "h1")["/boot/guest/new"] == "bits"
    assert call(lab, "h2", "create_kernel_ramdisk", cached_image="cached", new_image_uuid="new") == ""


def test_refusals(lab: Moves) -> None:
    host = lab.ref("host", "h1")

    def refuse(*params: object) -> list[str]:
        return lab.client.refuse("host.call_plugin", *params)

    assert refuse(host, "nonesuch", "main", {}) == ["XENAPI_MISSING_PLUGIN", "nonesuch"]
    unknown = ["XENAPI_PLUGIN_FAILURE", "dance", "UNKNOWN_XENAPI_PLUGIN_FUNCTION", ""]
    assert refuse(host, "kernel", "dance", {}) == unknown
    text = "Argument 'new-image-uuid' not present in command"
    failure = ["XENAPI_PLUGIN_FAILURE", "create_kernel_ramdisk", "ArgumentError", text]
    assert refuse(host, "kernel", "create_kernel_ramdisk", {"cached-image": "cached"}) == failure
    assert refuse("OpaqueRef:dead", "kernel", "copy_vdi", {}) == ["HANDLE_INVALID", "host", "OpaqueRef:dead"]


def test_a_vm_boots_only_where_its_kernel_is(lab: Moves) -> None:
    vm, hosts = lab.ref("VM", "p"), {name: lab.ref("host", name) for name in ("h1", "h2")}
    missing = ["INVALID_VALUE", "kernel", KERNEL, "File does not exist"]
    assert lab.client.refuse("VM.start_on", vm, hosts["h2"], False, False) == missing
    assert control(lab, "POST", "/files", {"host": "h2", "path": KERNEL, "text": "bits"})[0] == 200
    lab.client.call("VM.start_on", vm, hosts["h2"], False, False)
    assert control(lab, "POST", "/files", {"host": "h2", "path": KERNEL})[0] == 200
    assert lab.client.refuse("VM.hard_reboot", vm) == missing, "a running VM needs it only to boot"
    assert lab.runs_on("p") == ["h2"]
    assert control(lab, "POST", "/files", {"host": "h9", "path": KERNEL})[0] == 400


def test_elsewhere_than_in_its_directory_a_kernel_is_none(lab: Moves) -> None:
    vm = lab.ref("VM", "p")
    lab.client.call("VM.set_PV_kernel", vm, "/var/lib/xcp/guest/../../etc/passwd")
    refusal = lab.client.refuse("VM.start_on", vm, lab.ref("host", "h1"), False, False)
    assert refusal[:2] == ["INVALID_VALUE", "kernel"]
    assert "not below" in refusal[3]


def test_what_runs_booted_from_a_file_that_is_there_and_files_are_kept(make_moves: Callable[..., Moves]) -> None:
    moves = make_moves(world_with({**OWN_KERNEL, "host": "h2"}))
    assert set(files(moves, "h2")) == {KERNEL}
    again = SimulatedPool(moves.pool.options, state=moves.pool.dump())
    assert set(again.part(BootFiles).on(moves.ref("host", "h2"))) == {KERNEL}


GUEST_FILES = "lmflow-guest-files"


@pytest.fixture
def equipped(make_moves: Callable[..., Moves]) -> Moves:
    """Only h1 has lmflow's plugin; h2 says so too."""
    with_it = {"plugins": [GUEST_FILES], "files": {KERNEL: BITS}}
    h1, h2 = TWO_HOSTS["hosts"]
    return make_moves(world_with(hosts=[{**h1, **with_it}, {**h2, "other_config": {GUEST_FILES: "1"}}]))


def test_the_plugin_for_kernels_is_where_it_was_installed(equipped: Moves) -> None:
    def announced(host: str) -> object:
        return equipped.client.call("host.get_other_config", equipped.ref("host", host))[GUEST_FILES]

    def stat(host: str) -> dict[str, object]:
        return dict(json.loads(str(call(equipped, host, "stat", GUEST_FILES, path=KERNEL, part=PART))))

    assert (announced("h1"), announced("h2")) == ("1", "1")
    assert stat("h1") == shown(BITS)
    asked = (equipped.ref("host", "h2"), GUEST_FILES, "stat", {"path": KERNEL})
    assert equipped.client.refuse("host.call_plugin", *asked) == ["XENAPI_MISSING_PLUGIN", GUEST_FILES]
    assert control(equipped, "POST", "/plugins", {"host": "h2", "plugin": GUEST_FILES})[0] == 200
    assert stat("h2") == {"directory": True, "exists": False}
    control(equipped, "POST", "/plugins", {"host": "h2", "plugin": GUEST_FILES, "installed": False})
    assert equipped.client.refuse("host.call_plugin", *asked) == ["XENAPI_MISSING_PLUGIN", GUEST_FILES]


def test_it_refuses_in_the_form_of_xapi_and_looking_has_no_effect(equipped: Moves) -> None:
    host = equipped.ref("host", "h1")
    failure = ["XENAPI_PLUGIN_FAILURE", "stat", "GuestFileError", "the argument path is missing"]
    assert equipped.client.refuse("host.call_plugin", host, GUEST_FILES, "stat", {}) == failure
    unknown = ["XENAPI_PLUGIN_FAILURE", "dance", "UNKNOWN_XENAPI_PLUGIN_FUNCTION", ""]
    assert equipped.client.refuse("host.call_plugin", host, GUEST_FILES, "dance", {}) == unknown
    call(equipped, "h1", "stat", GUEST_FILES, path=KERNEL)
    call(equipped, "h1", "remove", GUEST_FILES, path=KERNEL, sha256=digest(BITS))
    made = [entry for entry in control(equipped, "GET", "/audit")[1] if entry["method"] == "host.call_plugin"]
    assert [entry["effect"] for entry in made] == [False, False, False, True]
    assert files(equipped, "h1") == {}


def test_what_a_file_was_made_of_is_kept_with_the_pool(equipped: Moves) -> None:
    path, again = f"{KERNEL}-2", {"part": PART, "size": str(len(BITS)), "sha256": digest(BITS)}
    call(equipped, "h1", "write", GUEST_FILES, path=path, part=PART, offset="0", data=code(BITS))
    call(equipped, "h1", "finish", GUEST_FILES, path=path, **again)
    pool = SimulatedPool(equipped.pool.options, state=equipped.pool.dump())
    here = equipped.ref("host", "h1")
    assert list(pool.part(Dom0Plugins).links(here).values()) == [path]
    assert pool.part(Dom0Plugins).on(here) == {GUEST_FILES}
