"""Acceptance scenario 55, across databases: the VM says itself which run holds it, and one run at a time does."""

from __future__ import annotations

import concurrent.futures
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from lmflow.exceptions import LockedError
from tests.support.admin import as_admin
from tests.support.claims import (
    FOREIGN,
    KEY,
    PUT,
    TAKE,
    find_fate,
    find_mark,
    put_mark,
    take_mark,
    use_other_database,
)
from tests.support.embedding import open_client
from tests.support.invariants import Invariants
from tests.support.kills import kill, kill_at_hold, kill_at_step, wait_until
from tests.support.pool import SimulatedPool, is_reading
from tests.support.scene import COMMAND_SECONDS, Command, Scene
from tests.support.worlds import get_item, write_world

Start = Callable[..., SimulatedPool]
Lmflow = Callable[..., CompletedProcess[str]]

MOVE = ["migrate", "v", "--to", "B", "--request-id", "r"]
STAYS = {"phase": "setup", "kind": "fail", "error": ["HOST_DISABLED", "OpaqueRef:b"]}
RIVALS = 20


def unplug_b(world: dict[str, Any]) -> None:
    get_item(world, "storage", "S")["hosts"]["B"] = "unplugged"


def hold(pool: SimulatedPool, call: str, point: str, nth: int = 1) -> None:
    pool.control("POST", "/hold", {"call": call, "point": point, "nth": nth})


def wait_for_holds(pool: SimulatedPool, scene: Scene, child: Command) -> None:
    reached = wait_until(lambda: any(h["reached"] for h in pool.control("GET", "/hold")), child, "held")
    assert reached, scene.read_output(child)


def join(done: CompletedProcess[str]) -> str:
    return " ".join((done.stdout + done.stderr).split())


def test_55_a_run_of_another_database_holds_the_vm(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    other = use_other_database(scene)
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "hold"})
    first = scene.popen(*MOVE)
    assert wait_until(lambda: bool(pool.effects("v")), first, "the submit"), scene.read_output(first)
    (run,) = scene.runs()
    assert find_mark(pool) == run["run"]
    assert find_fate(scene, "r") == "done"
    for destination in (("--to", "C"), ("--to", "A"), ()):
        second = lmflow("migrate", "v", *destination, "--request-id", "mine", env=other)
        assert second.returncode == 10, join(second)
        assert run["run"] in second.stderr
        removal = f"xe vm-param-remove uuid={pool.uuid('VM', 'v')} param-name=other-config param-key={KEY}"
        assert removal in join(second)
    checked = lmflow("check", "v", env=other)
    assert checked.returncode == 3
    assert "VM_CLAIMED" in checked.stdout
    assert [m for m in pool.changing_calls() if not m.startswith("xenops:")] == [PUT, "Async.VM.pool_migrate"]
    pool.control("POST", "/release_phases", {})
    assert first.wait(COMMAND_SECONDS) == 0, scene.read_output(first)
    assert (find_mark(pool), find_fate(scene, "r")) == (None, "released")
    free = lmflow("migrate", "v", "--to", "B", "--request-id", "mine", env=other)
    assert free.returncode == 0, join(free)  # the same request id: nothing was recorded while it was locked


def test_55_one_of_twenty_at_once_wins(
    simulator: Start, lmflow: Lmflow, scene: Scene, invariants: Invariants, tmp_path: Path
) -> None:
    invariants.foreign_migrations["v"] = 1  # the winner is in none of the databases that the judge reads
    pool = simulator(write_world(tmp_path / "p.json"))
    assert lmflow("db", "upgrade").returncode == 0
    urls = []
    for number in range(RIVALS):
        path = scene.database_file.with_name(f"rival-{number}.db")
        shutil.copy(scene.database_file, path)
        urls.append(f"sqlite:///{path}")
        hold(pool, PUT, "request_read", number + 1)

    def migrate(url: str) -> str:
        with open_client(scene, database_url=url) as client:
            try:
                outcome = client.migrate("v", "B")
            except LockedError:
                return "locked before"
        return outcome.reason or outcome.run.state.value

    with concurrent.futures.ThreadPoolExecutor(RIVALS) as threads:
        runs = [threads.submit(migrate, url) for url in urls]

        def all_there() -> bool:
            there = sum(each["reached"] for each in pool.control("GET", "/hold"))
            return there + sum(run.done() for run in runs) == RIVALS

        scene.wait_until(all_there, seconds=COMMAND_SECONDS)
        assert find_mark(pool) is None
        pool.control("POST", "/release", {})
        ends = Counter(run.result(COMMAND_SECONDS) for run in runs)
    assert ends == {"success": 1, "locked": RIVALS - 1}
    assert len(pool.audit("VM.pool_migrate")) == 1
    assert pool.runs_on("v") == ["B"]
    assert find_mark(pool) is None


def test_51_killed_around_the_mark(simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    points = [(call, point) for call in (PUT, TAKE) for point in ("request_read", "reply_written")]
    for number, (call, point) in enumerate(points):
        there = "BA"[number % 2]
        hold(pool, call, point)
        child = scene.popen("migrate", "v", "--to", there, "--request-id", f"r{number}")
        kill_at_hold(pool, scene, child, point=point, call=call)
        done = lmflow("resume", f"r{number}")
        assert done.returncode == 0, (call, point, join(done))
        assert pool.runs_on("v") == [there]
        assert (find_mark(pool), find_fate(scene, f"r{number}")) == (None, "released")
    assert len(pool.audit("VM.pool_migrate")) == len(points)


def test_51_killed_while_the_mark_is_taken_back(simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    for point in ("request_read", "reply_written"):
        pool.control("POST", "/phase_faults", STAYS)
        hold(pool, TAKE, point)
        child = scene.popen("migrate", "v", "--to", "B", "--request-id", point)
        kill_at_hold(pool, scene, child, point=point, call=TAKE)
        done = lmflow("resume", point)
        assert done.returncode == 4, join(done)
        assert (find_mark(pool), find_fate(scene, point)) == (None, "undone")
    assert pool.runs_on("v") == ["A"]


def test_50_a_lost_reply_to_the_mark_is_no_verdict(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    for number, kind in enumerate(("reset_before", "reset_after", "session_invalid")):
        for call in (PUT, TAKE):
            pool.control("POST", "/faults", {"call": call, "kind": kind})
        done = lmflow("migrate", "v", "--to", "BA"[number % 2], "--request-id", kind)
        assert done.returncode == 0, (kind, join(done))
        assert (find_mark(pool), find_fate(scene, kind)) == (None, "released")
    assert len(pool.audit("VM.pool_migrate")) == 3


@pytest.mark.parametrize("released", ["before", "after"])
def test_a_cancel_while_the_call_is_on_its_way_leaves_no_mark(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, released: str
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    hold(pool, PUT, "request_read")
    child = scene.popen(*MOVE)
    wait_for_holds(pool, scene, child)
    kill(child)
    if released == "before":
        pool.control("POST", "/release", {})
        scene.wait_until(lambda: find_mark(pool) is not None)
    cancelled = lmflow("cancel", "r")
    assert cancelled.returncode == 0, join(cancelled)
    pool.control("POST", "/release", {})
    scene.wait_until(lambda: not pool.control("GET", "/hold"))
    assert (find_mark(pool), find_fate(scene, "r")) == (None, "undone" if released == "before" else "void")
    assert pool.audit("VM.pool_migrate") == []


def test_a_lost_mark_is_no_release(simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json", unplug_b))
    other = use_other_database(scene)
    hold(pool, "PBD.plug", "reply_written")
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "hold"})
    child = scene.popen(*MOVE)
    wait_for_holds(pool, scene, child)
    take_mark(pool)
    second = lmflow("migrate", "v", "--to", "C")
    assert second.returncode == 10, join(second)
    assert find_mark(pool) is None
    pool.control("POST", "/release", {})
    assert wait_until(lambda: bool(pool.effects("v")), child, "the submit"), scene.read_output(child)
    (run,) = scene.runs()
    assert find_mark(pool) == run["run"]
    third = lmflow("migrate", "v", "--to", "C", env=other)
    assert third.returncode == 10, join(third)
    pool.control("POST", "/release_phases", {})
    assert child.wait(COMMAND_SECONDS) == 0, scene.read_output(child)
    warnings = scene.rows("run", "wait", "r")["warnings"]
    assert [w for w in warnings if "is no longer on v: taken off by somebody, or forgotten" in w]
    assert (find_mark(pool), find_fate(scene, "r")) == (None, "released")


def test_a_mark_that_is_lost_with_a_toolstack_in_the_copy_is_put_back(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "hold", "at": 0.3})
    owner = scene.popen(*MOVE)
    assert wait_until(lambda: bool(pool.effects("v")), owner, "the submit"), scene.read_output(owner)
    take_mark(pool)
    pool.control("POST", "/toolstack", {"host": "A", "action": "restart", "how": "KILL"})
    (run,) = scene.runs()
    assert wait_until(lambda: find_mark(pool) == run["run"], owner, "the mark"), scene.read_output(owner)
    assert lmflow("migrate", "v", "--to", "C", env=use_other_database(scene)).returncode == 10
    pool.control("POST", "/release_phases", {})
    assert owner.wait(COMMAND_SECONDS) == 0, scene.read_output(owner)
    assert len(pool.audit("VM.pool_migrate")) == len(pool.effects("v")) == 1
    assert (find_mark(pool), find_fate(scene, "r")) == (None, "released")


def test_a_mark_that_our_role_may_not_put_back_any_more_is_told_and_nothing_false_follows(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", add_paul))
    secret = pool.directory / "paul"
    secret.write_text("pauls-own-secret\n", encoding="utf-8")
    secret.chmod(0o600)
    scene.write_config(lab={"username": "paul", "password_file": secret})
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "hold", "at": 0.3})
    owner = scene.popen(*MOVE)
    assert wait_until(lambda: bool(pool.effects("v")), owner, "the submit"), scene.read_output(owner)
    take_mark(pool)
    give_role(pool, "paul", "read-only")
    # A session keeps the role that it began with, and a run reads the mark only where it has to look around.
    pool.control("POST", "/toolstack", {"host": "A", "action": "restart"})
    denied = "RBAC_PERMISSION_DENIED"
    assert wait_until(lambda: denied in scene.read_output(owner)[1], owner, denied), scene.read_output(owner)
    pool.control("POST", "/release_phases", {})
    # Each role that may ask the witness may mark, too: without it nobody says how the copy ended.
    assert owner.wait(COMMAND_SECONDS) == 7, scene.read_output(owner)
    assert any(e["outcome"] == denied for e in pool.audit(PUT)), "it was tried"
    give_role(pool, "paul", "vm-power-admin")
    resumed = lmflow("resume", "r")
    assert resumed.returncode == 0, join(resumed)
    assert (pool.runs_on("v"), len(pool.effects("v"))) == (["B"], 1)
    assert find_mark(pool) is None


def add_paul(world: dict[str, Any]) -> None:
    world["users"] = [{"name": "paul", "password": "pauls-own-secret", "role": "vm-power-admin"}]


def give_role(pool: SimulatedPool, user: str, role: str) -> None:
    """Let a user have this role alone."""
    with as_admin(pool) as call:
        (subject,) = (r for r, s in pool.records("subject").items() if s["other_config"]["subject-name"] == user)
        for held in call("subject.get_roles", subject):
            call("subject.remove_from_roles", subject, held)
        call("subject.add_to_roles", subject, call("role.get_by_name_label", role)[0])
        call("pool.sync_database")  # a coordinator that starts anew is to know it


@pytest.mark.parametrize("options", [[], ["vm.claimed"]], ids=["", "with the rule switched off"])
def test_a_mark_of_another_run_before_our_submit_sends_nothing(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, options: list[str]
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", unplug_b))
    if options:
        with scene.config_file.open("a", encoding="utf-8") as config:
            config.write(f"[checks]\ndisabled = {options[0]}\n")
    hold(pool, "PBD.plug", "reply_written")
    child = scene.popen(*MOVE)
    wait_for_holds(pool, scene, child)
    put_mark(pool)
    pool.control("POST", "/release", {})
    assert child.wait(COMMAND_SECONDS) == 10, scene.read_output(child)
    assert FOREIGN in " ".join("".join(scene.read_output(child)).split())
    assert lmflow(*MOVE).returncode == 10, "the request id tells how it ended"
    assert scene.runs()[0]["state"] == "failed"
    assert pool.audit("VM.pool_migrate") == []
    assert "Async.PBD.unplug" in pool.changing_calls()
    assert find_mark(pool) == FOREIGN


def test_a_mark_of_another_run_after_our_submit_is_told_and_left(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "hold"})
    child = scene.popen(*MOVE)
    assert wait_until(lambda: bool(pool.effects("v")), child, "the submit"), scene.read_output(child)
    put_mark(pool)
    pool.control("POST", "/release_phases", {})
    assert child.wait(COMMAND_SECONDS) == 0, scene.read_output(child)
    told = " ".join(scene.read_output(child)[0].split())
    assert f"carries the mark of run {FOREIGN}" in told
    assert find_mark(pool) == FOREIGN


def test_a_stale_mark_refuses_with_only_reads(simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path) -> None:
    def mark(world: dict[str, Any]) -> None:
        get_item(world, "vms", "v")["other_config"] = {KEY: FOREIGN}

    pool = simulator(write_world(tmp_path / "p.json", mark))
    refused = lmflow(*MOVE)
    assert refused.returncode == 10, join(refused)
    assert FOREIGN in refused.stderr
    assert "Only if that run has ended, or is of another VM (this is a copy)" in join(refused)
    assert all(is_reading(each["method"]) for each in pool.audit())
    assert scene.runs() == []
    take_mark(pool)
    assert lmflow(*MOVE).returncode == 0


def test_a_mark_that_comes_while_the_rules_are_asked_refuses_with_only_reads(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    if kill_at_step(scene, "record_intent", *MOVE):
        put_mark(pool)
        seen = len(pool.audit())
        done = lmflow("resume", "r")
        assert done.returncode == 10, join(done)
        assert scene.runs()[0]["state"] == "refused"
        assert all(is_reading(each["method"]) for each in pool.audit()[seen:])
        assert lmflow(*MOVE).returncode == 10
