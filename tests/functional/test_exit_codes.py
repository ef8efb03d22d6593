"""Every exit code that is documented of a command is produced by the real command, and no command ends otherwise."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator

import pytest

from lmflow.cli import demo_pool
from lmflow.cli.codes import CODES
from lmflow.cli.exits import Exit
from tests.support.ends import DISABLED, Demo, Done, Ends
from tests.support.invariants import Invariants
from tests.support.kills import pause
from tests.support.scene import COMMAND_SECONDS, Command, Scene

Said = Iterator[tuple[str, Exit, Done]]
# What a command wants at least.
WORDS = {
    **{name: name.split() for name in CODES},
    **{name: [*name.split(), "r"] for name in ("cancel", "graph", "repair", "run show", "run wait", "why")},
    "check": ["check", "v"],
    "config show": ["config", "show", "-f", "json"],
    "migrate": ["migrate", "v", "--to", "B"],
    "run prune": ["run", "prune", "--older-than", "1"],
    "resolve": ["resolve", "r", "--nowhere", "--reason", "x"],
    "simulator": ["simulator", "--world", "lab"],
}
OF_DATABASE = tuple(name for name in CODES if name not in ("complete", "config show", "demo", "explain", "simulator"))
FLOODING = ("complete", "config show", "explain")
NO_DATABASE = "mariadb+pymysql://nobody@127.0.0.1:1/none"
# Tested for all commands at once, below.
TOGETHER = {
    *((name, code) for name in CODES for code in (Exit.INTERNAL, Exit.USAGE)),
    *((name, Exit.SIGINT) for name in CODES if name != "demo"),
    *((name, Exit.UNREACHABLE) for name in OF_DATABASE),
}


def of_migrate(ends: Ends) -> Said:
    yield "migrate", Exit.DONE, ends.succeed("ok")
    yield "migrate", Exit.DONE, ends.migrate(ends.vms["ok"], "again")
    yield "migrate", Exit.USAGE, ends.migrate("v9", "ok")
    yield "migrate", Exit.REFUSED, ends.refuse("refused")
    yield "migrate", Exit.REFUSED, ends.migrate(ends.vms["ok"], "strict", "--strict")
    yield "migrate", Exit.FAILED, ends.fail("failed")
    yield "migrate", Exit.DIRTY, ends.soil("dirty")
    yield "migrate", Exit.INTERRUPTED, ends.let_go("let-go")
    yield "migrate", Exit.SIGINT, ends.end(ends.hold("ctrl-c"), signal.SIGINT)
    yield "migrate", Exit.UNKNOWN, ends.doubt("unknown")
    yield "migrate", Exit.LOCKED, ends.migrate(ends.vms["unknown"], "locked")
    ends.cut_off()
    yield "migrate", Exit.UNREACHABLE, ends.migrate("v9", "away")


def of_resume(ends: Ends) -> Said:
    for request_id, begin, code in (
        ("refused", ends.refuse, Exit.REFUSED),
        ("failed", ends.fail, Exit.FAILED),
        ("dirty", ends.soil, Exit.DIRTY),
        ("unknown", ends.doubt, Exit.UNKNOWN),
        ("let-go", ends.let_go, Exit.INTERRUPTED),
    ):
        assert begin(request_id).returncode == code
        if code is not Exit.INTERRUPTED:
            yield "resume", code, ends.scene.run("resume", request_id)
    yield "resume", Exit.UNKNOWN, ends.scene.run("resume", "unknown", "--plan")
    yield "resume", Exit.DONE, ends.scene.run("resume", "let-go", "--plan")
    owner = ends.hold("held")
    yield "resume", Exit.LOCKED, ends.scene.run("resume", "held", "--plan")
    yield "resume", Exit.LOCKED, ends.scene.run("resume", "held")
    ends.end(owner, signal.SIGTERM)
    for number, code in ((signal.SIGTERM, Exit.INTERRUPTED), (signal.SIGINT, Exit.SIGINT)):
        heir = ends.scene.popen("resume", "let-go")
        ends.wait_for_text(heir, "still migrating")
        yield "resume", code, ends.end(heir, number)
    ends.cut_off()
    yield "resume", Exit.UNREACHABLE, ends.scene.run("resume", "let-go", "--plan")
    yield "resume", Exit.UNREACHABLE, ends.scene.run("resume", "let-go")
    ends.mend()
    ends.release()
    yield "resume", Exit.DONE, ends.scene.run("resume", "let-go")
    yield "resume", Exit.PARTLY, ends.scene.run("resume")


def of_repair(ends: Ends) -> Said:
    for request_id, begin, code in (
        ("ok", ends.succeed, Exit.DONE),
        ("refused", ends.refuse, Exit.REFUSED),
        ("failed", ends.fail, Exit.FAILED),
    ):
        assert begin(request_id).returncode == code
        yield "repair", code, ends.scene.run("repair", request_id)
    ends.doubt("unknown")
    yield "repair", Exit.USAGE, ends.scene.run("repair", "unknown")
    ends.soil("dirty")
    ends.cut_off()
    yield "repair", Exit.UNREACHABLE, ends.scene.run("repair", "dirty")
    ends.mend()
    ends.fault("PBD.unplug")
    yield "repair", Exit.DIRTY, ends.scene.run("repair", "dirty")
    repairing = ends.hold_call("PBD.unplug", "repair", "dirty")
    yield "repair", Exit.LOCKED, ends.scene.run("repair", "dirty")
    repairing.send_signal(signal.SIGTERM)
    ends.let_call_go()
    yield "repair", Exit.INTERRUPTED, ends.end(repairing)
    yield "repair", Exit.FAILED, ends.scene.run("repair", "dirty")


def of_resolve(ends: Ends) -> Said:
    def resolve(request_id: str, host: str = "A") -> tuple[str, ...]:
        return "resolve", request_id, "--on", host, "--reason", "looked at both hosts"

    there = ends.take("there")
    ends.pool.control("POST", "/copy_seconds", {"vm": ends.pool.uuid("VM", there), "seconds": 5})
    ends.fault("copy", "restart", vm=there, host="coordinator", at=0.3)
    assert ends.migrate(there, "there").returncode == Exit.UNKNOWN
    assert ends.pool.runs_on(there) == ["B"]
    yield "resolve", Exit.DONE, ends.scene.run(*resolve("there", "B"))
    yield "resolve", Exit.USAGE, ends.scene.run(*resolve("there", "B"))
    ends.doubt("here")
    ends.cut_off()
    yield "resolve", Exit.UNREACHABLE, ends.scene.run(*resolve("here"))
    ends.mend()
    yield "resolve", Exit.FAILED, ends.scene.run(*resolve("here"))
    ends.doubt("soiled", kind="d")
    ends.fault("PBD.unplug")
    yield "resolve", Exit.DIRTY, ends.scene.run(*resolve("soiled"))
    for number, code in ((signal.SIGTERM, Exit.INTERRUPTED), (signal.SIGINT, Exit.SIGINT)):
        ends.doubt(f"held-{number}", kind="d")
        resolving = ends.hold_call("PBD.unplug", *resolve(f"held-{number}"))
        yield "resolve", Exit.LOCKED, ends.scene.run(*resolve(f"held-{number}"))
        resolving.send_signal(number)
        ends.let_call_go()
        yield "resolve", code, ends.end(resolving)
    ends.let_go("under-way")
    yield "resolve", Exit.REFUSED, ends.scene.run(*resolve("under-way"))


def of_cancel(ends: Ends) -> Said:
    for request_id, begin, code in (
        ("ok", ends.succeed, Exit.REFUSED),
        ("refused", ends.refuse, Exit.REFUSED),
        ("failed", ends.fail, Exit.FAILED),
        ("dirty", ends.soil, Exit.DIRTY),
        ("unknown", ends.doubt, Exit.UNKNOWN),
    ):
        begin(request_id)
        yield "cancel", code, ends.scene.run("cancel", request_id)
    owner = ends.hold("paused")
    pause(ends.scene, owner)
    yield "cancel", Exit.GOES_ON, ends.scene.run("cancel", "paused", "--timeout", "0.1")
    owner.send_signal(signal.SIGCONT)
    yield "cancel", Exit.DONE, ends.scene.run("cancel", "paused")
    yield "migrate", Exit.FAILED, ends.end(owner)
    ends.abandon("left")
    ends.cut_off()
    yield "cancel", Exit.UNREACHABLE, ends.scene.run("cancel", "left")
    ends.mend()
    for number, code in ((signal.SIGTERM, Exit.INTERRUPTED), (signal.SIGINT, Exit.SIGINT)):
        ends.abandon(f"left-{number}")
        asking = ends.hold_call("task.cancel", "cancel", f"left-{number}")
        asking.send_signal(number)
        ends.let_call_go()
        yield "cancel", code, ends.end(asking)


def of_looking(ends: Ends) -> Said:
    run = ends.scene.run
    for request_id, begin, code in (
        ("ok", ends.succeed, Exit.DONE),
        ("refused", ends.refuse, Exit.REFUSED),
        ("failed", ends.fail, Exit.FAILED),
        ("dirty", ends.soil, Exit.DIRTY),
        ("unknown", ends.doubt, Exit.UNKNOWN),
        ("let-go", ends.let_go, Exit.INTERRUPTED),
    ):
        begin(request_id)
        yield "run wait", code, run("run", "wait", request_id)
    owner = ends.hold("held")
    yield "run wait", Exit.GOES_ON, run("run", "wait", "held", "--timeout", "0")
    ends.end(owner, signal.SIGKILL)
    yield "run wait", Exit.INTERRUPTED, run("run", "wait", "held")
    yield "check", Exit.DONE, run("check", "v9")
    yield "check", Exit.REFUSED, run("check", "v9", "off")
    for words in ("run list", "run show ok", "graph ok", "status"):
        yield " ".join(words.split()[: 2 if words.startswith("run") else 1]), Exit.DONE, run(*words.split())
    for words in (("check", "v9"), ("why", "let-go"), ("status",)):
        looking = ends.hold_call("host.get_all_records", *words)
        looking.send_signal(signal.SIGTERM)
        yield words[0], Exit.INTERRUPTED, ends.end(looking)
        ends.let_call_go()
    ends.cut_off()
    yield "check", Exit.UNREACHABLE, run("check", "v9")
    yield "why", Exit.UNREACHABLE, run("why", "let-go")
    yield "why", Exit.DONE, run("why", "ok")
    yield "status", Exit.UNREACHABLE, run("status")


GROUPS: dict[str, tuple[Callable[[Ends], Said], tuple[str, ...]]] = {
    "migrate": (of_migrate, ("migrate",)),
    "resume": (of_resume, ("resume",)),
    "repair": (of_repair, ("repair",)),
    "resolve": (of_resolve, ("resolve",)),
    "cancel": (of_cancel, ("cancel",)),
    "looking": (of_looking, ("check", "graph", "run list", "run show", "run wait", "status", "why")),
}
WITHOUT_A_POOL = ("complete", "config show", "db upgrade", "explain", "run prune", "simulator")


def judge(said: Said, commands: tuple[str, ...]) -> None:
    """Run a group to its end: each code is the one expected, and all that is documented of its commands was seen."""
    seen = set()
    for command, code, done in said:
        assert (command, done.returncode) == (command, code), f"{done.args}\n{done.stdout}\n{done.stderr}"
        seen.add((command, code))
    documented = {(command, code) for command in commands for code in CODES[command]}
    assert not documented - seen - TOGETHER, "documented, and not tested"
    assert not {pair for pair in seen if pair[0] in commands} - documented, "tested, and not documented"


# Some thirty commands one after the other: on a machine that has more to do, they take longer than one test may.
@pytest.mark.timeout(900)
@pytest.mark.parametrize("group", GROUPS)
def test_each_code_of_a_command_comes_where_it_is_documented(group: str, scene: Scene, invariants: Invariants) -> None:
    invariants.open_runs = True
    script, commands = GROUPS[group]
    judge(script(Ends.start(scene, time_scale=25 if group == "resolve" else 100)), commands)


def test_each_command_is_in_one_group_and_nothing_undocumented_is_tested() -> None:
    assert not TOGETHER - {(name, code) for name, codes in CODES.items() for code in codes}
    grouped = [name for _, commands in GROUPS.values() for name in commands]
    assert sorted([*grouped, *WITHOUT_A_POOL, "demo"]) == sorted(CODES)


def test_each_code_of_a_command_without_a_pool(scene: Scene) -> None:
    scene.write_config()

    def try_all() -> Said:
        for name in ("complete", "config show", "db upgrade", "explain", "run prune"):
            yield name, Exit.DONE, scene.run(*WORDS[name])
        ready = scene.directory / "ready.json"
        for number in (signal.SIGTERM, signal.SIGINT):
            child = scene.popen(*WORDS["simulator"], "--ready-file", str(ready))
            scene.wait_until(ready.exists)
            child.send_signal(number)
            code = child.wait(COMMAND_SECONDS)
            ready.unlink()
            yield "simulator", Exit.DONE, subprocess.CompletedProcess(child.args, code, *scene.read_output(child))

    judge(try_all(), WITHOUT_A_POOL)


def of_demo(demo: Demo) -> Said:
    """Move web-01 to and fro between xcp-a and xcp-b."""
    demo.change(
        ("VM.hard_shutdown", "VM", "web-03"),
        ("VM.hard_shutdown", "VM", "cache-01"),
        ("PBD.unplug", "PBD", "xcp-b/nfs-vms"),
    )
    demo.fault("setup", error=DISABLED)
    demo.fault("PBD.unplug")
    yield "demo", Exit.DIRTY, demo.run("demo")
    demo.fault("setup", error=DISABLED)
    yield "demo", Exit.FAILED, demo.run("demo")
    demo.change(("host.disable", "host", "xcp-b"))
    yield "demo", Exit.REFUSED, demo.run("demo")
    demo.change(("host.enable", "host", "xcp-b"))
    yield "demo", Exit.INTERRUPTED, demo.let_go(signal.SIGTERM)
    yield "demo", Exit.SIGINT, demo.let_go(signal.SIGINT)
    yield "demo", Exit.DONE, demo.run("demo")
    demo.fault("finish", end="nowhere")
    yield "demo", Exit.UNKNOWN, demo.run("demo")
    yield "demo", Exit.LOCKED, demo.run("demo")
    ready = demo.pool.directory / "ready.json"
    ready.write_text(json.dumps({**demo.pool.ready, "password": "not-it"}))
    yield "demo", Exit.UNREACHABLE, demo.run("demo")
    yield "demo", Exit.DONE, demo.run("demo", "--stop")


@pytest.mark.timeout(900)
def test_each_code_of_the_demo(scene: Scene) -> None:
    directory = scene.directory / "home" / "state" / "lmflow" / "demo"
    scene.config_file.touch()
    demo = Demo(scene, demo_pool.start_demo(directory, time_scale=100))
    try:
        judge(of_demo(demo), ("demo",))
    finally:
        demo_pool.stop_demo(directory)


IN_ONE_PROCESS = """
import json, sys
from lmflow.cli.main import LmflowApp, main
codes = {}
for name, words in json.loads(sys.argv[1]).items():
    if sys.argv[2] == "defect":
        LmflowApp().command_manager.find_command(name.split())[0].run = lambda *args: 1 / 0
    codes[name] = main(words)
json.dump(codes, open("codes.json", "w"))
"""


@pytest.mark.parametrize(
    ("what", "more", "names", "code", "told"),
    [
        ("defect", [], CODES, Exit.INTERNAL, "internal error: ZeroDivisionError"),
        ("usage", ["--nosuch"], CODES, Exit.USAGE, "unrecognized arguments: --nosuch"),
        ("no database", ["--database", NO_DATABASE], OF_DATABASE, Exit.UNREACHABLE, "cannot be reached"),
    ],
    ids=["defect", "usage", "no database"],
)
def test_what_befalls_every_command_has_one_code(
    scene: Scene, what: str, more: list[str], names: Iterable[str], code: Exit, told: str
) -> None:
    scene.write_config()
    words = json.dumps({name: [*WORDS[name], *more] for name in names})
    command, environment = [sys.executable, "-c", IN_ONE_PROCESS, words, what], scene.environment()
    done = subprocess.run(
        command, cwd=scene.directory, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    codes = json.loads((scene.directory / "codes.json").read_text())
    assert codes == dict.fromkeys(names, int(code)), done.stderr
    assert done.stderr.count(f"lmflow: {told}") + done.stderr.count(f" {told}") >= len(codes)


def interrupt(child: Command) -> int:
    child.send_signal(signal.SIGINT)
    return child.wait(COMMAND_SECONDS)


@pytest.mark.parametrize("name", OF_DATABASE)
def test_ctrl_c_while_the_database_is_silent(scene: Scene, name: str) -> None:
    scene.write_config()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(COMMAND_SECONDS)
        url = f"mariadb+pymysql://nobody@127.0.0.1:{silent.getsockname()[1]}/none"
        child = scene.popen("--database", url, *WORDS[name])
        with silent.accept()[0]:
            assert interrupt(child) == Exit.SIGINT, scene.read_output(child)


@pytest.mark.parametrize("name", FLOODING)
def test_ctrl_c_while_nobody_reads(scene: Scene, name: str) -> None:
    pools = "".join(f"[pool:p{number}]\naddresses = 127.0.0.1\n" for number in range(9))  # something to show
    scene.config_file.write_text(pools)
    reader, writer = os.pipe()
    full = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    child = scene.popen(*WORDS[name], stdout=writer)
    scene.wait_until(lambda: not select.select([], [writer], [], 0)[1])
    child.send_signal(signal.SIGINT)
    os.close(writer)
    with open(reader, "rb") as drain:
        assert len(drain.read()) >= full
    assert child.wait(COMMAND_SECONDS) == Exit.SIGINT, scene.read_output(child)


def test_ctrl_c_before_the_simulator_listens(scene: Scene) -> None:
    state = scene.directory / "state"
    os.mkfifo(state)
    child = scene.popen(*WORDS["simulator"], "--state", str(state))
    with state.open("w"):  # returns when it has begun to read
        assert interrupt(child) == Exit.SIGINT, scene.read_output(child)


def test_ctrl_c_is_tried_on_every_command() -> None:
    assert {*OF_DATABASE, *FLOODING, "simulator", "demo"} == set(CODES)
    assert all(Exit.SIGINT in codes for codes in CODES.values())
