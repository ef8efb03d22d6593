"""Roles and permissions, as every pool of this release has them."""

import itertools

import pytest

from lmflow.simulator.database.schema import Schema
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.kernel import Kernel
from lmflow.simulator.rbac import Roles, make_role_ref

SCHEMA = Schema.load()
ROLES = Roles.load(SCHEMA)


def test_there_are_as_many_as_a_real_pool_has() -> None:
    assert len(ROLES.by_ref) == len(ROLES.by_name) == 2291
    assert {name: len(held) for name, held in ROLES.granted.items()} == {
        "vm-power-admin": 1666,
        "vm-admin": 1626,
        "vm-operator": 1464,
        "read-only": 1384,
        "client-cert": 1428,
        "pool-admin": 2284,
        "pool-operator": 2150,
    }


def test_a_role_that_may_more_may_all_that_the_lesser_may() -> None:
    line = ["read-only", "vm-operator", "vm-admin", "vm-power-admin", "pool-operator", "pool-admin"]
    for lesser, greater in itertools.pairwise(line):
        assert ROLES.granted[lesser] < ROLES.granted[greater]


def test_a_reference_follows_from_the_name() -> None:
    assert make_role_ref("pool-admin") == "OpaqueRef:0165f154-ba3e-034e-6b27-5d271af109ba"
    assert SCHEMA.classes["subject"].fields["roles"].default == [make_role_ref("pool-admin")]


def test_permissions_are_in_lower_case_and_sub_permissions_follow_their_call() -> None:
    names = list(ROLES.by_name)
    assert all(name == name.lower() for name in names)
    index = names.index("vm.add_to_other_config")
    assert names[index + 1].startswith("vm.add_to_other_config/key:")


@pytest.mark.parametrize(
    ("call", "arguments", "may"),
    [
        ("VM.get_record", ["r"], "read-only"),
        ("VM.clean_shutdown", ["r"], "vm-operator"),
        ("VM.set_name_label", ["r", "x"], "vm-admin"),
        ("VM.pool_migrate", ["r", "h", {}], "vm-power-admin"),
        ("host.disable", ["r"], "pool-operator"),
        ("subject.create", [{}], "pool-admin"),
        ("VM.add_to_other_config", ["r", "folder", "x"], "vm-operator"),
        ("VM.add_to_other_config", ["r", "XenCenter.CustomFields.any", "x"], "vm-operator"),
        ("VM.add_to_other_config", ["r", "anything", "x"], "vm-admin"),
        ("VM.add_to_other_config", ["r", "pci", "x"], "pool-admin"),
    ],
)
def test_a_call_needs_its_permission(call: str, arguments: list[object], may: str) -> None:
    pool = Kernel()
    message = SCHEMA.find_message(call)
    assert message is not None
    line = ["read-only", "vm-operator", "vm-admin", "vm-power-admin", "pool-operator", "pool-admin"]
    for role in line:
        pool.sessions.permissions["OpaqueRef:s"] = ROLES.granted[role]
        if line.index(role) >= line.index(may):
            pool.rbac.check("OpaqueRef:s", message, arguments)
            continue
        with pytest.raises(ApiFailure) as refused:
            pool.rbac.check("OpaqueRef:s", message, arguments)
        assert refused.value.code == "RBAC_PERMISSION_DENIED"
        assert may in refused.value.description[2]
