"""The terms of a migration, and the VM in which lmflow runs, as this machine shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmflow.models import MoveOptions, Site, Terms
from lmflow.tasks import terms
from lmflow.tasks.terms import find_own_vm_uuids, make_terms

OWN = "12345678-9abc-4def-8123-456789abcdef"
SWAPPED = "78563412-bc9a-ef4d-8123-456789abcdef"


def write(system: Path, **files: str) -> Path:
    """Write files below a directory that stands for /sys; two underscores part the directories."""
    for name, text in files.items():
        path = system.joinpath(*name.split("__"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    return system


DMI = "class__dmi__id__"


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, ()),
        ({"hypervisor__type": "xen", "hypervisor__uuid": OWN.upper()}, (OWN,)),
        ({"hypervisor__type": "xen", "hypervisor__uuid": "00000000-0000-0000-0000-000000000000"}, ()),
        ({"hypervisor__type": "xen", f"{DMI}product_uuid": OWN}, (OWN, SWAPPED)),
        ({f"{DMI}product_name": "HVM domU", f"{DMI}product_uuid": SWAPPED.upper()}, (SWAPPED, OWN)),
        ({f"{DMI}product_name": "PowerEdge", f"{DMI}product_uuid": OWN}, ()),
        ({f"{DMI}product_name": "HVM domU"}, ()),
        ({f"{DMI}product_name": "Maßarbeit", f"{DMI}product_uuid": OWN}, ()),
    ],
)
def test_which_vm_this_machine_is(tmp_path: Path, files: dict[str, str], found: tuple[str, ...]) -> None:
    assert find_own_vm_uuids(write(tmp_path, **files)) == found


@pytest.mark.parametrize(("asked", "own"), [((), SWAPPED), (("v", OWN), OWN), ((SWAPPED,), SWAPPED), (("v",), SWAPPED)])
def test_the_vm_in_question_decides_on_the_order_of_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: tuple[str, ...], own: str
) -> None:
    system = write(tmp_path, **{f"{DMI}product_name": "HVM domU", f"{DMI}product_uuid": SWAPPED})
    monkeypatch.setattr(terms, "find_own_vm_uuids", lambda: find_own_vm_uuids(system))
    assert make_terms(MoveOptions(), Site(), asked).own_vm_uuid == own


@pytest.mark.parametrize("own", ["", OWN])
def test_what_the_site_says_is_taken_as_it_is(own: str) -> None:
    options = MoveOptions(force=True, network_uuid="net", eject_local_iso=True)
    made = make_terms(options, Site(own_vm_uuid=own.upper()), ("v",))
    assert made == Terms(force=True, network_uuid="net", eject_local_iso=True, own_vm_uuid=own)


def test_a_machine_that_is_no_vm_of_xen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terms, "find_own_vm_uuids", tuple)
    assert make_terms(MoveOptions(), Site()) == Terms()
