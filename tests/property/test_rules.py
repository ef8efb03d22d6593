"""Where the rules say yes, and nothing happened in between, the pool does not say no.

Where a run would connect storage first, it is connected first, and the rules are asked again, as a run does. Of high
availability's plan only the pool knows: such a no always had the warning, and without the warning there is none.

The other way round is only counted: some rules refuse what a pool would do, for good reasons of their own.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Iterator
from typing import Any

import XenAPI
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from lmflow import checks
from lmflow.models import PoolProfile, Snapshot, Terms
from lmflow.simulator.kernel import Options
from lmflow.simulator.pool import SimulatedPool
from lmflow.simulator.worlds import world, world_edit
from lmflow.verdict import ORDERED_CODES
from lmflow.xapi import reads
from lmflow.xapi.connection import Connection
from lmflow.xapi.overview import read_overview
from tests.support.rule_worlds import PAIRS, PLACE_CHOICES, list_worlds, worlds

ASKED = 20
SAID: Counter[tuple[str, str]] = Counter()
BREAKS_PLAN = "HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN"
TOLD: Counter[str] = Counter()
"""How often storage was plugged or created first, and how often the plan was warned of or in the way."""
ALONE: Counter[str] = Counter()
"""How often a rule alone said what the pool says: without it, the property would not have held."""
DECISIVE = {
    *("cpu.features", "cpu.virtual", "host.answer", "host.enabled", "host.live", "memory.answer", "network.answer"),
    *(
        "network.receiver",
        "pool.licence",
        "pool.upgrade",
        "sr.reach",
        "vm.allowed",
        "vm.blocked",
        "vm.immobile",
        "vm.kind",
    ),
    *("vm.on_boot", "vm.pci", "vm.power_state", "vm.suspend"),
}
"""The rules that must have decided alone: whoever switches one of them off is found out."""


class Asked:
    """A pool, a connection to it, and an administrator who asks for what the rules were asked."""

    def __init__(self, pool: SimulatedPool, conn: Connection, session: Any) -> None:
        self.pool = pool
        self.conn = conn
        self.session = session

    def ref(self, cls: str, name: str) -> str:
        (found,) = self.pool.store.find(cls, name_label=name)
        return str(found)

    def uuid(self, cls: str, name: str) -> str:
        return str(self.pool.store.value(cls, self.ref(cls, name), "uuid"))

    def look(self, vm: str, host: str, terms: Terms, *, alone: bool) -> Snapshot:
        """Read as a run does, which asks about one host, or as a check does, which asks about all."""
        vm_uuid, host_uuid = self.uuid("VM", vm), self.uuid("host", host)
        if alone:
            return reads.read_snapshot(self.conn, vm_uuid, host_uuid, now=1.0, terms=terms)
        overview = read_overview(self.conn, [vm_uuid], now=1.0, terms=terms)
        answer = reads.ask_boot(self.conn, vm_uuid, host_uuid)
        return dataclasses.replace(overview.snapshot(vm_uuid, host_uuid), boot_check=answer, boot_asked=True)

    def migrate(self, vm: str, host: str, options: dict[str, str]) -> str:
        """Migrate, put the VM back where it was, and return the code of XAPI's refusal, '' for none."""
        vm_ref, store = self.ref("VM", vm), self.pool.store
        before = store.value("VM", vm_ref, "resident_on")
        try:
            self.session.xenapi.VM.pool_migrate(vm_ref, self.ref("host", host), options)
        except XenAPI.Failure as failure:
            return str(failure.details[0])
        world_edit.edit(self.pool, "VM", vm_ref, {"resident_on": before})
        return ""


@contextlib.contextmanager
def connected(asked: Asked, snapshot: Snapshot) -> Iterator[bool]:
    """Connect the destination to what a run would connect it to, and part them again; yield whether that was needed."""
    xenapi = asked.session.xenapi
    host_ref = xenapi.host.get_by_uuid(snapshot.destination_uuid)
    plugs = [xenapi.PBD.get_by_uuid(pbd.uuid) for pbd in checks.find_plugs(snapshot)]
    made = []
    for sr in checks.find_creations(snapshot):
        sr_ref = xenapi.SR.get_by_uuid(sr.uuid)
        source = xenapi.PBD.get_record(xenapi.SR.get_PBDs(sr_ref)[0])
        made.append(xenapi.PBD.create({"host": host_ref, "SR": sr_ref, "device_config": source["device_config"]}))
    TOLD.update({"plugged": len(plugs), "created": len(made)})
    for ref in (*plugs, *made):
        xenapi.PBD.plug(ref)
    yield bool(plugs or made)
    for ref in (*plugs, *made):
        xenapi.PBD.unplug(ref)
    for ref in made:
        xenapi.PBD.destroy(ref)


def judge(asked: Asked, vm: str, host: str, terms: Terms, options: dict[str, str], *, alone: bool) -> None:
    """Ask the rules; where they do not object, prepare as a run does and ask them again; then ask the pool."""
    snapshot = asked.look(vm, host, terms, alone=alone)
    found = checks.check_all(snapshot)
    with contextlib.ExitStack() as stack:
        if not checks.find_refusals(found) and stack.enter_context(connected(asked, snapshot)):
            snapshot = asked.look(vm, host, dataclasses.replace(terms, prepared=True), alone=True)
            found = checks.check_all(snapshot)
        code = asked.migrate(vm, host, options)
    refusals = checks.find_refusals(found)
    warned = any(f.code == BREAKS_PLAN for f in checks.find_warnings(found, strict=False))
    TOLD.update({"warned": warned, "in the way": code == BREAKS_PLAN})
    if code == BREAKS_PLAN:
        assert warned, f"the plan forbids {vm} -> {host}, and no rule has warned of it: {snapshot}"
    elif not refusals:
        assert code not in ORDERED_CODES, f"no rule objects to {vm} -> {host}, XAPI says {code}: {snapshot}"
        assert not code, f"{vm} -> {host} failed: {code}"
    rules = {finding.rule for finding in refusals}
    ALONE.update(rules if len(rules) == 1 and code else ())
    SAID["no" if refusals else "yes", "no" if code else "yes"] += 1


def ask(description: dict[str, Any], *, force: bool, network: str, alone: bool) -> None:
    """Ask the rules and the pool about each of the pairs."""
    made = SimulatedPool(Options(time_scale=1000.0, seed=1), world=world.World(description))
    with made as pool:
        told = pool.describe()
        profile = PoolProfile(name="odd", addresses=(told["coordinator"],), scheme="http", port=told["port"])
        session = XenAPI.Session(f"http://{told['coordinator']}:{told['port']}")
        session.xenapi.login_with_password(told["username"], told["password"])
        with Connection.open(profile, lambda: str(told["password"])) as conn:
            asked = Asked(pool, conn, session)
            terms = Terms(force=force, network_uuid=asked.uuid("network", network) if network else "")
            options = {"live": "true", **({"force": "true"} if force else {})}
            options |= {"network": asked.ref("network", network)} if network else {}
            for vm, host in PAIRS:
                judge(asked, vm, host, terms, options, alone=alone)
        session("close")()


def test_each_oddity_by_itself() -> None:
    """What alone is odd is said by a rule, whenever the pool says it, and nothing but that rule would have."""
    SAID.clear()
    ALONE.clear()
    TOLD.clear()
    for number, (description, fast) in enumerate(list_worlds()):
        ask(description, force=False, network="fast" if fast else "", alone=number % 2 == 0)
    assert SAID["yes", "yes"] >= len(PLACE_CHOICES), SAID
    assert set(ALONE) >= DECISIVE, DECISIVE - set(ALONE)
    assert set(+TOLD) == {"plugged", "created", "warned", "in the way"}, TOLD


@settings(
    max_examples=ASKED,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(
    description=worlds(),
    force=st.booleans(),
    network=st.sampled_from(["", "fast"]),
    alone=st.booleans(),
)
def test_where_the_rules_say_yes_the_pool_does_not_say_no(
    description: dict[str, Any], force: bool, network: str, alone: bool
) -> None:
    try:
        ask(description, force=force, network=network, alone=alone)
    except world.ImpossibleWorldError:
        assume(False)
