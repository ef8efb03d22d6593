"""Another coordinator, members without one, and what is lost with one; in two worlds where the world matters."""

import http.client
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lmflow.simulator.hosts.flushing import FLUSH_SECONDS
from lmflow.simulator.hosts.roles import EMERGENCY_CALLS
from tests.support.probes import ask
from tests.support.replays import CASTS, OTHER, Cast
from tests.support.stage import Stage
from tests.support.wire import in_background

Make = Callable[..., Stage]
FAST = 60.0


@pytest.fixture
def make_stage() -> Iterator[Make]:
    made: list[Stage] = []

    def make(cast: str | Cast, role: str = "h1", **options: Any) -> Stage:
        chosen = CASTS[cast] if isinstance(cast, str) else cast
        made.append(Stage(chosen, role, **{"time_scale": FAST, **options}))
        return made[-1]

    yield make
    for stage in made:
        stage.close()


def control(stage: Stage, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", stage.pool.control.port, timeout=30)
    connection.request(method, path, json.dumps(body or {}))
    reply = connection.getresponse()
    found = reply.status, json.loads(reply.read())
    connection.close()
    return found


def cut(stage: Stage, role: str, *, on: bool = False) -> None:
    status, _ = control(stage, "POST", "/power", {"host": stage.cast.host(role), "on": on})
    assert status == 200


def log_in_on(stage: Stage, role: str) -> Any:
    """What a log-in on this host gives."""
    options = stage.pool.options
    login = ("session.login_with_password", options.username, options.password, "1.0", "test")
    return stage.moves.client.raw(*login, address=stage.address(role)).parsed


def local_session(stage: Stage, role: str) -> str:
    options = stage.pool.options
    login = ("session.slave_local_login_with_password", options.username, options.password)
    return str(stage.moves.client.raw(*login, address=stage.address(role)).value)


def call_on(stage: Stage, role: str, method: str, session: str, *arguments: Any) -> Any:
    return stage.moves.client.raw(method, session, *arguments, address=stage.address(role)).parsed


def take_over(stage: Stage, role: str = "h2") -> None:
    """Make a member the coordinator, by its own call, and log in there."""
    call_on(stage, role, "pool.emergency_transition_to_master", local_session(stage, role))
    stage.wait_until(lambda: stage.pool.coordinator_ref == stage.host(role))
    stage.wait_for_state(role, "ready")
    stage.moves.client.session = log_in_on(stage, role)["Value"]


# -- another coordinator


@pytest.mark.parametrize("cast", CASTS)
def test_a_member_takes_over_from_a_coordinator_without_power(make_stage: Make, cast: str) -> None:
    stage = make_stage(cast)
    old_session, old_task = stage.moves.client.session, stage.moves.client.call("task.create", "a", "b")
    token = stage.moves.client.events(["vm"], "", 0.0)["token"]
    cut(stage, "h1")
    assert log_in_on(stage, "h2")["ErrorDescription"] == ["HOST_IS_SLAVE", stage.address("h1")], "it does not know yet"
    take_over(stage)
    assert call_on(stage, "h2", "VM.get_all", old_session)["ErrorDescription"] == ["SESSION_INVALID", old_session]
    session = stage.moves.client.session
    lost = call_on(stage, "h2", "task.get_status", session, old_task)
    assert lost["ErrorDescription"] == ["HANDLE_INVALID", "task", old_task]
    pool_ref = call_on(stage, "h2", "pool.get_all", session)["Value"][0]
    assert call_on(stage, "h2", "pool.get_master", session, pool_ref)["Value"] == stage.host("h2")
    batch = call_on(stage, "h2", "event.from", session, ["vm"], token, 0.0)["Value"]
    assert batch["token"] >= token, "generations go on from what was flushed, and old tokens are accepted"
    vm = call_on(stage, "h2", "VM.get_record", session, stage.ref)["Value"]
    assert (vm["power_state"], vm["resident_on"]) == ("Running", stage.host("h1")), "nobody knows that it is gone"
    assert stage.runs_on() == []
    assert call_on(stage, "h2", "VM.power_state_reset", session, stage.ref)["ErrorDescription"][0] == "HOST_IS_LIVE"


def test_the_others_are_told_and_the_old_one_comes_back_as_a_member(make_stage: Make) -> None:
    stage = make_stage("other")
    cut(stage, "h1")
    take_over(stage)
    others = [stage.moves.ref("host", name) for name in ("bergen", "moss")]
    addresses = {ref: str(stage.pool.store.value("host", ref, "address")) for ref in others}
    options = stage.pool.options
    login = ("session.login_with_password", options.username, options.password, "1.0", "test")
    for address in addresses.values():
        refused = stage.moves.client.raw(*login, address=address).failure
        assert refused == ["HOST_IS_SLAVE", stage.address("h1")]
    recovered = call_on(stage, "h2", "pool.recover_slaves", stage.moves.client.session)["Value"]
    assert sorted(recovered) == sorted(others)
    toolstack = stage.pool.toolstack
    stage.wait_until(lambda: all(toolstack.is_ready(ref) for ref in others))
    for address in addresses.values():
        refused = stage.moves.client.raw(*login, address=address).failure
        assert refused == ["HOST_IS_SLAVE", stage.address("h2")]
    cut(stage, "h1", on=True)
    stage.wait_for_state("h1", "ready")
    assert log_in_on(stage, "h1")["ErrorDescription"] == ["HOST_IS_SLAVE", stage.address("h2")]
    vm = call_on(stage, "h2", "VM.get_record", stage.moves.client.session, stage.ref)["Value"]
    assert vm["power_state"] == "Halted", "its toolstack found no domain"


def test_a_coordinator_that_works_is_replaced_as_well(make_stage: Make) -> None:
    stage = make_stage("one")
    status, _ = control(stage, "POST", "/coordinator", {"host": stage.cast.h2})
    assert status == 200
    stage.wait_for_state("h2", "ready")
    stage.wait_for_state("h1", "ready")
    stage.moves.client.session = log_in_on(stage, "h2")["Value"]
    assert log_in_on(stage, "h1")["ErrorDescription"] == ["HOST_IS_SLAVE", stage.address("h2")]
    assert stage.runs_on() == ["h1"], "toolstacks only"


@pytest.mark.parametrize("cast", CASTS)
def test_the_role_is_handed_over_in_good_order(make_stage: Make, cast: str) -> None:
    stage = make_stage(cast)
    client, toolstack = stage.moves.client, stage.pool.toolstack
    client.call("VM.add_to_other_config", stage.ref, "one", "here")
    assert client.call("pool.designate_new_master", stage.host("h1")) == "", "it is that already"
    assert client.call("pool.designate_new_master", stage.host("h2")) == ""
    hosts = stage.pool.store.refs("host")
    stage.wait_until(lambda: stage.pool.coordinator_ref == stage.host("h2"))
    stage.wait_until(lambda: all(toolstack.is_ready(ref) for ref in hosts))
    client.session = log_in_on(stage, "h2")["Value"]
    assert log_in_on(stage, "h1")["ErrorDescription"] == ["HOST_IS_SLAVE", stage.address("h2")]
    kept = call_on(stage, "h2", "VM.get_other_config", client.session, stage.ref)["Value"]
    assert (kept["one"], stage.runs_on()) == ("here", ["h1"])


def test_high_availability_elects_by_itself_and_loses_nothing(make_stage: Make) -> None:
    described = {**OTHER, "pool": {"ha_enabled": True}}
    stage = make_stage(Cast(described, "oslo", "tromso", "fisk", "torsk", "sei"))
    stage.moves.client.call("VM.add_to_other_config", stage.ref, "marker", "kept")
    cut(stage, "h1")
    toolstack = stage.pool.toolstack
    stage.wait_until(lambda: stage.pool.coordinator_ref != stage.host("h1"))
    stage.wait_until(lambda: toolstack.is_ready(stage.pool.coordinator_ref))
    store = stage.pool.store
    assert store.value("VM", stage.ref, "other_config").get("marker") == "kept"
    assert store.value("host_metrics", store.value("host", stage.host("h1"), "metrics"), "live") is False
    refused = call_on(stage, "h2", "pool.emergency_transition_to_master", local_session(stage, "h2"))
    if stage.pool.coordinator_ref != stage.host("h2"):
        assert refused["ErrorDescription"] == ["HA_IS_ENABLED"]


# -- emergency mode


def test_a_member_that_starts_without_its_coordinator_is_in_emergency_mode(make_stage: Make) -> None:
    stage = make_stage("other")
    stage.pool.toolstack.stop(stage.host("h1"))
    stage.moves.restart(stage.cast.h2)
    stage.wait_for_state("h2", "emergency")
    stage.wait_for_wire("h2")
    assert log_in_on(stage, "h2")["ErrorDescription"] == ["HOST_STILL_BOOTING"]
    assert call_on(stage, "h2", "VM.nosuch", "")["ErrorDescription"] == ["HOST_STILL_BOOTING"]
    assert local_session(stage, "h2").startswith("OpaqueRef:")
    stage.moves.restart(stage.cast.h1)
    stage.wait_for_state("h2", "ready")
    assert log_in_on(stage, "h2")["ErrorDescription"] == ["HOST_IS_SLAVE", stage.address("h1")]


@pytest.mark.parametrize(
    ("reason", "field"),
    [
        ("HOST_STILL_BOOTING", ""),
        ("HOST_HAS_NO_MANAGEMENT_IP", ""),
        ("HOST_MASTER_CANNOT_TALK_BACK", "address"),
        ("HOST_UNKNOWN_TO_MASTER", "uuid"),
    ],
)
def test_the_reasons_of_an_emergency(make_stage: Make, reason: str, field: str) -> None:
    stage = make_stage("one")
    status, _ = control(stage, "POST", "/emergency", {"host": stage.cast.h2, "reason": reason})
    assert status == 200
    stage.wait_for_state("h2", "emergency")
    stage.wait_for_wire("h2")
    told = [str(stage.pool.store.value("host", stage.host("h2"), field))] if field else []
    assert log_in_on(stage, "h2")["ErrorDescription"] == [reason, *told]
    control(stage, "POST", "/emergency", {"host": stage.cast.h2})
    stage.wait_for_state("h2", "ready")


def test_orders_that_make_no_sense(make_stage: Make) -> None:
    stage = make_stage("one")
    for path, body in (
        ("/emergency", {"host": "h1", "reason": "HOST_STILL_BOOTING"}),
        ("/emergency", {"host": "h2", "reason": "TIRED"}),
        ("/power", {"host": "h9", "on": True}),
        ("/power", {"host": "h1"}),
        ("/coordinator", {"host": "h9"}),
    ):
        assert control(stage, "POST", path, body)[0] == 400, path
    cut(stage, "h2")
    assert control(stage, "POST", "/coordinator", {"host": "h2"})[0] == 400
    assert control(stage, "POST", "/toolstack", {"host": "h2"})[0] == 400
    assert control(stage, "GET", "/power")[1] == {"h1": True, "h2": False}


def test_every_emergency_call_is_a_call(make_stage: Make) -> None:
    stage = make_stage("one")
    known = {call for call in EMERGENCY_CALLS if stage.pool.schema.find_message(call)}
    assert known == EMERGENCY_CALLS - {"system.listMethods"}


# -- power


@pytest.mark.parametrize("cast", CASTS)
def test_a_host_that_comes_back_knows_none_of_its_vms(make_stage: Make, cast: str) -> None:
    stage = make_stage(cast, "h2")
    before = stage.moves.client.call("host.get_other_config", stage.host("h2"))
    cut(stage, "h2")
    assert (stage.runs_on(), stage.place()) == ([], ("Running", "h2"))
    cut(stage, "h2", on=True)
    stage.watcher.wait_for("vm", lambda state: state[0] == "Halted")
    stage.wait_for_state("h2", "ready")
    after = stage.moves.client.call("host.get_other_config", stage.host("h2"))
    assert after["agent_start_time"] != before["agent_start_time"]
    assert after["boot_time"] != before["boot_time"]


def test_a_silent_host_is_given_up_and_taken_back(make_stage: Make) -> None:
    stage = make_stage("other", "h2", host_assumed_dead_seconds=40.0)
    metrics = stage.pool.store.value("host", stage.host("h2"), "metrics")
    token = stage.moves.client.events(["host_metrics"], "", 0.0)["token"]
    stage.pool.toolstack.stop(stage.host("h2"))
    assert stage.moves.client.call("host_metrics.get_live", metrics) is True

    def wait_for_live(wanted: bool) -> None:
        nonlocal token
        while stage.moves.client.call("host_metrics.get_live", metrics) is not wanted:
            token = stage.moves.client.events([f"host_metrics/{metrics}"], token)["token"]

    wait_for_live(False)
    assert stage.moves.client.call("host.get_enabled", stage.host("h2")) is True
    assert stage.moves.client.refuse("host.disable", stage.host("h2")) == ["HOST_OFFLINE", stage.host("h2")]
    stage.moves.restart(stage.cast.h2)
    wait_for_live(True)


def test_a_source_without_power_takes_the_vm_with_it(make_stage: Make) -> None:
    stage = make_stage("other", "h2", host_assumed_dead_seconds=40.0)
    stage.moves.set_copy(stage.vm, 10)
    stage.moves.fault(phase="copy", kind="power_cut", host="source")
    task = stage.moves.finish(stage.vm, stage.cast.h1)
    assert task["error_info"] == ["CANNOT_CONTACT_HOST", stage.host("h2")]
    assert (stage.runs_on(), stage.place()) == ([], ("Running", "h2"))


def test_a_destination_without_power_is_tried_and_given_up(make_stage: Make) -> None:
    stage = make_stage("one")
    cut(stage, "h2")
    task = stage.moves.finish(stage.vm, stage.cast.h2)
    assert task["error_info"] == ["VM_MIGRATE_CONTACT_REMOTE_SERVICE_FAILED"]
    assert (stage.runs_on(), stage.place()) == (["h1"], ("Running", "h1"))


def test_calls_to_a_dead_host_are_let_go_when_its_power_is_back(make_stage: Make) -> None:
    stage = make_stage("one", "h2")
    cut(stage, "h2")
    with in_background(lambda: stage.moves.client.refuse("VM.hard_shutdown", stage.ref)) as asked:
        stage.watcher.wait_for("vm", lambda state: state[3] == ["hard_shutdown"])
        assert asked.is_running
        cut(stage, "h2", on=True)
    assert asked.result == ["CANNOT_CONTACT_HOST", stage.host("h2")]


# -- the database on disk


def kill(stage: Stage) -> None:
    stage.moves.restart(stage.cast.h1)
    stage.wait_for_state("h1", "starting")
    stage.wait_for_wire("h1")
    stage.moves.client.login()


def mark(stage: Stage, key: str) -> None:
    stage.moves.client.call("VM.add_to_other_config", stage.ref, key, "here")


def marks(stage: Stage) -> set[str]:
    return set(stage.moves.client.call("VM.get_other_config", stage.ref)) & {"one", "two", "three"}


@pytest.mark.parametrize("cast", CASTS)
def test_what_was_not_flushed_is_lost_with_a_killed_coordinator(make_stage: Make, cast: str) -> None:
    stage = make_stage(cast)
    client = stage.moves.client
    mark(stage, "one")
    assert client.call("pool.sync_database") == ""
    mark(stage, "two")
    client.call("VM.set_name_label", stage.ref, "renamed")
    token = client.events(["vm"], "", 0.0)["token"]
    kill(stage)
    assert marks(stage) == {"one"}
    assert client.call("VM.get_name_label", stage.ref) == stage.vm
    assert set(client.events(["vm"], token, 0.0)) == {"events", "token", "valid_ref_counts"}, "an old token is accepted"


def test_a_coordinator_that_is_told_to_end_flushes(make_stage: Make) -> None:
    stage = make_stage("one")
    mark(stage, "one")
    stage.moves.restart("h1", "TERM")
    stage.wait_for_state("h1", "starting")
    stage.wait_for_wire("h1")
    stage.moves.client.login()
    assert marks(stage) == {"one"}


def test_the_database_is_flushed_each_five_minutes(make_stage: Make) -> None:
    stage = make_stage("one", time_scale=400.0)
    mark(stage, "one")
    stage.pool.clock.wait(FLUSH_SECONDS + 1.0)
    mark(stage, "two")
    kill(stage)
    assert "one" in marks(stage)


def test_messages_are_not_lost(make_stage: Make) -> None:
    stage = make_stage("one")
    stage.moves.set_copy(stage.vm, 1)
    assert stage.moves.finish(stage.vm, stage.cast.h2)["status"] == "success"
    kill(stage)
    names = [record["name"] for record in stage.moves.client.call("message.get_all_records").values()]
    assert names == ["VM_MIGRATED"]


@pytest.mark.parametrize("cast", CASTS)
@pytest.mark.parametrize(("role", "end"), [("h1", (["h2"], "Halted", "NULL")), ("h2", ([], "Running", "h2"))])
def test_a_migration_that_ended_just_before_is_forgotten(make_stage: Make, cast: str, role: str, end: Any) -> None:
    """From the coordinator: Halted, though it runs. To it: its own toolstack destroys what the database forgot."""
    stage = make_stage(cast, role)
    stage.moves.set_copy(stage.vm, 1)
    destination = "h2" if role == "h1" else "h1"
    assert stage.moves.finish(stage.vm, stage.cast.host(destination))["status"] == "success"
    kill(stage)
    stage.wait_for_state("h1", "ready")
    assert (stage.runs_on(), *stage.place()) == end


# -- the witness through a failover


def test_the_witness_of_the_new_coordinator_takes_its_sessions(make_stage: Make) -> None:
    stage = make_stage("other")
    old = stage.moves.client.session
    cut(stage, "h1")
    take_over(stage)
    uuid = stage.moves.uuid(stage.cast.on_h2)
    assert ask(stage.moves, stage.cast.h2, "VM.exists", old, id=uuid).status == 401
    assert ask(stage.moves, stage.cast.h2, "VM.exists", id=uuid).value is True
