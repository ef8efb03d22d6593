"""Pools made up for tests of the matrix, and a strategy that makes up any."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from lmflow.models import PBD, PIF, SR, VBD, VDI, VIF, VM, Host, Network, Overview, Pool

GIB = 1024**3


def make_host(name: str, **fields: Any) -> Host:
    told: dict[str, Any] = {"enabled": True, "live": True, "memory_total_bytes": 32 * GIB, **fields}
    return Host(f"uuid-{name}", name, "10.0.0.1", **told)


def make_vm(name: str, host: str | None, **fields: Any) -> VM:
    told: dict[str, Any] = {
        "power_state": "Running" if host else "Halted",
        "allowed_operations": ("pool_migrate",) if host else (),
        "memory_dynamic_min_bytes": 2 * GIB,
        "memory_dynamic_max_bytes": 2 * GIB,
        "scheduled_to_be_resident_on_uuid": None,
        **fields,
    }
    return VM(uuid=f"uuid-{name}", name_label=name, resident_on_uuid=host and f"uuid-{host}", **told)


def make_overview(hosts: list[Host], vms: list[VM], **fields: Any) -> Overview:
    return Overview(observed_at=0.0, pool=Pool("p", "lab", hosts[0].uuid), hosts=tuple(hosts), vms=tuple(vms), **fields)


@st.composite
def overviews(draw: st.DrawFn) -> Overview:
    """A pool of up to six hosts, with a VM ``v`` whose disk, network, CPU and memory fit on some of them."""
    names = draw(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6, unique=True))
    hosts = [
        make_host(
            name, enabled=draw(st.booleans()), live=draw(st.booleans()),
            memory_total_bytes=draw(st.sampled_from([0, GIB, 8 * GIB, 8 * GIB, 64 * GIB])),
            cpu_features=draw(st.sampled_from(["ff", "0f"])),
        )
        for name in names
    ]  # fmt: skip
    attached = st.booleans()
    pbds = [PBD(f"pbd-{n}", "sr", f"uuid-{n}", currently_attached=draw(attached)) for n in names if draw(attached)]
    pifs = [PIF(f"pif-{n}", "net", f"uuid-{n}", currently_attached=True) for n in names if draw(attached)]
    vm = make_vm(
        "v", draw(st.sampled_from([*names, None])),
        last_boot_cpu_flags={"features": draw(st.sampled_from(["ff", "0f"]))},
        vbds=(VBD("vbd", "0", "Disk", empty=False, currently_attached=True, vdi=VDI("vdi", "root", "sr")),),
        vifs=(VIF("vif", "0", "net", currently_attached=True),),
    )  # fmt: skip
    return make_overview(
        hosts, [vm, make_vm("w", names[0], memory_dynamic_min_bytes=draw(st.sampled_from([GIB, 7 * GIB])))],
        srs=(SR("sr", "nfs", "nfs", shared=draw(st.booleans())),), pbds=tuple(pbds),
        networks=(Network("net", "lan", wired=bool(pifs)),), pifs=tuple(pifs),
    )  # fmt: skip
