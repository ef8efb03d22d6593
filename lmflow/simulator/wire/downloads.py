"""What a client may get with GET: statistics, of which there are none, and the log of who did what, which is empty.

Source: the statuses of a recorded pool without the program that measures; who is sent to which host: rrdd_proxy.ml.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from lmflow.simulator.database.values import NULL
from lmflow.simulator.kernel import Kernel
from lmflow.simulator.wire.http1 import HttpReply, HttpRequest, forbidden, unauthorised

_PERMISSIONS = {
    "/rrd_updates": "http/rrd_updates",
    "/host_rrd": "http/host_rrd",
    "/vm_rrd": "http/vm_rrd",
    "/audit_log": "http/get_audit_log",
}


def is_known(path: str) -> bool:
    """Tell whether something is offered under this path; everything else is forbidden."""
    return path in _PERMISSIONS


def answer(kernel: Kernel, request: HttpRequest) -> HttpReply:
    """Answer a GET of a known path: 401 without a session of the pool, 403 without the permission."""
    session, permission = request.query("session_id"), _PERMISSIONS[request.path]
    if not session or not kernel.sessions.is_valid(session):
        return unauthorised(permission.removeprefix("http/"))
    if not kernel.rbac.is_permitted(session, permission):
        return forbidden()
    return _ANSWERS[request.path](kernel, request)


def _give_nothing(_: Kernel, __: HttpRequest) -> HttpReply:
    return HttpReply(404, close=True)


def _give_empty_log(_: Kernel, __: HttpRequest) -> HttpReply:
    return HttpReply(200, close=True)


def _give_vm_statistics(kernel: Kernel, request: HttpRequest) -> HttpReply:
    """Send the client to the host of the VM; from there, and for a VM that is nowhere, to the coordinator's archive."""
    store, coordinator_ref = kernel.store, kernel.coordinator_ref
    with store.lock:
        found = store.find("VM", uuid=request.query("uuid") or "")
        resident = store.value("VM", found[0], "resident_on") if found else NULL
        is_elsewhere = store.exists("host", resident) and resident != request.host_ref
        if not is_elsewhere and request.host_ref == coordinator_ref:
            return HttpReply(404, close=True)
        address = store.value("host", resident if is_elsewhere else coordinator_ref, "address")
    scheme, port = ("https" if kernel.options.https else "http"), kernel.server.port
    query = urlsplit(request.target).query
    return HttpReply(302, headers={"Location": f"{scheme}://{address}:{port}/vm_rrd?{query}"}, close=True)


_ANSWERS: dict[str, Callable[[Kernel, HttpRequest], HttpReply]] = {
    "/rrd_updates": _give_nothing,
    "/host_rrd": _give_nothing,
    "/vm_rrd": _give_vm_statistics,
    "/audit_log": _give_empty_log,
}
