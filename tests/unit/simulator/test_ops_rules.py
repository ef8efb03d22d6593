"""The arithmetic of memory and CPU features, restart rules, fault descriptions, s-expressions."""

from typing import Any

import pytest

from lmflow.simulator.database.values import DateTime
from lmflow.simulator.hosts import resync
from lmflow.simulator.hosts.xenops import Xenops
from lmflow.simulator.kernel import Options
from lmflow.simulator.migrations.phase_faults import PhaseFault
from lmflow.simulator.pool import SimulatedPool
from lmflow.simulator.rules import cpu_rules, memory
from lmflow.simulator.worlds import pooldb, world
from tests.support.moves import NULL, TWO_HOSTS, world_with

MIB = 1024 * 1024


@pytest.mark.parametrize(("guest_mib", "needed"), [(512, 545_259_520), (12_000, 12_685_672_448)])
def test_memory_as_a_real_pool_counted_it(guest_mib: int, needed: int) -> None:
    assert guest_mib * MIB + memory.overhead_of(guest_mib * MIB) == needed


def test_free_memory_as_a_real_pool_counted_it() -> None:
    vms = [{"name": f"m{number}", "host": "h1", "memory": "512 MiB"} for number in range(4)]
    described = world_with(*vms)
    described["vms"] = described["vms"][1:]
    pool = SimulatedPool(Options(), world=world.load(described))
    assert memory.free_on(pool.store, pool.find_host("h1")) == 12_494_831_616
    assert memory.free_on(pool.store, pool.find_host("h2")) == 14_130_610_176


@pytest.mark.parametrize(
    ("needed", "offered", "fits"),
    [
        ("0000000f-0000000f", "0000000f-0000000f", True),
        ("00000007-00000007", "0000000f-0000000f", True),
        ("0000000f-0000000f", "00000007-00000007", False),
        ("0000000f", "0000000f-0000000f", True),
        ("0000000f-00000001", "0000000f", False),
        ("0000000f-00000000", "0000000f", True),
        ("", "", True),
    ],
)
def test_features(needed: str, offered: str, fits: bool) -> None:
    assert cpu_rules.has_features(needed, offered) is fits


def place(pool: SimulatedPool, vm: str, host: str | None) -> str:
    """Write a place into the database only."""
    (ref,) = pool.store.find("VM", name_label=vm)
    state = {"power_state": "Running" if host else "Halted", "resident_on": pool.find_host(host) if host else NULL}
    pool.store.update("VM", ref, **state)
    return ref


@pytest.mark.parametrize(
    ("database", "domain_on", "expected"),
    [
        ("h1", "h1", ("Running", "h1", ["h1"])),
        ("h1", "h2", ("Halted", None, ["h2"])),
        ("h1", None, ("Halted", None, [])),
        ("h2", "h1", ("Running", "h2", [])),
        (None, "h1", ("Running", "h1", ["h1"])),
        (None, None, ("Halted", None, [])),
        ("h2", "h2", ("Running", "h2", ["h2"])),
        ("h2", None, ("Running", "h2", [])),
    ],
)
def test_what_a_starting_toolstack_does(database: str | None, domain_on: str | None, expected: tuple[Any, ...]) -> None:
    """h1 starts; what concerns h2 alone is none of its business."""
    pool = SimulatedPool(Options(), world=world.load(TWO_HOSTS))
    xenops, h1 = pool.part(Xenops), pool.find_host("h1")
    ref = place(pool, "v", database)
    uuid = pool.store.value("VM", ref, "uuid")
    xenops.destroy(h1, uuid)
    if domain_on:
        xenops.boot(pool.find_host(domain_on), uuid)
    resync.run(pool, xenops, h1)
    record = pool.store.record("VM", ref)
    host = pool.store.value("host", record["resident_on"], "name_label") if record["resident_on"] != NULL else None
    runs_on = [name for name, uuids in pool.real_domains().items() if uuid in uuids]
    assert (record["power_state"], host, runs_on) == expected


@pytest.mark.parametrize(
    ("data", "end", "code"),
    [
        ({"phase": "setup"}, "source", "VM_MIGRATE_CONTACT_REMOTE_SERVICE_FAILED"),
        ({"phase": "copy"}, "source", "INTERNAL_ERROR"),
        ({"phase": "suspend"}, "source", "VM_FAILED_SUSPEND_ACKNOWLEDGMENT"),
        ({"phase": "suspend", "end": "halted"}, "halted", "INTERNAL_ERROR"),
        ({"phase": "finish"}, "nowhere", "INTERNAL_ERROR"),
        (
            {"phase": "finish", "end": "destination", "error": ["INVALID_VALUE", "kernel"]},
            "destination",
            "INVALID_VALUE",
        ),
        ({"phase": "PBD.plug"}, "", "SR_BACKEND_FAILURE_47"),
        ({"phase": "PBD.unplug"}, "", "SR_BACKEND_FAILURE_202"),
    ],
)
def test_how_a_phase_fails(data: dict[str, Any], end: str, code: str) -> None:
    fault = PhaseFault.make({"kind": "fail", **data})
    assert (fault.end, fault.error_for("OpaqueRef:vm", "0" * 36)[0]) == (end, code)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("string set", "()", []),
        ("string set", "('a' 'b c')", ["a", "b c"]),
        ("(string -> string) map", "(('k' 'v') ('it\\'s' '%_x'))", {"k": "v", "it's": " x"}),
        ("(int -> float) map", "(('1' '0.5'))", {"1": 0.5}),
        ("bool", "true", True),
        ("int", "42", 42),
        ("float", "1.5", 1.5),
        ("string", "two%_%_spaces%%", "two  spaces%"),
        ("VDI ref", "", NULL),
        ("datetime", "19700101T00:00:00Z", DateTime("19700101T00:00:00Z")),
    ],
)
def test_values_of_a_database(kind: str, text: str, value: Any) -> None:
    found = pooldb.parse_value(kind, text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("text", ["(", ")", "('a'", ""])
def test_no_s_expression(text: str) -> None:
    with pytest.raises(ValueError, match="no s-expression"):
        pooldb.parse_sexpr(text)
