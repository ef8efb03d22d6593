"""No code that can reach a migration is missing from the catalogue, and none says more of the VM than it proves."""

import ast
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from lmflow.catalogue import ENTRIES, Family, find_entries
from lmflow.catalogue.entry import AROUND, NOTHING_BEGAN, PROVES_NOTHING
from lmflow.verdict import ORDERED_CODES

ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT / "tests" / "data"
SIMULATOR = ROOT / "lmflow" / "simulator"
KNOWN = json.loads((DATA / "xapi-errors" / "errors.json").read_text(encoding="utf-8"))
CODES = {entry.code for entry in ENTRIES}

# All of a module can be met by a migration, or by a call that lmflow makes.
WHOLE = (
    *("calls.py", "dispatch.py", "event_queue.py", "events.py", "execution.py", "gate.py", "rbac.py", "sessions.py"),
    *("turns.py", "hosts", "migrations", "rules", "database"),
    *(f"operations/{name}.py" for name in ("vm_migration", "pbd", "plugin")),
)
# Of these modules, what lmflow calls.
CALLED = {"operations/vbd.py": ("VBD.eject", "VBD.insert")}
# What stands in those modules for calls that lmflow does not make.
OTHERS = {
    "CHANGE_PASSWORD_REJECTED": "session.change_password",
    "HA_CONSTRAINT_VIOLATION_NETWORK_NOT_SHARED": "VM.set_ha_restart_priority",
    "HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED": "VM.set_ha_restart_priority",
    "PROVISION_ONLY_ALLOWED_ON_TEMPLATE": "VM.provision",
    "REVERT_ONLY_ALLOWED_ON_SNAPSHOT": "VM.revert",
}
# Said before the submit, or of a refusal that is not proved by the code alone: see the entry.
NOT_ORDERED = {
    "HOST_OFFLINE",
    "NETWORK_SRIOV_INSUFFICIENT_CAPACITY",
    "NO_HOSTS_AVAILABLE",
    "VM_BAD_POWER_STATE",
    "VM_HOST_INCOMPATIBLE_VERSION",
}


def _find_known(text: str) -> set[str]:
    return {word for word in re.findall(r"[A-Z][A-Z0-9_]+", text) if word in KNOWN}


def _find_spelled(nodes: Iterable[ast.AST]) -> set[str]:
    texts = (n.value for node in nodes for n in ast.walk(node) if isinstance(n, ast.Constant))
    return {text for text in texts if isinstance(text, str) and text in KNOWN}


def _find_called(tree: ast.Module, operations: tuple[str, ...]) -> Iterator[ast.FunctionDef]:
    """Yield the functions behind the operations, and those of the module that they use."""
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    marked = {o for node in functions.values() for d in node.decorator_list for o in operations if o in ast.unparse(d)}
    assert marked == set(operations), "the search sees nothing"
    wanted = [n for n in functions.values() if any(o in ast.unparse(d) for d in n.decorator_list for o in operations)]
    seen: set[str] = set()
    while wanted:
        node = wanted.pop()
        if node.name not in seen:
            seen.add(node.name)
            yield node
            wanted += [functions[n.id] for n in ast.walk(node) if isinstance(n, ast.Name) and n.id in functions]


def _find_raised() -> set[str]:
    raised: set[str] = set()
    for name in WHOLE:
        place = SIMULATOR / name
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        assert files, name
        raised |= _find_spelled(ast.parse(file.read_text(encoding="utf-8")) for file in files)
    for name, operations in CALLED.items():
        tree = ast.parse((SIMULATOR / name).read_text(encoding="utf-8"))
        raised |= _find_spelled(_find_called(tree, operations))
    return raised


def test_every_code_that_our_notes_on_migrations_name_has_an_entry() -> None:
    named = (DATA / "xapi-errors" / "named.txt").read_text(encoding="utf-8").split()
    assert len(named) > 60
    assert set(named) <= set(KNOWN)
    assert sorted(set(named) - CODES) == []


@pytest.mark.parametrize("place", ["traces", "timelines", "conformance.yaml"])
def test_every_code_that_a_recording_names_has_an_entry(place: str) -> None:
    files = sorted((DATA / place).glob("*.json")) or [DATA / place]
    named = set().union(*(_find_known(file.read_text(encoding="utf-8")) for file in files))
    assert "CANNOT_CONTACT_HOST" in named, "the search sees nothing"
    assert sorted(named - CODES) == []


def test_every_code_that_the_simulated_pool_gives_to_a_call_of_ours_has_an_entry() -> None:
    raised = _find_raised()
    assert {"VM_REQUIRES_SR", "VBD_IS_EMPTY", "PBD_EXISTS", "XENAPI_MISSING_PLUGIN", "CANNOT_CONTACT_HOST"} <= raised
    assert sorted(raised - CODES - set(OTHERS)) == []
    assert sorted(set(OTHERS) - (raised - CODES)) == [], "no longer an exception"


def test_every_code_that_the_model_gives_for_a_call_of_ours_has_an_entry() -> None:
    raised = json.loads((DATA / "model" / "raised.json").read_text(encoding="utf-8"))
    calls = ("VM.pool_migrate", "VM.assert_can_boot_here", "PBD.plug", "VBD.eject", "VBD.insert", "task.cancel")
    named = {code for call in (*calls, "event.from", "session.login_with_password") for code in raised[call]}
    assert {"VM_BAD_POWER_STATE", "SR_UNKNOWN_DRIVER", "HOST_IS_SLAVE"} <= named
    assert sorted(named - CODES) == []


def test_what_is_refused_before_anything_begins_is_the_family_of_that_name() -> None:
    refused = {entry.code for entry in ENTRIES if entry.family is Family.REFUSED}
    at_the_door = {"RBAC_PERMISSION_DENIED"}
    assert refused - NOT_ORDERED == ORDERED_CODES - at_the_door - NOT_ORDERED
    assert refused >= NOT_ORDERED


def test_what_is_said_later_proves_nothing_of_the_vm() -> None:
    later = [entry for entry in ENTRIES if entry.family in (Family.MOVING, Family.PREPARING, Family.ASIDE)]
    assert {entry.code for entry in later} >= {"INTERNAL_ERROR", "VDI_IN_USE", "CANNOT_EVACUATE_HOST"}
    assert [entry.code for entry in later if not entry.vm_state.startswith(PROVES_NOTHING)] == []
    assert [e.code for e in later if e.family is Family.PREPARING and not e.vm_state.startswith(AROUND)] == []
    assert [entry.code for entry in later if NOTHING_BEGAN in entry.vm_state or entry.code in ORDERED_CODES] == []


def test_a_storage_drivers_number_leads_to_the_entry_of_all() -> None:
    assert [entry.code for entry in find_entries("SR_BACKEND_FAILURE_47")] == ["SR_BACKEND_FAILURE"]
    assert find_entries("VM_REQUIRES_SR_47") == ()
