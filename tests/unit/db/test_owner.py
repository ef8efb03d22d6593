"""Whether an owner is gone is proved with real processes."""

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from lmflow.db import owner as owners
from lmflow.db.owner import current_owner, describe, is_dead
from lmflow.models import Owner


@pytest.fixture
def child() -> Iterator[tuple[subprocess.Popen[str], Owner]]:
    """A living process that has said how it would sign a lease."""
    code = "from lmflow.db.owner import current_owner as c; print(c().to_json(), flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        yield process, Owner.from_json(eval(said, {"__builtins__": {}}))  # noqa: S307 - our own child's dict
        process.kill()


def test_we_are_alive() -> None:
    assert not is_dead(current_owner(), current_owner())


def test_a_living_child_is_not_dead(child: tuple[subprocess.Popen[str], Owner]) -> None:
    process, owner = child
    assert owner.pid == process.pid
    assert not is_dead(owner, current_owner())


def test_a_killed_child_is_dead_while_it_is_a_zombie_and_afterwards(
    child: tuple[subprocess.Popen[str], Owner],
) -> None:
    process, owner = child
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has asked how
    assert is_dead(owner, current_owner())
    process.wait()
    assert is_dead(owner, current_owner())


def test_a_stopped_child_is_not_dead(child: tuple[subprocess.Popen[str], Owner]) -> None:
    process, owner = child
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    assert not is_dead(owner, current_owner())


def test_a_pid_that_was_given_again_is_another_process(child: tuple[subprocess.Popen[str], Owner]) -> None:
    _process, owner = child
    assert is_dead(dataclasses.replace(owner, started=str(int(owner.started) - 1)), current_owner())


def test_an_owner_whose_start_is_unknown_is_not_dead_while_its_pid_lives() -> None:
    me = current_owner()
    assert not is_dead(dataclasses.replace(me, started=""), me)


@pytest.mark.parametrize("elsewhere", [{"machine": "other/other"}, {"boot_id": "other"}, {"boot_id": ""}])
def test_nothing_is_proved_from_elsewhere(
    child: tuple[subprocess.Popen[str], Owner], elsewhere: dict[str, str]
) -> None:
    process, owner = child
    process.kill()
    process.wait()
    assert is_dead(owner, current_owner())
    assert not is_dead(dataclasses.replace(owner, **elsewhere), current_owner())
    assert not is_dead(owner, dataclasses.replace(current_owner(), **elsewhere))


def test_a_changed_host_name_is_still_the_same_machine() -> None:
    me = current_owner()
    gone = dataclasses.replace(me, machine="renamed/" + me.machine.partition("/")[2], started="1")
    assert is_dead(gone, me)


def test_a_container_of_the_same_image_is_another_place(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    me = current_owner()
    assert "pid:[" in me.boot_id
    monkeypatch.setattr(owners, "PID_NAMESPACE", owners.Path("/nowhere"))
    assert current_owner().boot_id == ""


def test_an_owner_is_described_by_what_a_person_can_look_for() -> None:
    assert describe(Owner(machine="xcp-a/0123", boot_id="b", pid=811, started="5")) == "pid 811 on xcp-a"
