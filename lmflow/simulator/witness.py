"""The door to each host's xenopsd, ``POST /services/xenops``: it tells what really runs, whatever the database says.

It is the end point of XAPI's own migrations; an answer has XML-RPC's form, its errors are xenopsd's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lmflow.simulator.codec import encode_bare, encode_success, parse_call
from lmflow.simulator.http1 import server_error
from lmflow.simulator.kernel import Kernel
from lmflow.simulator.registry import part
from lmflow.simulator.toolstack import Toolstack
from lmflow.simulator.xenops import Domain, Xenops, XenopsTask

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
        if not session_ref or not self._pool.sessions.is_valid(session_ref):
            return 401, {}, b""
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
        found = self._pool.store.find("VM", uuid=copied or vm_uuid)
        vm = self._pool.store.record("VM", found[0]) if found else {}
        return [_config_of(vm_uuid, vm), _state_of(domain, vm)]

    def _vm_list(self, _host_ref: str, _arguments: Mapping[str, Any]) -> Any:
        raise _XenopsError("Internal_error", "Idl.MarshalError(\"Expecting named argument 'unit'\")")

    def _task_list(self, host_ref: str, _arguments: Mapping[str, Any]) -> list[Any]:
        xenops = self._xenops
        with xenops.lock:
            return [_task_of(task) for task in xenops.on(host_ref).tasks]


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


def _config_of(vm_uuid: str, vm: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "has_vendor_device": False,
        "pci_power_mgmt": False,
        "pci_msitranslate": True,
        "on_softreboot": ["Softreboot"],
        "on_reboot": ["Start"],
        "on_shutdown": ["Shutdown"],
        "on_crash": ["Start"],
        "scheduler_params": {"affinity": [], "priority": [256, 0]},
        "vcpus": vm.get("VCPUs_at_startup", 1),
        "vcpu_max": vm.get("VCPUs_max", 1),
        "memory_dynamic_min": vm.get("memory_dynamic_min", 0),
        "memory_dynamic_max": vm.get("memory_dynamic_max", 0),
        "memory_static_max": vm.get("memory_static_max", 0),
        "suppress_spurious_page_faults": False,
        "ty": ["HVM", {"firmware": "Bios", "boot_order": "dc", "acpi": True, "hap": True, "serial": "pty"}],
        "bios_strings": {},
        "platformdata": dict(vm.get("platform", {})),
        "xsdata": {},
        "ssidref": 0,
        "name": vm.get("name_label", ""),
        "id": vm_uuid,
    }


def _state_of(domain: Domain, vm: Mapping[str, Any]) -> dict[str, Any]:
    running = domain.power_state != "Halted"
    memory_bytes = vm.get("memory_target", 0) if running else 0
    return {
        "numa_optimised": False,
        "featureset": vm.get("last_boot_CPU_flags", {}).get("features", ""),
        "domain_type": "Domain_HVM",
        "nested_virt": False,
        "nomigrate": False,
        "hvm": True,
        "last_start_time": float(domain.started),
        "pv_drivers_detected": running,
        "guest_agent": {},
        "vcpu_target": vm.get("VCPUs_at_startup", 1),
        "memory_limit": memory_bytes,
        "memory_actual": memory_bytes,
        "memory_target": memory_bytes,
        "consoles": [],
        "domids": [domain.domid] if running and domain.domid >= 0 else [],
        "power_state": domain.power_state,
    }
