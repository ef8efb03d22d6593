"""The rule on who holds the VM: a run of lmflow, of this database or of any other, says so on the VM itself."""

from __future__ import annotations

from collections.abc import Iterator

from lmflow.checks.rule import Rule
from lmflow.models import Finding, Snapshot


def check_claimed(snapshot: Snapshot) -> Iterator[Finding]:
    """Does no other run of lmflow hold it, whatever database that run is kept in?"""
    vm = snapshot.vm
    if vm.claimed_by not in ("", snapshot.terms.run_uuid):
        yield object_to_claim(vm.name_label, vm.uuid, vm.claimed_by)


def object_to_claim(name: str, vm_uuid: str, holder: str) -> Finding:
    """Return the objection to a VM of that name that the run ``holder`` holds."""
    return CLAIMED.object_to(
        f"{name} is held by run {holder}: its other_config:lmflow-run says so",
        remedy=(
            f"lmflow run show {holder[:8]}, where that run is kept, says how it stands. Only if that run has ended, or "
            f"is of another VM (this is a copy), or its database is gone for good and no lmflow drives it, and if no "
            f"operation goes on with {name}: {write_removal(vm_uuid)}"
        ),
    )


def write_removal(vm_uuid: str) -> str:
    """Return the command by which a person takes off the mark of a run that nobody can bring to its end any more."""
    return f"xe vm-param-remove uuid={vm_uuid} param-name=other-config param-key=lmflow-run"


CLAIMED = Rule(
    name="vm.claimed",
    group="vm",
    order=205,
    codes=("VM_CLAIMED",),
    needs=("vm", "terms"),
    remedy="wait for that run's end",
    elsewhere=False,
    check=check_claimed,
)
