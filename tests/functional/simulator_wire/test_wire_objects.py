"""Objects that are nothing but records: created, written, joined and removed over the wire."""

from collections.abc import Iterator

import pytest

from lmflow.simulator.kernel import Options
from lmflow.simulator.pool import SimulatedPool
from lmflow.simulator.worlds import world
from tests.support.recorded import lab
from tests.support.wire import WireClient


@pytest.fixture(scope="module")
def wire() -> Iterator[WireClient]:
    with SimulatedPool(Options(), world=world.load(lab.make_lab())) as pool:
        client = WireClient(pool)
        client.login()
        yield client


def test_an_appliance_leaves_its_vms_behind(wire: WireClient) -> None:
    appliance = wire.call("VM_appliance.create", {"name_label": "shop", "name_description": ""})
    vm = wire.ref("VM", "vm-halted")
    wire.call("VM.set_appliance", vm, appliance)
    assert wire.call("VM_appliance.get_VMs", appliance) == [vm]
    wire.call("VM_appliance.destroy", appliance)
    assert wire.call("VM.get_appliance", vm) == "OpaqueRef:NULL"


def test_a_group_leaves_its_vms_behind(wire: WireClient) -> None:
    group = wire.call("VM_group.create", {"name_label": "apart", "name_description": "", "placement": "anti_affinity"})
    assert wire.call("VM_group.get_placement", group) == "anti_affinity"
    wire.call("VM_group.destroy", group)
    assert wire.call("VM_group.get_all") == []


def test_a_network_that_is_used_cannot_be_destroyed(wire: WireClient) -> None:
    used, office = wire.ref("network", "priv-h1"), wire.ref("network", "Pool-wide network 0")
    (vif,) = wire.call("network.get_VIFs", used)
    assert wire.refuse("network.destroy", used) == ["NETWORK_CONTAINS_VIF", vif]
    assert wire.refuse("network.destroy", office)[0] in {"NETWORK_CONTAINS_VIF", "NETWORK_CONTAINS_PIF"}
    made = wire.call("network.create", {"name_label": "new", "name_description": "", "MTU": 9000, "other_config": {}})
    assert wire.call("network.get_MTU", made) == "9000"
    bridges = [record["bridge"] for record in wire.call("network.get_all_records").values()]
    assert len(set(bridges)) == len(bridges)
    wire.call("network.destroy", made)
    assert wire.refuse("network.get_MTU", made) == ["HANDLE_INVALID", "network", made]


def test_purposes_that_exclude_each_other_are_refused(wire: WireClient) -> None:
    network = wire.call("network.create", {"name_label": "nbd", "other_config": {}})
    wire.call("network.add_purpose", network, "nbd")
    assert wire.refuse("network.add_purpose", network, "insecure_nbd") == [
        "NETWORK_INCOMPATIBLE_PURPOSES",
        "insecure_nbd",
        "nbd",
    ]
    wire.call("network.remove_purpose", network, "nbd")
    wire.call("network.add_purpose", network, "insecure_nbd")
    assert wire.call("network.get_purpose", network) == ["insecure_nbd"]


def test_a_blob_belongs_to_an_object_by_name(wire: WireClient) -> None:
    vm = wire.ref("VM", "vm-halted")
    blob = wire.call("VM.create_new_blob", vm, "notes", "", True)
    assert wire.call("VM.get_blobs", vm) == {"notes": blob}
    record = wire.call("blob.get_record", blob)
    assert (record["name_label"], record["mime_type"], record["public"]) == ("notes", "application/octet-stream", True)


def test_subjects_are_known_once(wire: WireClient) -> None:
    subject = wire.call("subject.create", {"subject_identifier": "S-1", "other_config": {}})
    assert wire.refuse("subject.create", {"subject_identifier": "S-1"}) == ["SUBJECT_ALREADY_EXISTS"]
    wire.call("subject.destroy", subject)
    assert wire.call("subject.get_all") == []


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("VM.set_resident_on", ("v", "h")),
        ("VM.set_uuid", ("v", "u")),
        ("host.set_metrics", ("h", "m")),
        ("VM.add_VIFs", ("v", "i")),
        ("session.set_originator", ("s", "o")),
    ],
)
def test_what_xapi_derives_has_no_setter(wire: WireClient, call: str, arguments: tuple[str, ...]) -> None:
    assert wire.refuse(call, *arguments) == ["MESSAGE_METHOD_UNKNOWN", call]
