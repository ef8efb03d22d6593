"""Neither the pool's password nor a session stands anywhere while a run is under way, is killed, fails, and is told."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lmflow.cli.graph import FORMATS
from tests.support.invariants import Invariants
from tests.support.kills import kill, query, wait_until
from tests.support.pool import SimulatedPool
from tests.support.scene import Command, Scene
from tests.support.worlds import write_world

Start = Callable[..., SimulatedPool]

HOOK = "#!/bin/sh\ntouch {here}\nwhile [ -e {here} ]; do sleep 0.05; done\n"
DEBUG = ["--debug", "--log-format", "json"]


def _find_descendants(pid: int) -> list[int]:
    """Return a process and all that it has started, threads' children included."""
    found = [pid]
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # ended since the look
            for child in path.read_text(encoding="ascii").split():
                found += _find_descendants(int(child))
    return found


def _read_processes(child: Command) -> Iterator[tuple[str, bytes]]:
    """Yield what every local user may read of the processes of a command, and of what it started what root may."""
    for pid in _find_descendants(child.pid):
        for name in ("cmdline", "environ") if pid != child.pid else ("cmdline",):
            with contextlib.suppress(OSError):  # ended since the look
                yield f"/proc/{pid}/{name}", Path(f"/proc/{pid}/{name}").read_bytes()


def _find_secrets(pool: SimulatedPool) -> list[bytes]:
    sessions = [str(each).removeprefix("OpaqueRef:") for each in pool.control("GET", "/secrets")]
    return [secret.encode() for secret in (str(pool.ready["password"]), *sessions)]


def _assert_kept(scene: Scene, pool: SimulatedPool, child: Command | None = None) -> None:
    """Look into every file that lmflow has written so far and, while it runs, at its processes."""
    assert list(Invariants(scene)._find_secrets()) == []
    for what, content in _read_processes(child) if child else ():
        assert not [secret for secret in _find_secrets(pool) if secret in content], what


@pytest.fixture
def hooked(simulator: Start, scene: Scene, tmp_path: Path) -> SimulatedPool:
    """A pool, and a hook before each migration that lasts until the test takes its mark away."""
    hook = tmp_path / "hook"
    hook.write_text(HOOK.format(here=tmp_path / "here"), encoding="ascii")
    hook.chmod(0o755)
    pool = simulator(write_world(tmp_path / "p.json"))
    text = scene.write_config(lab={"password_file": "", "password_env": "CANARY"}).read_text(encoding="utf-8")
    scene.config_file.write_text(f"{text}[hooks]\ncommand_before = {hook}\n", encoding="utf-8")
    return pool


def test_a_run_from_its_hook_to_its_picture(hooked: SimulatedPool, scene: Scene, tmp_path: Path) -> None:
    env, here = {"CANARY": str(hooked.ready["password"])}, tmp_path / "here"
    hooked.control("POST", "/phase_faults", {"phase": "copy", "kind": "hold", "at": 0.5})
    log = ["--log-file", str(scene.outputs / "debug.log")]
    child = scene.popen(*DEBUG, *log, "migrate", "v", "--to", "B", "--request-id", "r", env=env)
    assert wait_until(here.exists, child, "the hook"), scene.read_output(child)
    assert len(list(_read_processes(child))) > 1
    _assert_kept(scene, hooked, child)
    here.unlink()
    statement = "SELECT 1 FROM lmflow_attempts WHERE progress > 0.05"
    assert wait_until(lambda: bool(query(scene, statement)), child, "progress"), scene.read_output(child)
    _assert_kept(scene, hooked, child)
    kill(child)
    assert scene.database_file.with_name("lmflow.db-wal").stat().st_size > 0
    _assert_kept(scene, hooked)
    hooked.control("POST", "/release_phases", {})
    hooked.control("POST", "/faults", {"call": "VM.get_record", "nth": 1, "kind": "session_invalid"})
    assert scene.run(*DEBUG, *log, "resume", "r", env=env).returncode == 0
    for words in (["why"], ["run", "show", "--objects"], *(["graph", "-f", each] for each in FORMATS)):
        told = scene.run("--debug", *words, "r", env=env)
        assert told.returncode == 0, told.stderr
    assert "VM.pool_migrate took" in (scene.outputs / "debug.log").read_text(encoding="utf-8")
    _assert_kept(scene, hooked)


def test_a_traceback_of_each_kind(hooked: SimulatedPool, scene: Scene, tmp_path: Path) -> None:
    env = {"CANARY": str(hooked.ready["password"])}
    (tmp_path / "hook").write_text("#!/bin/sh\n", encoding="ascii")
    hooked.control("POST", "/phase_faults", {"phase": "copy", "kind": "fail"})
    failed = scene.run(*DEBUG, "migrate", "v", "--to", "B", env=env)
    assert failed.returncode == 4, failed.stderr
    hooked.control("POST", "/faults", {"call": "pool.get_all", "nth": 1, "kind": "close_after"})
    hooked.control("POST", "/faults", {"call": "pool.get_all", "nth": 2, "kind": "http_500"})
    hooked.control("POST", "/faults", {"call": "pool.get_all", "nth": 3, "kind": "reset_after"})
    lost = scene.run(*DEBUG, "migrate", "v", "--to", "C", env=env)
    assert lost.returncode == 9, lost.stderr
    assert "Traceback" in lost.stderr
    _assert_kept(scene, hooked)


def test_the_search_finds_what_it_looks_for(simulator: Start, scene: Scene, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    scene.outputs.mkdir()
    canary = scene.outputs / "canary"
    canary.write_text(f"a{pool.ready['password']}z", encoding="utf-8")
    with pytest.raises(AssertionError):
        _assert_kept(scene, pool)
    canary.unlink()
