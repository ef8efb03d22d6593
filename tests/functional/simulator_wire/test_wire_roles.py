"""Users with roles: what they may, what they may not, and what the pool tells about it."""

import xmlrpc.client
from collections.abc import Callable, Iterator

import pytest

from lmflow.simulator.kernel import Options
from lmflow.simulator.pool import SimulatedPool
from lmflow.simulator.rbac import WITNESS
from lmflow.simulator.worlds import world
from tests.support.recorded import lab
from tests.support.wire import WireClient

ROLES = ("read-only", "vm-operator", "vm-admin", "vm-power-admin", "pool-operator", "pool-admin")
USERS = {role: (f"password of {role}", role) for role in ROLES}


@pytest.fixture(scope="module")
def pool() -> Iterator[SimulatedPool]:
    description = {**lab.make_lab(), "users": [{"name": "guest", "password": "pw", "role": "read-only"}]}
    with SimulatedPool(Options(time_scale=1000.0, users=USERS), world=world.load(description)) as made:
        yield made


@pytest.fixture
def log_in(pool: SimulatedPool) -> Callable[[str], WireClient]:
    """Give a client that is logged in as ``root`` or as the user with this role."""

    def make(name: str) -> WireClient:
        client = WireClient(pool)
        if name == "root":
            client.login()
            return client
        password = USERS[name][0] if name in USERS else "pw"
        client.session = client.raw("session.login_with_password", name, password, "1.0", "roles").value
        return client

    return make


LogIn = Callable[[str], WireClient]


def test_a_user_of_the_description_can_log_in(log_in: LogIn) -> None:
    guest = log_in("guest")
    record = guest.call("session.get_record", guest.session)
    assert record["is_local_superuser"] is False
    assert record["auth_user_name"] == "guest"
    assert record["auth_user_sid"] == guest.call("subject.get_subject_identifier", record["subject"])
    assert len(record["rbac_permissions"]) == 1384
    root = log_in("root")
    record = root.call("session.get_record", root.session)
    assert (record["is_local_superuser"], record["rbac_permissions"]) == (True, [])
    assert record["subject"] == "OpaqueRef:NULL"


def test_a_wrong_password_is_refused(log_in: LogIn) -> None:
    refusal = log_in("root").raw("session.login_with_password", "guest", "wrong").failure
    assert refusal == ["SESSION_AUTHENTICATION_FAILED", "guest", "Authentication failure"]


def test_a_refusal_names_who_could(log_in: LogIn) -> None:
    operator = log_in("vm-operator")
    vm, host = operator.call("VM.get_all")[0], operator.call("host.get_all")[0]
    text = "No permission in user session. (Roles with this permission: "
    able = "vm-power-admin, client-cert, pool-admin, pool-operator)"
    assert operator.refuse("VM.pool_migrate", vm, host, {}) == [
        "RBAC_PERMISSION_DENIED",
        "vm.pool_migrate",
        text + able,
    ]
    assert operator.refuse("host.disable", host)[1] == "host.disable"


def test_what_is_wrong_with_the_call_is_told_before_what_is_wrong_with_the_caller(log_in: LogIn) -> None:
    guest = log_in("guest")
    assert guest.refuse("VM.pool_migrate", "v")[0] == "MESSAGE_PARAMETER_COUNT_MISMATCH"
    assert guest.refuse("VM.pool_migrate", "v", "h", 7)[0] == "INTERNAL_ERROR"
    assert guest.refuse("VM.pool_migrate", "no VM", "h", {})[0] == "RBAC_PERMISSION_DENIED"


def test_an_async_call_is_refused_in_its_task(log_in: LogIn) -> None:
    guest = log_in("guest")
    task = guest.call("Async.VM.pool_migrate", guest.call("VM.get_all")[0], guest.call("host.get_all")[0], {})
    record = guest.wait_for_task(task)
    assert record["status"] == "failure"
    assert record["error_info"][:2] == ["RBAC_PERMISSION_DENIED", "vm.pool_migrate"]


def test_single_keys_may_be_free(log_in: LogIn) -> None:
    operator = log_in("vm-operator")
    vm = operator.call("VM.get_all")[0]
    operator.call("VM.add_to_other_config", vm, "folder", "/a")
    operator.call("VM.remove_from_other_config", vm, "folder")
    assert operator.refuse("VM.add_to_other_config", vm, "mine", "x")[1] == "vm.add_to_other_config"
    assert operator.refuse("VM.add_to_other_config", vm, "pci", "x")[1] == "vm.add_to_other_config/key:pci"


def test_another_users_task_is_theirs(log_in: LogIn) -> None:
    mine, other, able, root = map(log_in, ("vm-operator", "vm-admin", "pool-operator", "root"))
    task = mine.call("task.create", "mine", "")
    for call in ("task.cancel", "task.destroy"):
        assert other.refuse(call, task)[:2] == ["RBAC_PERMISSION_DENIED", "task.destroy/any"]
    assert mine.call("task.cancel", task) == ""
    assert log_in("vm-operator").call("task.cancel", task) == ""  # another session of the same user
    assert able.call("task.cancel", task) == ""
    assert root.call("task.destroy", task) == ""
    assert other.refuse("task.cancel", "OpaqueRef:x") == ["HANDLE_INVALID", "task", "OpaqueRef:x"]


def test_only_some_roles_may_ask_the_witness(pool: SimulatedPool, log_in: LogIn) -> None:
    may = {role for role in ROLES if pool.rbac.is_permitted(log_in(role).session, WITNESS)}
    assert may == {"vm-power-admin", "pool-operator", "pool-admin"}
    assert pool.rbac.is_permitted(log_in("root").session, WITNESS)
    body = xmlrpc.client.dumps(({"debug_info": "t", "id": "x"},), "VM.exists").encode()
    statuses = {
        role: log_in(role).post(body, path=f"/services/xenops?session_id={log_in(role).session}").status
        for role in ("vm-admin", "vm-power-admin")
    }
    assert statuses == {"vm-admin": 403, "vm-power-admin": 200}


def test_a_role_counts_from_the_next_login_on(log_in: LogIn) -> None:
    admin, guest = log_in("pool-admin"), log_in("guest")
    (subject,) = [
        ref
        for ref, record in admin.call("subject.get_all_records").items()
        if record["other_config"]["subject-name"] == "guest"
    ]
    (operator,) = admin.call("role.get_by_name_label", "vm-operator")
    admin.call("subject.add_to_roles", subject, operator)
    assert admin.refuse("subject.add_to_roles", subject, operator) == ["ROLE_ALREADY_EXISTS"]
    assert admin.refuse("subject.add_to_roles", subject, "OpaqueRef:x") == ["ROLE_NOT_FOUND"]
    assert "vm.start" in admin.call("subject.get_permissions_name_label", subject)
    assert "vm.start" not in guest.call("session.get_rbac_permissions", guest.session)
    again = log_in("guest")
    assert "vm.start" in again.call("session.get_rbac_permissions", again.session)
    admin.call("subject.remove_from_roles", subject, operator)
    assert admin.refuse("subject.remove_from_roles", subject, operator) == ["ROLE_NOT_FOUND"]
    admin.call("session.logout_subject_identifier", again.call("session.get_auth_user_sid", again.session))
    assert again.refuse("VM.get_all") == ["SESSION_INVALID", again.session]


def test_roles_can_be_asked_for(pool: SimulatedPool, log_in: LogIn) -> None:
    guest = log_in("guest")
    (role,) = guest.call("role.get_by_name_label", "read-only")
    assert guest.call("role.get_record", role)["uuid"] == role.removeprefix("OpaqueRef:")
    assert guest.call("role.get_by_uuid", role.removeprefix("OpaqueRef:")) == role
    assert len(guest.call("role.get_subroles", role)) == len(guest.call("role.get_permissions", role)) == 1384
    (permission,) = guest.call("role.get_by_name_label", "vm.pool_migrate")
    able = ["vm-power-admin", "client-cert", "pool-admin", "pool-operator"]
    names = [guest.call("role.get_name_label", ref) for ref in guest.call("role.get_by_permission", permission)]
    assert names == able
    by_name = guest.call("role.get_by_permission_name_label", "vm.pool_migrate")
    assert by_name == guest.call("role.get_by_permission", permission)
    assert guest.call("role.get_permissions_name_label", permission) == ["vm.pool_migrate"]
    assert guest.refuse("role.get_record", "OpaqueRef:x") == ["HANDLE_INVALID", "role", "OpaqueRef:x"]
    assert guest.refuse("role.get_by_uuid", "x") == ["UUID_INVALID", "role", "x"]
    assert len(guest.call("role.get_all_records_where", "subroles<>[]")) == 7
    assert pool.store.counts()["role"] == 0
