"""Worlds come to life: real databases record by record, generated pools, what is refused in the shipped ones."""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from lmflow.simulator.database.schema import Schema, split_map, split_set
from lmflow.simulator.database.store import VOLATILE
from lmflow.simulator.kernel import Options
from lmflow.simulator.pool import SimulatedPool
from lmflow.simulator.worlds import pooldb, world, world_rules_values
from tests.support.moves import NULL, Moves
from tests.support.real_databases import DATABASES, read_tables

SCHEMA = Schema.load()
SCALE = 200.0


@pytest.fixture(scope="module", params=DATABASES, ids=lambda path: path.name.partition(".")[0])
def database(request: pytest.FixtureRequest) -> Iterator[tuple[Moves, dict[str, dict[str, dict[str, str]]]]]:
    """A real pool's database, served, and its tables."""
    pool = SimulatedPool(Options(time_scale=SCALE), world=pooldb.load(request.param))
    with pool:
        yield Moves(pool), read_tables(request.param)


def ask_typed(moves: Moves, method: str, *params: Any) -> Any:
    """Call over JSON-RPC, which tells integers from text."""
    body = {"jsonrpc": "2.0", "method": method, "params": [moves.client.session, *params], "id": 1}
    connection = http.client.HTTPConnection("127.0.0.1", moves.client.port, timeout=30)
    connection.request("POST", "/jsonrpc", json.dumps(body))
    reply = json.loads(connection.getresponse().read())
    connection.close()
    assert "result" in reply, reply
    return reply["result"]


def fits(type_text: str, value: Any) -> bool:
    """Tell whether a value of a JSON reply has the type of the model."""
    pair, kind = split_map(type_text), split_set(type_text)
    if pair is not None:
        return isinstance(value, dict) and all(fits(pair[1], item) for item in value.values())
    if kind is not None:
        return isinstance(value, list) and all(fits(kind, item) for item in value)
    if type_text.startswith("enum "):
        return value in SCHEMA.enums[type_text.removeprefix("enum ")]
    if type_text == "int":
        return type(value) is int
    return isinstance(value, {"bool": bool, "float": (int, float)}.get(type_text, str))


def ask_records(moves: Moves, cls: str, refs: list[str]) -> dict[str, dict[str, Any]]:
    """Ask for all records of a class; one by one where XAPI has no call for all."""
    listed = moves.client.raw(f"{cls}.get_all_records", moves.client.session).parsed
    if listed["Status"] == "Failure":
        assert listed["ErrorDescription"][0] in {"MESSAGE_METHOD_UNKNOWN", "MESSAGE_REMOVED"}
        return {ref: ask_typed(moves, f"{cls}.get_record", ref) for ref in refs}
    records = ask_typed(moves, f"{cls}.get_all_records")
    assert isinstance(records, dict)
    return records


@pytest.mark.parametrize("cls", sorted(set(SCHEMA.classes) - VOLATILE))
def test_every_record_of_a_real_database_is_served(
    database: tuple[Moves, dict[str, dict[str, dict[str, str]]]], cls: str
) -> None:
    moves, tables = database
    rows = tables.get(cls, {})
    records = ask_records(moves, cls, list(rows))
    own = {ref: record for ref, record in records.items() if ref in rows}
    assert list(own) == list(rows)
    fields = SCHEMA.classes[cls].fields
    wrong = [
        (ref, name, record.get(name))
        for ref, record in own.items()
        for name, item in fields.items()
        if not fits(item.type, record.get(name))
    ]
    assert wrong == []
    assert {ref: record["uuid"] for ref, record in own.items()} == {ref: row["uuid"] for ref, row in rows.items()}


def test_a_real_database_brings_nothing_that_the_model_has_not(
    database: tuple[Moves, dict[str, dict[str, dict[str, str]]]],
) -> None:
    moves, tables = database
    assert {cls for cls in tables if cls not in SCHEMA.classes} == set()
    added = {"role", *VOLATILE}
    counts = {cls: count for cls, count in moves.pool.store.counts().items() if count and cls not in added}
    assert counts == {cls: len(rows) for cls, rows in tables.items() if rows}


def test_what_a_real_database_says_of_its_objects_is_what_is_served(
    database: tuple[Moves, dict[str, dict[str, dict[str, str]]]],
) -> None:
    moves, tables = database
    for cls in ("VM", "SR", "PBD", "VDI", "network"):
        for ref, row in tables[cls].items():
            record = ask_typed(moves, f"{cls}.get_record", ref)
            shown = {name.replace("__", "_"): text for name, text in row.items()}
            for name, item in SCHEMA.classes[cls].fields.items():
                derived = (cls, name) in SCHEMA.listed_by.values() or name in _RENEWED
                if name in shown and not derived:
                    assert record[name] == pooldb.parse_value(item.type, shown[name]), (cls, ref, name)


_RENEWED = {"allowed_operations", "current_operations", "domain_type"}
"""What a toolstack writes anew when it starts."""


@pytest.mark.parametrize("path", DATABASES, ids=lambda path: path.name.partition(".")[0])
def test_every_vm_of_a_real_database_migrates_as_far_as_its_disks_let_it(path: Path) -> None:
    with SimulatedPool(Options(time_scale=SCALE), world=pooldb.load(path)) as pool:
        _migrate_everything(Moves(pool))


def _migrate_everything(moves: Moves) -> None:
    store = moves.pool.store
    guests = store.find("VM", is_control_domain=False, is_a_template=False)
    assert guests
    for vm_ref in guests:
        name = store.value("VM", vm_ref, "name_label")
        moves.set_copy(name, 1)
        if store.value("VM", vm_ref, "power_state") == "Halted":
            moves.client.call("VM.start", vm_ref, False, False)
        for host_ref in [*store.refs("host"), store.value("VM", vm_ref, "resident_on")]:
            reached = _reaches(moves, vm_ref, host_ref)
            record = moves.finish(name, store.value("host", host_ref, "name_label"))
            expected = ("success", "") if reached else ("failure", "VM_REQUIRES_SR")
            assert (record["status"], "".join(record["error_info"][:1])) == expected, name
            assert (store.value("VM", vm_ref, "resident_on") == host_ref) is reached


def _reaches(moves: Moves, vm_ref: str, host_ref: str) -> bool:
    store = moves.pool.store
    vbds = [store.record("VBD", ref) for ref in store.value("VM", vm_ref, "VBDs")]
    srs = {store.value("VDI", vbd["VDI"], "SR") for vbd in vbds if vbd["VDI"] != NULL}
    pbds = [store.record("PBD", ref) for ref in store.value("host", host_ref, "PBDs")]
    return srs <= {pbd["SR"] for pbd in pbds if pbd["currently_attached"]}


def test_references_that_lead_nowhere_are_those_that_the_rules_know() -> None:
    found = set()
    for path in DATABASES:
        tables = read_tables(path)
        for cls, rows in tables.items():
            fields = SCHEMA.classes[cls].fields
            for row in rows.values():
                for name, text in row.items():
                    item = fields.get(name.replace("__", "_"))
                    if item is not None and item.type.endswith(" ref"):
                        known = tables.get(item.type.removesuffix(" ref"), {})
                        if text not in {NULL, "", *known}:
                            found.add((cls, item.name))
    assert found == {("VBD", "metrics"), ("VIF", "metrics"), ("VM", "suspend_SR"), ("console", "VM")}
    assert found <= set(world_rules_values.DANGLING)


_OTHERWISE = {"fine", "own-kernel"}
"""VMs of the troubled world that set out; what becomes of a kernel of one's own, other tests say."""


def test_trouble_holds_one_vm_of_each_kind_that_is_refused() -> None:
    with SimulatedPool(Options(time_scale=SCALE), world=world.find("trouble")) as pool:
        moves = Moves(pool)
        names = [pool.store.value("VM", ref, "name_label") for ref in pool.store.find("VM", is_control_domain=False)]
        found = {name: moves.finish(name, "xcp-b")["error_info"][:1] for name in names if name not in _OTHERWISE}
    assert {name: "".join(error) for name, error in found.items()} == {
        "strong-cpu": "VM_INCOMPATIBLE_WITH_THIS_HOST",
        "local-disk": "VM_REQUIRES_SR",
        "unplugged": "VM_REQUIRES_SR",
        "local-iso": "VM_REQUIRES_SR",
        "dmz": "VM_REQUIRES_NETWORK",
        "inside": "VM_REQUIRES_NETWORK",
        "large": "HOST_NOT_ENOUGH_FREE_MEMORY",
        "no-drivers": "VM_LACKS_FEATURE",
        "immobile": "VM_IS_IMMOBILE",
        "blocked": "OPERATION_BLOCKED",
        **dict.fromkeys(("paused", "suspended", "halted", "template", "snapshot"), "VM_BAD_POWER_STATE"),
    }


@pytest.fixture(scope="module")
def generated() -> Iterator[Moves]:
    with SimulatedPool(Options(time_scale=SCALE), world=world.find("generated:6x120")) as pool:
        yield Moves(pool)


def test_a_generated_pool_is_served_whole(generated: Moves) -> None:
    vms = ask_typed(generated, "VM.get_all_records")
    guests = [vm for vm in vms.values() if not vm["is_control_domain"]]
    assert (len(guests), len(vms) - len(guests)) == (120, 6)
    assert {vm["power_state"] for vm in guests} == {"Running", "Paused", "Suspended", "Halted"}
    assert any(vm["is_a_snapshot"] for vm in guests)
    for cls in ("VBD", "VDI", "VIF", "SR", "PBD", "PIF", "VLAN", "network", "host", "VM_metrics", "SM", "console"):
        records = ask_typed(generated, f"{cls}.get_all_records")
        fields = SCHEMA.classes[cls].fields.values()
        assert records
        assert [
            (ref, item.name)
            for ref, record in records.items()
            for item in fields
            if not fits(item.type, record[item.name])
        ] == []


def test_vms_of_a_generated_pool_migrate(generated: Moves) -> None:
    moved = 0
    for vm_ref in generated.pool.store.find("VM", power_state="Running", is_control_domain=False)[:12]:
        name = generated.pool.store.value("VM", vm_ref, "name_label")
        here = generated.pool.store.value("VM", vm_ref, "resident_on")
        others = [ref for ref in generated.client.call("VM.get_possible_hosts", vm_ref) if ref != here]
        for host_ref in others[:1]:
            generated.set_copy(name, 1)
            record = generated.finish(name, generated.pool.store.value("host", host_ref, "name_label"))
            moved += record["status"] == "success"
    assert moved >= 6


def test_a_row_of_a_database_that_is_broken_is_refused(tmp_path: Path) -> None:
    tree = ElementTree.fromstring(pooldb.read_text(DATABASES[1]))  # noqa: S314 - a file of our own
    for table in tree.iter("table"):
        if table.get("name") == "VBD":
            for row in table.iter("row"):
                row.set("VM", "OpaqueRef:nobody")
    path = tmp_path / "state.xml"
    path.write_bytes(ElementTree.tostring(tree))
    with pytest.raises(world.ImpossibleWorldError, match="names an unknown VM by its VM"):
        pooldb.load(path)
