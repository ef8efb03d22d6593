"""Calls of the plugin for guests' files: once each, in an armed session only; and who names a file."""

from collections.abc import Callable
from typing import Any

import pytest

from lmflow.exceptions import NoReplyError, SessionNotArmedError, XapiFailureError
from lmflow.xapi import guest_files
from lmflow.xapi.connection import Connection
from tests.support.guest_file_cases import KERNEL, PART
from tests.support.scripted_host import SESSION, Act, ScriptedHost, failure, value

MakeHost = Callable[..., ScriptedHost]
Connect = Callable[..., Connection]

HOST = {"host.get_by_uuid": [value("OpaqueRef:h")]}
ABSENT = value('{"directory": true, "exists": false}')


def vm(uuid: str, kernel: str = "", ramdisk: str = "", on: str = "OpaqueRef:NULL", to: str = "") -> dict[str, Any]:
    places = {"resident_on": on, "scheduled_to_be_resident_on": to or "OpaqueRef:NULL"}
    return {"uuid": uuid, "PV_kernel": kernel, "PV_ramdisk": ramdisk, **places}


VMS = {
    "OpaqueRef:1": vm("kernel", kernel=KERNEL, on="OpaqueRef:h"),
    "OpaqueRef:2": vm("ramdisk", ramdisk=KERNEL, on="OpaqueRef:other", to="OpaqueRef:h"),
    "OpaqueRef:3": vm("spelt", kernel="//var/lib/xcp/./guest/x/../vmlinuz"),
    "OpaqueRef:4": vm("else", kernel=f"{KERNEL}-2", ramdisk="/boot/guest/vmlinuz", on="OpaqueRef:h"),
    "OpaqueRef:5": vm("none", on="OpaqueRef:h"),
}


@pytest.mark.parametrize("refused", [False, True])
def test_who_names_a_file(make_host: MakeHost, connect: Connect, refused: bool) -> None:
    answer = failure("INTERNAL_ERROR", "missing field", "PV__kernel", "") if refused else value(VMS)
    host = make_host({**HOST, "VM.get_all_records_where": [answer], "VM.get_all_records": [value(VMS)]})
    conn = connect(host)
    assert guest_files.find_users(conn, KERNEL) == ("kernel", "ramdisk", "spelt")
    assert guest_files.find_users(conn, KERNEL, host_uuid="h") == ("kernel", "ramdisk")
    assert host.count("VM.get_all_records") == 2 * int(refused)


def test_a_call_needs_an_armed_session(make_host: MakeHost, connect: Connect) -> None:
    host = make_host({**HOST, "host.call_plugin": [ABSENT]})
    conn = connect(host)
    with pytest.raises(SessionNotArmedError):
        guest_files.look_at(conn, "h", KERNEL)
    assert host.count("host.call_plugin") == 0
    conn.arm()
    assert not guest_files.look_at(conn, "h", KERNEL, part=PART).exists
    (sent,) = (r for r in host.requests if r.method == "host.call_plugin")
    assert sent.params == (SESSION, "OpaqueRef:h", "lmflow-guest-files", "stat", {"path": KERNEL, "part": PART})


@pytest.mark.parametrize(
    ("act", "error", "armed"),
    [
        (Act("close"), NoReplyError, True),
        (failure("XENAPI_MISSING_PLUGIN", "lmflow-guest-files"), XapiFailureError, True),
        (failure("SESSION_INVALID", SESSION), XapiFailureError, False),
    ],
)
def test_it_is_sent_once_whatever_comes(
    make_host: MakeHost, connect: Connect, act: Act, error: type[Exception], armed: bool
) -> None:
    host = make_host({**HOST, "host.call_plugin": [act]})
    conn = connect(host)
    conn.arm()
    with pytest.raises(error):
        guest_files.discard(conn, "h", KERNEL, PART)
    assert host.count("host.call_plugin") == 1
    assert conn.armed is armed
