"""What was asked of a settled pool beside its records: statistics, plugins, downloads, and what a restart leaves."""

import contextlib
import http.client
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from lmflow.simulator.hosts.toolstack import EMERGENCY, READY, Toolstack
from tests.support import probes
from tests.support.moves import NULL, TWO_HOSTS, Moves, world_with
from tests.support.replays import TIMELINES

HALTED = {"name": "z", "memory": "512 MiB", "disks": [{"sr": "nfs"}], "vifs": ["lan"]}
PLUGIN = "guest-agent-operation"


@pytest.fixture
def lab(make_moves: Callable[..., Moves]) -> Moves:
    return make_moves(world_with(HALTED))


def _address(lab: Moves, host: str) -> str:
    return str(lab.pool.store.value("host", lab.ref("host", host), "address"))


def _local_session(lab: Moves, host: str = "h2") -> str:
    login = ("session.slave_local_login_with_password", lab.pool.options.username, lab.pool.options.password)
    return str(lab.client.raw(*login, address=_address(lab, host)).value)


def _get(lab: Moves, host: str, path: str, **query: str) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection(_address(lab, host), lab.client.port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", path + "?" + "&".join(f"{name}={value}" for name, value in query.items()))
        reply = connection.getresponse()
        return reply.status, reply.getheader("Location", ""), reply.read()


def _await(lab: Moves, host: str, state: str) -> None:
    toolstack, ref = lab.pool.part(Toolstack), lab.ref("host", host)
    with toolstack.changed:
        assert toolstack.changed.wait_for(lambda: toolstack.on(ref).state == state, 30), toolstack.on(ref).state


def test_the_coordinator_measures_nothing_and_checks_what_its_database_says(lab: Moves) -> None:
    client, running, halted = lab.client, lab.ref("VM", "v"), lab.ref("VM", "z")
    assert client.call("VM.get_data_sources", running) == []
    assert client.refuse("VM.get_data_sources", halted) == ["VM_BAD_POWER_STATE", halted, "running", "halted"]
    refusal = client.refuse("VM.query_data_source", halted, "memory")
    assert refusal == ["VM_BAD_POWER_STATE", halted, "running;paused", "halted"]
    client.call("VM.pause", running)
    assert client.refuse("VM.get_data_sources", running)[2:] == ["running", "paused"]
    assert client.refuse("VM.query_data_source", running, "memory")[0] == "INTERNAL_ERROR"
    assert client.refuse("host.get_data_sources", "OpaqueRef:x") == ["HANDLE_INVALID", "host", "OpaqueRef:x"]


def test_a_member_does_not_look_at_the_power_state(lab: Moves) -> None:
    local, address = _local_session(lab), _address(lab, "h2")
    assert lab.client.raw("VM.get_data_sources", local, lab.ref("VM", "z"), address=address).value == []


def test_no_guest_has_a_function_for_its_plugin(lab: Moves) -> None:
    text = f'The requested fn "dance" could not be found in plugin "{PLUGIN}".'
    failure = ["XENAPI_PLUGIN_FAILURE", "failed to find fn", text, text]
    assert lab.client.refuse("VM.call_plugin", lab.ref("VM", "v"), PLUGIN, "dance", {}) == failure
    missing = lab.client.refuse("VM.call_plugin", lab.ref("VM", "v"), "none", "dance", {})
    assert missing == ["XENAPI_MISSING_PLUGIN", "none"]


@pytest.mark.parametrize(("path", "status"), [("/rrd_updates", 404), ("/host_rrd", 404), ("/audit_log", 200)])
def test_downloads_are_empty_on_every_host(lab: Moves, path: str, status: int) -> None:
    for host in ("h1", "h2"):
        assert _get(lab, host, path, session_id=lab.client.session) == (status, "", b"")


def test_statistics_of_a_vm_are_looked_for_where_it_runs(lab: Moves) -> None:
    def ask(host: str, vm: str) -> str:
        found = _get(lab, host, "/vm_rrd", session_id=lab.client.session, uuid=lab.uuid(vm))
        return f"{found[0]} {found[1].partition('//')[2].partition(':')[0]}".strip()

    h1, h2 = _address(lab, "h1"), _address(lab, "h2")
    assert [ask("h1", vm) for vm in ("v", "w", "z")] == ["404", f"302 {h2}", "404"]
    assert [ask("h2", vm) for vm in ("v", "w", "z")] == [f"302 {h1}"] * 3


def test_a_download_needs_a_session_of_the_pool(lab: Moves) -> None:
    for session in ("", "OpaqueRef:x", _local_session(lab)):
        assert _get(lab, "h2", "/audit_log", session_id=session)[0] == 401
    assert _get(lab, "h1", "/elsewhere", session_id=lab.client.session)[0] == 403


def test_a_restart_counts_processors_anew_and_finds_what_storage_there_is(lab: Moves) -> None:
    store = lab.pool.store
    h1, h2 = lab.ref("host", "h1"), lab.ref("host", "h2")
    store.update("host", h1, other_config={**store.value("host", h1, "other_config"), "no_local_storage": "true"})
    before = {ref: store.value("host", ref, "host_CPUs") for ref in (h1, h2)}
    assert NULL not in {store.value("VBD", ref, "metrics") for ref in store.refs("VBD")}
    lab.restart("h2")
    _await(lab, "h2", READY)
    assert store.value("host", h1, "host_CPUs") == before[h1], "only the host that starts counts"
    lab.restart("h1", "TERM")
    _await(lab, "h1", "down")
    _await(lab, "h1", READY)
    lab.client.login()
    for ref, old in before.items():
        new = store.value("host", ref, "host_CPUs")
        assert (len(new), set(new) & set(old)) == (len(old), set())
    for cls in ("VBD", "VIF"):
        assert {store.value(cls, ref, "metrics") for ref in store.refs(cls)} == {NULL}
    has = {name: "no_local_storage" in store.value("host", ref, "other_config") for name, ref in (("1", h1), ("2", h2))}
    assert has == {"1": False, "2": True}, "h1 has an SR of its own"


def test_a_host_says_whether_it_is_in_emergency_mode(lab: Moves) -> None:
    address = _address(lab, "h2")
    assert lab.client.call("host.is_in_emergency_mode") is False
    lab.pool.part(Toolstack).stop(lab.ref("host", "h1"))
    lab.restart("h2")
    _await(lab, "h2", EMERGENCY)
    limit = time.monotonic() + 30
    while not lab.pool.server.is_up(lab.ref("host", "h2")):
        assert time.monotonic() < limit, "nobody listens"
        time.sleep(0.002)
    local = _local_session(lab)
    assert lab.client.raw("host.is_in_emergency_mode", local, address=address).value is True
    assert lab.client.raw("VM.get_all", local, address=address).failure == ["HOST_STILL_BOOTING"]


@pytest.mark.parametrize("prefix", ["", "Async."])
def test_a_session_of_a_member_changes_nothing(lab: Moves, prefix: str) -> None:
    local, address, vm = _local_session(lab), _address(lab, "h2"), lab.ref("VM", "v")
    slave = ["HOST_IS_SLAVE", _address(lab, "h1")]

    def refuse(method: str, *params: Any) -> list[str]:
        return lab.client.raw(method, local, *params, address=address).failure

    assert refuse(f"{prefix}VM.pool_migrate", vm, lab.ref("host", "h2"), {}) == slave
    assert refuse("VM.set_name_description", vm, "x") == slave
    assert refuse("VM.add_to_other_config", vm, "x", "y") == slave
    assert (lab.vm("v")["name_description"], lab.runs_on("v")) == ("", ["h1"])
    assert lab.client.raw("VM.get_record", local, vm, address=address).value["name_label"] == "v"


def test_every_probe_has_its_question_or_its_reason() -> None:
    found: set[str] = set()
    for path in TIMELINES.glob("C*.json"):
        told = json.loads(path.read_text())["after"]
        found |= set(told.get("probes", told if "VM.get_record" in told else {}))
    assert set(probes.MASKS) <= found, "a mask that covers nothing"
    asked = {probes.split(key)[0] for key in found - set(probes.MASKS)}
    assert asked == set(probes.QUESTIONS)
    assert all(probes.MASKS.values())


def test_the_world_of_these_tests_has_local_storage_on_one_host() -> None:
    assert [sr["hosts"] for sr in TWO_HOSTS["storage"] if not sr.get("shared")] == [["h1"]]
