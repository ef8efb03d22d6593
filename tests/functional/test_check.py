"""``lmflow check``: every VM on every host, every reason at once, from the outside. Numbers are those of scenarios."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import jsonschema

from lmflow import checks
from lmflow.models import CheckReport, Snapshot
from lmflow.xapi import reads
from lmflow.xapi.connection import Connection
from lmflow.xapi.overview import read_overview
from tests.support import check_worlds
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene
from tests.support.worlds import get_item, write_world

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "doc" / "source" / "schemas" / "check.v1.json").read_text(encoding="utf-8"))
TAMPA = ROOT / "tests" / "data" / "pools" / "TampaTwoHostPoolSelectioniSCSI.xml.gz"

Start = Callable[..., SimulatedPool]
Lmflow = Callable[..., CompletedProcess[str]]


def ask(lmflow: Lmflow, *args: str, exit_code: int) -> dict[str, Any]:
    """Return the report, valid by its schema and as a model."""
    done = lmflow("check", *args, "-f", "json")
    assert done.returncode == exit_code, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    jsonschema.validate(report, SCHEMA, cls=jsonschema.Draft202012Validator)
    assert CheckReport.from_json(report).to_json() == report
    return report


def codes(report: dict[str, Any], vm: str) -> dict[str, list[str]]:
    """Return the codes by host name; ['here'] for the present one."""
    (checked,) = (each for each in report["vms"] if each["name"] == vm)
    return {h["host_name"]: ["here"] if h["present"] else [f["code"] for f in h["findings"]] for h in checked["hosts"]}


def read(pool: SimulatedPool, since: int = 0) -> Counter[str]:
    return Counter(entry["method"] for entry in pool.audit()[since:])


def test_every_reason_at_once_for_the_one_that_is_meant(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    def spoil(world: dict[str, Any]) -> None:
        check_worlds.add_local_data(world)
        get_item(world, "hosts", "B")["enabled"] = False

    pool = simulator(write_world(tmp_path / "p.json", spoil))
    done = lmflow("check", "v", "--to", "B")
    assert done.returncode == 3
    assert done.stdout.splitlines()[0] == "v (1 GiB, running on A) -> B: NO, 2 reasons, nothing was changed"
    for word in ("VM_REQUIRES_SR", '"data"', '"local-A"', "HOST_DISABLED", "lmflow explain"):
        assert word in done.stdout
    assert "hosts that would work: none" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert pool.changing_calls(witness=True) == []


def test_a_shared_sr_that_the_destination_does_not_know_yet_is_no_obstacle(simulator: Start, lmflow: Lmflow) -> None:
    """What is shared is introduced there before the submit; the CPU alone speaks against xcp-c."""
    pool = simulator("lab")
    done = lmflow("check", "db-01", "--to", "xcp-c")
    assert done.returncode == 3
    assert done.stdout.splitlines()[0] == (
        "db-01 (16 GiB, running on xcp-a) -> xcp-c: NO, 1 reason, nothing was changed"
    )
    assert "VM_INCOMPATIBLE_WITH_THIS_HOST" in done.stdout
    assert "hosts that would work: xcp-b" in done.stdout
    assert pool.changing_calls(witness=True) == []


def test_a_matrix_of_several(simulator: Start, lmflow: Lmflow) -> None:
    pool = simulator("lab")
    report = ask(lmflow, "web-01", "db-01", "old-01", "web-01", exit_code=3)
    assert [vm["name"] for vm in report["vms"]] == ["web-01", "db-01", "old-01"]
    assert codes(report, "web-01") == {"xcp-a": ["here"], "xcp-b": [], "xcp-c": []}
    assert codes(report, "old-01") == {f"xcp-{letter}": ["VM_BAD_POWER_STATE"] for letter in "abc"}
    assert [vm["can_move"] for vm in report["vms"]] == [True, True, False]
    assert not report["asked_pool"]
    text = lmflow("check", "web-01", "db-01", "old-01").stdout
    rows = [line.split() for line in text.splitlines()[1:5]]
    assert rows == [["xcp-a", "xcp-b", "xcp-c"], ["web-01", "here", "ok", "ok"], ["db-01", "here", "ok", "NO"],
                    ["old-01", "NO", "NO", "NO"]]  # fmt: skip
    assert text.count("old-01 is Halted") == 1
    assert pool.changing_calls(witness=True) == []


def test_rows_for_spreadsheets(simulator: Start, lmflow: Lmflow) -> None:
    simulator("lab")
    done = lmflow("check", "db-01", "-f", "value", "-c", "host", "-c", "verdict", "-c", "codes")
    assert [line.rstrip() for line in done.stdout.splitlines()] == [
        "xcp-a here",
        "xcp-b ok",
        "xcp-c NO VM_INCOMPATIBLE_WITH_THIS_HOST",
    ]
    assert done.returncode == 0


def test_where_it_is_already_is_fine(simulator: Start, lmflow: Lmflow) -> None:
    simulator("lab")
    done = lmflow("check", "web-01", "--to", "xcp-a")
    assert done.returncode == 0
    assert "there already" in done.stdout


def test_23_a_data_disk_on_local_storage(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    simulator(write_world(tmp_path / "p.json", check_worlds.add_local_data))
    report = ask(lmflow, "v", exit_code=3)
    assert codes(report, "v") == {"A": ["here"], "B": ["VM_REQUIRES_SR"], "C": ["VM_REQUIRES_SR"]}
    text = " ".join(lmflow("check", "v").stdout.split())
    assert "B and C cannot reach" in text
    assert text.count("[VM_REQUIRES_SR]") == 1
    assert "hosts that would work: none" in text


def test_29_an_empty_drive_is_no_obstacle(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json", check_worlds.add_empty_drive))
    assert codes(ask(lmflow, "v", "--to", "B", exit_code=0), "v") == {"A": ["here"], "B": [], "C": []}
    done = lmflow("migrate", "v", "--to", "B")
    assert done.returncode == 0, done.stderr
    assert pool.runs_on("v") == ["B"]


def test_36_a_network_that_is_missing_there(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json", check_worlds.lose_network))
    assert codes(ask(lmflow, "v", "--to", "B", exit_code=3), "v") == {
        "A": ["here"], "B": ["VM_REQUIRES_NETWORK"], "C": []
    }  # fmt: skip
    done = lmflow("migrate", "v", "--to", "B")
    assert done.returncode == 3
    assert "VM_REQUIRES_NETWORK" in done.stdout + done.stderr
    assert '"dmz"' in done.stdout + done.stderr
    assert pool.changing_calls(witness=True) == []


def test_23_migrate_refuses_what_check_refuses(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json", check_worlds.add_local_data))
    done = lmflow("migrate", "v", "--to", "B")
    assert done.returncode == 3
    assert '"local-A"' in done.stdout + done.stderr
    assert pool.changing_calls(witness=True) == []


def test_memory_is_estimated_as_the_pool_would_and_the_pool_has_the_last_word(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    def fill(world: dict[str, Any]) -> None:
        check_worlds.shrink(world, B="4 GiB")
        get_item(world, "vms", "v")["memory"] = "8 GiB"

    pool = simulator(write_world(tmp_path / "p.json", fill))
    assert codes(ask(lmflow, "v", exit_code=0), "v") == {
        "A": ["here"], "B": ["HOST_NOT_ENOUGH_FREE_MEMORY"], "C": []
    }  # fmt: skip
    with Connection.open(scene.profile(pool), lambda: str(pool.ready["password"])) as conn:
        overview = read_overview(conn, [pool.uuid("VM", "v")], now=1.0)
        for host in overview.hosts:
            free = conn.read("host.compute_free_memory", pool.find_ref("host", host.name_label))
            assert overview.find_free_bytes(host.uuid) == int(free)
    report = ask(lmflow, "v", "--ask-pool", exit_code=0)
    rules = {h["host_name"]: (h["asked_pool"], [f["rule"] for f in h["findings"]]) for h in report["vms"][0]["hosts"]}
    assert rules == {"A": (False, []), "B": (True, ["memory.answer"]), "C": (True, [])}
    assert set(pool.changing_calls(witness=True)) == {"host.compute_free_memory"}  # the test's own


def test_the_rules_see_what_the_flow_would_see(simulator: Start, scene: Scene) -> None:
    """The same facts for the same VM and destination, however they were read: few calls for all, or many for one."""
    pool = simulator("lab")
    with Connection.open(scene.profile(pool), lambda: str(pool.ready["password"])) as conn:
        vms, hosts = reads.list_vms(conn), reads.list_hosts(conn)
        together = read_overview(conn, [vm.uuid for vm in vms], now=1.0)
        for vm in vms[:3]:
            alone = read_overview(conn, [vm.uuid], now=1.0)
            for host in hosts:
                seen = facts(reads.read_snapshot(conn, vm.uuid, host.uuid, now=1.0))
                assert facts(together.snapshot(vm.uuid, host.uuid)) == seen
                assert facts(alone.snapshot(vm.uuid, host.uuid)) == seen


def facts(snapshot: Snapshot) -> dict[str, Any]:
    """Return what a snapshot holds, without order and without XAPI's own answer."""
    told = snapshot.to_json()
    lists = {name: sorted(told[name], key=lambda o: o["uuid"]) for name in ("hosts", "srs", "pbds", "networks", "pifs")}
    return {**told, **lists, "boot_check": None, "boot_asked": None, "free_bytes": None}


def test_the_pool_is_asked_about_what_the_rules_pass_only(simulator: Start, lmflow: Lmflow) -> None:
    pool = simulator("lab")
    before = len(pool.audit())
    ask(lmflow, "db-01", "--ask-pool", exit_code=0)
    asked = [e["params"][2] for e in pool.audit()[before:] if e["method"] == "VM.assert_can_boot_here"]
    assert asked == [pool.find_ref("host", "xcp-b")]


def test_a_busy_vm_is_said_to_be_busy(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    busy = {"OpaqueRef:00000000-0000-4000-8000-000000000001": "snapshot"}
    pool.control("POST", "/vm", {"uuid": pool.uuid("VM", "v"), "fields": {"current_operations": busy}})
    done = lmflow("check", "v")
    assert done.returncode == 0
    assert "busy with snapshot" in done.stdout
    pool.control("POST", "/vm", {"uuid": pool.uuid("VM", "v"), "fields": {"current_operations": {}}})


def test_the_number_of_calls_does_not_depend_on_the_pool(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    """Names, one VM, a few, and all of them: 3 hosts and 9 VMs cost as many calls as 40 and 400."""
    seen: list[list[Counter[str]]] = []
    for number, (hosts, vms) in enumerate([(3, 9), (40, 400)]):
        world = check_worlds.write_big_world(tmp_path / f"{number}.json", hosts=hosts, vms=vms)
        pool = simulator(world, name=f"big{number}")
        calls = []
        for asked in (["vm-000"], [f"vm-{n:03}" for n in range(vms)]):
            before = len(pool.audit())
            done = lmflow("--pool", pool.name, "check", *asked)
            assert done.returncode == 0, done.stderr
            assert max(map(len, done.stdout.splitlines())) <= 80
            calls.append(read(pool, before))
        assert pool.changing_calls(witness=True) == []
        seen.append(calls)
    small, big = seen
    assert small == big
    assert all(sum(calls.values()) <= 30 for calls in big)
    assert "VM.get_all_records" not in big[1]


def test_more_arguments_than_anybody_types(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    simulator(write_world(tmp_path / "p.json"))
    assert lmflow("check", *["v"] * 3000).returncode == 0
    done = lmflow("check", *[f"nobody-{number}" for number in range(3000)])
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "'nobody-0'" in done.stderr.splitlines()[0]


NAMES = {
    "": "the name of the VM is empty",
    "  ": "the name of the VM is empty",
    "x" * 10_000: "no VM is called 'xxx",
    "a\x1b[31mb\nc": r"no VM is called 'a\x1b[31mb\nc'",
    "\u202egnp.exe": r"no VM is called '\u202egnp.exe'",
    "שלום": "no VM is called 'שלום'",
    "w\udcff": r"the argument w\udcff is no text in the encoding of this locale",
    "web": "VM 'web' is ambiguous: 3 match",
    "xcp-a": "'xcp-a' is a host, not a VM",
}


def test_a_name_that_means_nothing_is_one_clear_line(simulator: Start, lmflow: Lmflow) -> None:
    pool = simulator("lab")
    for name, shown in NAMES.items():
        done = lmflow("check", name)
        assert done.returncode == 2, done.stderr
        assert done.stdout == ""
        first = done.stderr.splitlines()[0]
        assert shown in first
        assert len(first) < 120
        assert all(line.isprintable() for line in done.stderr.splitlines())
    assert pool.changing_calls(witness=True) == []


def test_an_empty_destination_is_no_wish_for_a_choice(simulator: Start, lmflow: Lmflow) -> None:
    simulator("lab")
    done = lmflow("check", "web-01", "--to", "")
    assert done.returncode == 2
    assert "empty" in done.stderr.splitlines()[0]


def test_an_unreachable_pool(simulator: Start, lmflow: Lmflow) -> None:
    simulator("lab").stop()
    done = lmflow("check", "web-01")
    assert done.returncode == 9
    assert done.stdout == ""


def test_a_pool_of_an_old_release(simulator: Start, lmflow: Lmflow) -> None:
    """Its records miss many a field: what they do not say is no reason."""
    pool = simulator(TAMPA)
    report = ask(lmflow, "Shared", "Local", exit_code=3)
    assert codes(report, "Shared") == {"dt16": ["here"], "dt23": []}
    assert set(codes(report, "Local")["dt23"]) == {"VM_REQUIRES_SR"}
    assert codes(ask(lmflow, "Shared", "--ask-pool", exit_code=0), "Shared") == {"dt16": ["here"], "dt23": []}
    assert pool.changing_calls(witness=True) == []


def test_a_template_by_its_uuid(simulator: Start, lmflow: Lmflow) -> None:
    pool = simulator(TAMPA)
    template = next(r["uuid"] for r in pool.records("VM").values() if r["is_a_template"] and not r["is_a_snapshot"])
    report = ask(lmflow, template, exit_code=3)
    assert [f["code"] for f in report["vms"][0]["findings"]] == ["VM_IS_TEMPLATE"]


def test_a_warning_is_shown_and_refuses_nothing(simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path) -> None:
    def restart(world: dict[str, Any]) -> None:
        get_item(world, "hosts", "B")["agent_start_time"] = int(time.time()) - 5

    pool = simulator(write_world(tmp_path / "p.json", restart))
    done = lmflow("check", "v", "--to", "B")
    assert done.returncode == 0
    assert "  ! host     the toolstack of B restarted" in done.stdout
    (b,) = (h for h in ask(lmflow, "v", exit_code=0)["vms"][0]["hosts"] if h["host_name"] == "B")
    assert ([f["code"] for f in b["warnings"]], b["findings"], b["ok"]) == (["TOOLSTACK_RESTARTED"], [], True)
    assert codes(ask(lmflow, "v", "--to", "B", "--strict", exit_code=3), "v")["B"] == ["TOOLSTACK_RESTARTED"]
    done = lmflow("migrate", "v", "--to", "B")
    assert done.returncode == 0, done.stderr
    assert pool.runs_on("v") == ["B"]
    with contextlib.closing(sqlite3.connect(scene.database_file)) as database:
        told = database.execute("SELECT data FROM lmflow_events WHERE kind = 'warning'").fetchall()
    recorded = [finding["code"] for (data,) in told for finding in json.loads(data).get("findings", [])]
    assert recorded == ["TOOLSTACK_RESTARTED"]


ACME = """
import lmflow.checks

def check_licence(snapshot):
    "Is it licensed there?"
    if snapshot.vm.name_label == "v":
        raise RuntimeError("the licence server is away")
    return ()

LICENCE = lmflow.checks.Rule(name="acme.licence", check=check_licence)
"""


def install_acme(folder: Path) -> dict[str, str]:
    """Write a package with a rule that fails; return the environment in which it is installed."""
    metadata = folder / "acme-1.0.dist-info"
    metadata.mkdir(parents=True)
    (folder / "acme_rules.py").write_text(ACME, encoding="utf-8")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n", encoding="utf-8")
    entries = "[lmflow.checks]\nacme.licence = acme_rules:LICENCE\nacme.gone = acme_rules:GONE\n"
    (metadata / "entry_points.txt").write_text(entries, encoding="utf-8")
    return {"PYTHONPATH": str(folder)}


def test_a_rule_of_the_site_that_fails_is_told_by_its_name_and_can_be_switched_off(
    simulator: Start, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    acme = install_acme(tmp_path / "site")
    refused = scene.run("migrate", "v", "--to", "B", env=acme, fresh=True)
    assert refused.returncode == 3, refused.stderr
    said = " ".join(refused.stdout.split())
    for words in ("RULE_FAILED", "acme.licence", "acme.gone", "acme 1.0", "RuntimeError"):
        assert words in said
    assert "the licence server is away" not in said, "what somebody else's code says may hold a secret"
    assert pool.changing_calls(witness=True) == []
    listed = scene.run("check", "--sources", "-f", "json", env=acme, fresh=True)
    states = {row["rule"]: (row["distribution"], row["state"]) for row in json.loads(listed.stdout)}
    assert states["acme.licence"] == ("acme 1.0", "on")
    assert states["acme.gone"] == ("acme 1.0", "failed")
    off = {**acme, "OS_CHECKS__DISABLED": "acme.licence,acme.gone"}
    done = scene.run("check", "v", "--to", "B", env=off, fresh=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_are_listed_without_a_pool(lmflow: Lmflow, scene: Scene) -> None:
    scene.write_config()
    done = lmflow("check", "--sources")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"{len(checks.find_rules())} rules: {len(checks.find_rules())} on"
    assert "  on     host.live         lmflow.checks.host:LIVE (lmflow 0.1.0)" in lines
    assert max(map(len, lines)) <= 80
    off = lmflow(
        "check", "--sources", "-f", "value", "-c", "rule", "-c", "state", env={"OS_CHECKS__DISABLED": "vm.pci"}
    )
    assert [line.split() for line in off.stdout.splitlines() if "on" not in line.split()] == [["vm.pci", "off"]]
    wrong = lmflow("check", "--sources", env={"OS_CHECKS__DISABLED": "host.alive"})
    assert wrong.returncode == 2
    assert "'host.alive'" in wrong.stderr
    assert "host.live" in wrong.stderr


def test_what_is_asked_has_to_make_sense(lmflow: Lmflow, scene: Scene) -> None:
    scene.write_config()
    for arguments in (
        [],
        ["--sources", "v"],
        ["--sources", "--to", "B"],
        ["--sources", "-c", "host"],
        ["v", "-c", "rule"],
    ):
        done = lmflow("check", *arguments)
        assert done.returncode == 2, arguments
        assert done.stdout == ""
