"""The pool's database."""

import json
import threading

import pytest

from lmflow.simulator.database.schema import Schema
from lmflow.simulator.database.store import Store
from lmflow.simulator.database.values import NULL, DateTime
from lmflow.simulator.failures import ApiFailure


@pytest.fixture
def store() -> Store:
    return Store(Schema.load(), seed=7)


def test_missing_fields_come_from_the_model(store: Store) -> None:
    vm = store.record("VM", store.create("VM", {"name_label": "v"}))
    assert (vm["name_label"], vm["power_state"], vm["resident_on"], vm["VBDs"]) == ("v", "Halted", NULL, [])
    assert list(vm) == list(store.schema.classes["VM"].fields)


def test_the_same_seed_gives_the_same_identities() -> None:
    schema = Schema.load()
    first, second, other = (Store(schema, seed) for seed in (3, 3, 4))
    assert first.create("VM", {}) == second.create("VM", {})
    assert first.refs("VM") != [other.create("VM", {})]


def test_identities_have_their_forms(store: Store) -> None:
    ref = store.create("VM", {})
    assert ref.startswith("OpaqueRef:")
    assert store.by_uuid("VM", store.value("VM", ref, "uuid")) == ref
    assert store.create("VM", {}, "OpaqueRef:mine") == "OpaqueRef:mine"


def test_what_is_not_there_is_refused(store: Store) -> None:
    for read in (store.record, store.destroy, lambda c, r: store.value(c, r, "uuid"), store.update):
        with pytest.raises(ApiFailure) as refused:
            read("VM", "OpaqueRef:x")
        assert refused.value.description == ["HANDLE_INVALID", "VM", "OpaqueRef:x"]
    with pytest.raises(ApiFailure) as refused:
        store.by_uuid("VM", "x")
    assert refused.value.description == ["UUID_INVALID", "VM", "x"]


def test_unknown_fields_and_second_objects_are_refused(store: Store) -> None:
    with pytest.raises(KeyError, match="no field nose"):
        store.create("VM", {"nose": 1})
    ref = store.create("VM", {})
    with pytest.raises(KeyError):
        store.update("VM", ref, nose=1)
    with pytest.raises(KeyError, match="already"):
        store.create("VM", {}, ref)


def test_both_ends_of_a_relation_agree_through_every_change(store: Store) -> None:
    a, b = store.create("host", {"name_label": "a"}), store.create("host", {"name_label": "b"})
    vm = store.create("VM", {"resident_on": a})
    disk = store.create("VBD", {"VM": vm})
    assert store.value("host", a, "resident_VMs") == [vm]
    assert store.record("VM", vm)["VBDs"] == [disk]
    store.update("VM", vm, resident_on=b)
    assert (store.value("host", a, "resident_VMs"), store.value("host", b, "resident_VMs")) == ([], [vm])
    store.update("host", b, resident_VMs=[])
    assert store.value("host", b, "resident_VMs") == [vm]
    store.destroy("VBD", disk)
    assert store.value("VM", vm, "VBDs") == []
    store.destroy("VM", vm)
    assert store.value("host", b, "resident_VMs") == []


def test_a_relation_holds_whichever_end_comes_first(store: Store) -> None:
    store.create("VBD", {"VM": "OpaqueRef:later"}, "OpaqueRef:disk")
    store.create("VM", {}, "OpaqueRef:later")
    assert store.value("VM", "OpaqueRef:later", "VBDs") == ["OpaqueRef:disk"]


def test_values_handed_out_and_in_are_copies(store: Store) -> None:
    given = {"k": "v"}
    vm = store.create("VM", {"other_config": given})
    given["k"] = "changed"
    store.record("VM", vm)["other_config"]["k"] = "changed"
    store.value("VM", vm, "other_config")["k"] = "changed"
    assert store.value("VM", vm, "other_config") == {"k": "v"}


def test_a_change_that_changes_nothing_is_none(store: Store) -> None:
    vm = store.create("VM", {"name_label": "v"})
    before = store.generation
    store.update("VM", vm, name_label="v")
    assert store.generation == before
    store.update("VM", vm, name_label="w")
    assert store.modified("VM", vm) == store.generation > before


def test_changes_and_deletions_since_a_generation(store: Store) -> None:
    old, gone = store.create("VM", {}), store.create("VM", {})
    store.create("host", {})
    since = store.generation
    store.update("VM", old, name_label="x")
    new = store.create("VM", {})
    store.destroy("VM", gone)
    store.destroy("VM", store.create("VM", {}))
    assert [(ref, is_new) for _, _, ref, is_new in store.changes_since(since, {"VM"})] == [(old, False), (new, True)]
    assert [ref for _, _, ref in store.deleted_since(since, {"VM"})] == [gone]
    assert store.changes_since(since, {"host"}) == []
    assert len(store.changes_since(-1, {"VM", "host"})) == 3


def test_every_change_wakes_who_waits(store: Store) -> None:
    vm = store.create("VM", {})
    woken = threading.Event()
    waiting = threading.Event()

    def wait() -> None:
        with store.changed:
            waiting.set()
            store.changed.wait(10)
            woken.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert waiting.wait(10)
    store.update("VM", vm, name_label="x")
    assert woken.wait(10)
    thread.join()


def test_a_dump_holds_what_is_persistent(store: Store) -> None:
    host = store.create("host", {"name_label": "h"})
    vm = store.create("VM", {"resident_on": host, "snapshot_time": DateTime("20260101T00:00:00Z")})
    store.create("task", {})
    store.create("session", {})
    data = json.loads(json.dumps(store.dump()))
    other = Store(store.schema, seed=9)
    other.load(data)
    assert other.record("VM", vm) == store.record("VM", vm)
    assert isinstance(other.value("VM", vm, "snapshot_time"), DateTime)
    assert other.value("host", host, "resident_VMs") == [vm]
    assert other.refs("task") == other.refs("session") == []
    assert other.generation >= store.generation


def test_loading_replaces_everything_but_sessions_and_tasks(store: Store) -> None:
    kept = store.create("VM", {"name_label": "kept"})
    data = store.dump()
    extra, session = store.create("VM", {"name_label": "extra"}), store.create("session", {})
    before = store.generation
    store.load(data)
    assert store.refs("VM") == [kept]
    assert store.exists("session", session)
    assert [ref for _, _, ref in store.deleted_since(before, {"VM"})] == [extra]


def test_objects_are_found_by_their_fields(store: Store) -> None:
    a = store.create("VM", {"name_label": "a", "is_a_template": True})
    store.create("VM", {"name_label": "a"})
    assert store.find("VM", name_label="a", is_a_template=True) == [a]
    assert store.find("VM", name_label="b") == []


def test_nothing_is_kept_of_what_was_destroyed(store: Store) -> None:
    before = len(store._listed)
    for _ in range(50):
        vm = store.create("VM", {})
        vbd = store.create("VBD", {"VM": vm})
        store.destroy("VM", vm)
        store.destroy("VBD", vbd)
    assert len(store._listed) == before
