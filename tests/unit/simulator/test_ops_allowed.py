"""Which operations go on beside which, and a record as the text that a snapshot keeps."""

import pytest

from lmflow.simulator.rules.allowed_vm import SHOWN, may_begin_beside
from lmflow.simulator.vm_text import write_record
from tests.support.recorded import lab, trace


@pytest.mark.parametrize(
    ("operation", "others", "may"),
    [
        ("start", (), True),
        ("pool_migrate", ("pool_migrate",), False),
        ("snapshot", ("pool_migrate",), False),
        ("hard_shutdown", ("pool_migrate",), True),
        ("hard_shutdown", ("clean_shutdown",), True),
        ("hard_shutdown", ("hard_reboot",), True),
        ("hard_shutdown", ("hard_shutdown",), False),
        ("hard_reboot", ("hard_shutdown",), False),
        ("clone", ("copy", "export"), True),
        ("clone", ("copy", "snapshot"), False),
        ("checkpoint", ("snapshot",), True),
        ("start", ("clone",), False),
    ],
)
def test_what_may_begin_beside_what(operation: str, others: tuple[str, ...], may: bool) -> None:
    assert may_begin_beside(operation, others) is may


def test_while_anything_goes_on_force_may_be_used() -> None:
    for operation in SHOWN:
        beside = {other for other in SHOWN if may_begin_beside(other, [operation])}
        assert "hard_shutdown" in beside or operation == "hard_shutdown"


def test_a_record_becomes_the_text_that_was_recorded() -> None:
    """The snapshot was taken before the record was read: what changed meanwhile is put back."""
    snapshots = (event["snapshot"] for event in trace.requests("09")[0].data["parsed"]["Value"]["events"])
    text = next(found["snapshot_metadata"] for found in snapshots if found.get("snapshot_metadata"))
    by_ref = {ref: record for ref, (cls, record) in lab.records().items() if cls == "VM"}
    ref = next(ref for ref, record in by_ref.items() if record["name_label"] == "vm-run")
    record = lab.read_record("VM", by_ref[ref])
    then = {
        "allowed_operations": ["hard_reboot", "hard_shutdown", "checkpoint", "snapshot"],
        "current_operations": {"OpaqueRef:3f2ae0cd-b132-6e25-22f0-dd2f5a398045": "snapshot"},
        "domid": 14,
        "guest_metrics": "OpaqueRef:d52b9985-ac1f-99bb-7723-c19f944b548d",
        "last_booted_record": "",
        "name_description": "",
        "parent": "OpaqueRef:NULL",
        "resident_on": "OpaqueRef:03a547de-d0f1-3a15-2a3c-38d13cfd3b23",
        "snapshots": [],
    }
    assert write_record({**record, **then}, ref) == text
