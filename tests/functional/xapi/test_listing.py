"""Lists of VMs and of pending migrations, also where a release refuses the query; several threads at once."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from lmflow.xapi import async_tasks, reads
from lmflow.xapi.connection import Connection
from tests.support.scripted_host import SESSION, ScriptedHost, failure, value

MakeHost = Callable[..., ScriptedHost]
Connect = Callable[..., Connection]

REFUSED = failure("INTERNAL_ERROR", "missing field", "is_a_snapshot", "")


def vm(uuid: str, **fields: Any) -> dict[str, Any]:
    return {"uuid": uuid, "name_label": uuid, "power_state": "Running", "resident_on": "OpaqueRef:h", **fields}


def task(uuid: str, label: str = "Async.VM.pool_migrate", status: str = "pending") -> dict[str, Any]:
    return {"uuid": uuid, "name_label": label, "status": status}


VMS = {
    "OpaqueRef:1": vm("ours", current_operations={"OpaqueRef:t-ours": "pool_migrate"}),
    "OpaqueRef:2": vm("other", current_operations={"OpaqueRef:t-other": "pool_migrate"}),
    "OpaqueRef:3": vm("template", is_a_template=True),
    "OpaqueRef:4": vm("dom0", is_control_domain=True),
    "OpaqueRef:5": vm("snapshot", is_a_snapshot=True),
}
TASKS = {
    "OpaqueRef:t-ours": task("ours"),
    "OpaqueRef:t-other": task("other"),
    "OpaqueRef:t-queued": task("queued", "VM.pool_migrate"),
    "OpaqueRef:t-done": task("done", status="success"),
    "OpaqueRef:t-else": task("else", "Async.VM.clean_shutdown"),
}


@pytest.mark.parametrize("refused", [False, True])
def test_vms(make_host: MakeHost, connect: Connect, refused: bool) -> None:
    host = make_host(
        {
            "VM.get_all_records_where": [REFUSED if refused else value(VMS)],
            "VM.get_all_records": [value(VMS)],
            "host.get_all_records": [value({"OpaqueRef:h": {"uuid": "h"}})],
        }
    )
    vms = reads.list_vms(connect(host))
    assert [(v.name_label, v.resident_on_uuid) for v in vms] == [("ours", "h"), ("other", "h")]
    assert host.count("VM.get_all_records") == int(refused)


@pytest.mark.parametrize("refused", [False, True])
def test_pending_migrations(make_host: MakeHost, connect: Connect, refused: bool) -> None:
    """One that queues stands with no VM yet: it may be ours."""
    host = make_host(
        {
            "task.get_all_records": [value(TASKS)],
            "VM.get_all_records_where": [REFUSED if refused else value(VMS)],
            "VM.get_all_records": [value(VMS)],
        }
    )
    found = async_tasks.list_pending_migrations(connect(host), vm_uuid="ours")
    assert {t.uuid for t in found} == {"ours", "queued"}
    assert host.count("VM.get_all_records") == int(refused)


def test_no_pending_migration_reads_no_vm(make_host: MakeHost, connect: Connect) -> None:
    host = make_host({"task.get_all_records": [value({"OpaqueRef:t-done": TASKS["OpaqueRef:t-done"]})]})
    assert async_tasks.list_pending_migrations(connect(host), vm_uuid="ours") == ()
    assert "VM.get_all_records_where" not in host.methods()


def test_a_new_login_when_asked_for(make_host: MakeHost, connect: Connect) -> None:
    host = make_host({"session.get_uuid": [value("first"), value("second")]})
    conn = connect(host)
    conn.arm()
    conn.login_again()
    assert (conn.session_uuid, conn.armed) == ("second", False)
    assert [r.params for r in host.requests if r.method == "session.logout"] == [(SESSION,)]


def test_threads_share_a_connection(make_host: MakeHost, connect: Connect) -> None:
    """Each gets its own answer, and a lost session costs all of them one login."""
    classes = [f"class{n}" for n in range(8)]
    script = {f"{name}.get_uuid": [value(name)] for name in classes}
    script["class3.get_uuid"] = [value("class3"), failure("SESSION_INVALID", SESSION), value("class3")]
    host = make_host(script)
    conn = connect(host)
    wrong: list[str] = []

    def read(name: str) -> None:
        wrong.extend(name for _ in range(20) if conn.read(f"{name}.get_uuid", "OpaqueRef:x") != name)

    threads = [threading.Thread(target=read, args=(name,), daemon=True) for name in classes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert sum(host.count(f"{name}.get_uuid") for name in classes) == 8 * 20 + 1
    assert host.count("session.login_with_password") == 2
