"""Records that are shared until they change, and what they look like on the wire."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lmflow.simulator.database.schema import Schema
from lmflow.simulator.database.snapshot import Snapshot, join
from lmflow.simulator.database.store import Store
from lmflow.simulator.wire import codec, jsonrpc

HOSTS, VMS = 2, 3
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("move"), st.integers(0, VMS - 1), st.integers(0, HOSTS - 1)),
        st.tuples(st.just("name"), st.integers(0, VMS - 1), st.sampled_from(["a", "<&>", "é\U0001f600"])),
        st.tuples(st.just("read"), st.integers(0, VMS - 1), st.none()),
        st.tuples(st.just("touch"), st.integers(0, HOSTS - 1), st.none()),
    ),
    max_size=12,
)


def _make_store() -> tuple[Store, list[str], list[str]]:
    store = Store(Schema.load())
    hosts = [store.create("host", {"name_label": f"h{n}"}) for n in range(HOSTS)]
    return store, hosts, [store.create("VM", {"name_label": f"v{n}", "resident_on": hosts[0]}) for n in range(VMS)]


def _take(store: Store, hosts: list[str], vms: list[str], step: tuple[str, int, Any]) -> None:
    kind, index, value = step
    if kind == "move":
        store.update("VM", vms[index], resident_on=hosts[value])
    elif kind == "name":
        store.update("VM", vms[index], name_label=value, other_config={"k": value})
    elif kind == "touch":
        store.touch("host", hosts[index])
    else:
        codec.encode_success(store.snapshot("VM", vms[index]))


@settings(deadline=None, derandomize=True)
@given(STEPS)
def test_what_is_shared_is_always_what_is_stored(steps: list[tuple[str, int, Any]]) -> None:
    store, hosts, vms = _make_store()
    for step in steps:
        _take(store, hosts, vms, step)
        for cls, refs in (("host", hosts), ("VM", vms)):
            for ref in refs:
                snapshot, record = store.snapshot(cls, ref), store.record(cls, ref)
                assert dict(snapshot) == record
                assert codec.encode_success(snapshot) == codec.encode_success(record)
                assert list(snapshot) == list(record)


def test_a_record_that_did_not_change_is_written_once() -> None:
    store, _, (vm, *_others) = _make_store()
    assert store.snapshot("VM", vm) is store.snapshot("VM", vm)
    writes: list[str] = []

    def write(record: dict[str, Any]) -> bytes:
        writes.append(record["name_label"])
        return b"text"

    for _ in range(3):
        assert store.snapshot("VM", vm).encode("mine", write) == b"text"
    store.update("VM", vm, name_label="new")
    store.snapshot("VM", vm).encode("mine", write)
    assert writes == ["v0", "new"]


def test_an_old_one_stays_as_it_was() -> None:
    store, hosts, (vm, *_others) = _make_store()
    old_vm, old_host = store.snapshot("VM", vm), store.snapshot("host", hosts[0])
    store.update("VM", vm, resident_on=hosts[1])
    store.destroy("VM", vm)
    assert old_vm["resident_on"] == hosts[0]
    assert vm in old_host["resident_VMs"]
    assert vm not in store.snapshot("host", hosts[0])["resident_VMs"]


def test_what_is_read_out_may_be_changed() -> None:
    store, _, (vm, *_others) = _make_store()
    store.snapshot("VM", vm)["other_config"]["mine"] = "x"
    assert store.value("VM", vm, "other_config") == store.snapshot("VM", vm)["other_config"] == {}


def test_both_encodings_are_kept_apart() -> None:
    snapshot = Snapshot({"name": "<", "list": []}, {"list": ["a"]})
    xml = "<struct><member><name>name</name><value>&lt;</value></member><member><name>list</name><value><array><data>"
    for _ in range(2):
        assert (
            codec.encode_value(snapshot)
            == f"<value>{xml}<value>a</value></data></array></value></member></struct></value>"
        )
        body = b'{"jsonrpc": "2.0", "id": 1, "method": "x", "params": []}'
        _, _, encoding = jsonrpc.parse_call(body)
        assert encoding.success({"r": snapshot}) == (
            b'{"jsonrpc":"2.0","result":{"r":{"name":"<","list":["a"]}},"id":1}'
        )


def test_pieces_of_both_kinds_are_joined_in_order() -> None:
    assert join(["a", "é", b"b", b"c", "d"]) == "aébcd".encode()
    assert join([]) == b""
