"""The door to each host's xenopsd, ``POST /services/xenops``: it tells what really runs, whatever the database says.

It is the end point of XAPI's own migrations; an answer has XML-RPC's form, its errors are xenopsd's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lmflow.simulator.database.values import NULL
from lmflow.simulator.hosts import witness_state
from lmflow.simulator.hosts.toolstack import Toolstack
from lmflow.simulator.hosts.xenops import Domain, Xenops, XenopsTask
from lmflow.simulator.kernel import Kernel
from lmflow.simulator.rbac import WITNESS
from lmflow.simulator.registry import part
from lmflow.simulator.wire.codec import encode_bare, encode_success, parse_call
from lmflow.simulator.wire.http1 import server_error

Reply = tuple[int, dict[str, str], bytes]
_NO_ANSWER = 'Failure("Failed to read HTTP response from: file:/var/lib/xcp/xenopsd")'


class _XenopsError(Exception):
    def __init__(self, *description: Any) -> None:
        super().__init__(*description)
        self.description = list(description)


@part("witness")
class Witness:
    """Answers for the xenopsd of all hosts; a session of the pool is needed, one of a single host is not enough."""

    def __init__(self, pool: Kernel) -> None:
        self._pool = pool
        pool.witness = self.answer
        self._methods: dict[str, Callable[[str, Mapping[str, Any]], Any]] = {
            "VM.exists": self._vm_exists,
            "VM.stat": self._vm_stat,
            "VM.list": self._vm_list,
            "Task.list": self._task_list,
        }

    def answer(self, host_ref: str, session_ref: str | None, body: bytes) -> Reply:
        """Answer a request to a host's xenopsd: status, headers, body. Blocks while the coordinator is away."""
        if self._pool.options.refuse_witness:
            return 401, {}, b""
        toolstack = self._pool.part(Toolstack)
        if not toolstack.is_coordinator(host_ref) and not toolstack.wait_for_coordinator():
            return 500, {}, server_error("Server_error(CANNOT_CONTACT_HOST)").body
        status = self._weigh(session_ref)
        if status != 200:
            return status, {}, b""
        name, params = parse_call(body)
        method = self._methods.get(name)
        if method is None:
            return 500, {}, server_error(_NO_ANSWER).body
        try:
            arguments = params[0] if params and isinstance(params[0], dict) else {}
            return 200, {}, encode_success(method(host_ref, arguments))
        except _XenopsError as error:
            return 200, {}, encode_bare({"Status": "Failure", "ErrorDescription": error.description})

    @property
    def _xenops(self) -> Xenops:
        return self._pool.part(Xenops)

    def _weigh(self, session_ref: str | None) -> int:
        """Give the HTTP status with which a session is let in or not."""
        if not session_ref or not self._pool.sessions.is_valid(session_ref):
            return 401
        return 200 if self._pool.rbac.is_permitted(session_ref, WITNESS) else 403

    def _vm_exists(self, host_ref: str, arguments: Mapping[str, Any]) -> bool:
        vm_uuid = _argument(arguments, "id")
        known = self._xenops.find(host_ref, vm_uuid) is not None
        return known or vm_uuid in self._xenops.on(host_ref).temporaries

    def _vm_stat(self, host_ref: str, arguments: Mapping[str, Any]) -> list[Any]:
        vm_uuid = _argument(arguments, "id")
        xenops = self._xenops
        domain = xenops.find(host_ref, vm_uuid)
        copied = xenops.on(host_ref).temporaries.get(vm_uuid)
        if domain is None and copied is not None:
            domain = Domain(vm_uuid, -1, "Paused", self._pool.clock.now())
        if domain is None:
            raise _XenopsError("Does_not_exist", ["VM", f"{vm_uuid}/config"])
        store = self._pool.store
        with store.lock:
            found = store.find("VM", uuid=copied or vm_uuid)
            vm = store.record("VM", found[0]) if found else {}
            known = store.exists("VM_guest_metrics", vm.get("guest_metrics", NULL))
            guest = store.record("VM_guest_metrics", vm["guest_metrics"]) if known else {}
        return [witness_state.config_of(vm_uuid, vm), witness_state.state_of(domain, vm, guest)]

    def _vm_list(self, _host_ref: str, _arguments: Mapping[str, Any]) -> Any:
        raise _XenopsError("Internal_error", "Idl.MarshalError(\"Expecting named argument 'unit'\")")

    def _task_list(self, host_ref: str, _arguments: Mapping[str, Any]) -> list[Any]:
        xenops = self._xenops
        with xenops.lock:
            return [_task_of(task) for task in sorted(xenops.on(host_ref).tasks, key=lambda task: str(task.id))]


def _argument(arguments: Mapping[str, Any], name: str) -> str:
    if name not in arguments:
        raise _XenopsError("Internal_error", f"Idl.MarshalError(\"Expecting named argument '{name}'\")")
    return str(arguments[name])


def _task_of(task: XenopsTask) -> dict[str, Any]:
    states: dict[str, list[Any]] = {
        "Pending": ["Pending", float(task.progress)],
        "Completed": ["Completed", {"duration": float(task.duration)}],
        "Failed": ["Failed", ["Internal_error", " ".join(task.error)]],
    }
    return {
        "cancellable": True,
        "backtrace": "()",
        "debug_info": {"cancel_points_seen": "13"},
        "subtasks": {},
        "state": states[task.state],
        "ctime": float(task.created),
        "dbg": task.dbg,
        "id": str(task.id),
    }
