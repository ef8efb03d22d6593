"""The simulated pool against recordings of a real one: the same states in the same order, at similar times.

Each run is done twice, in a pool like the recorded one and in another with other names, counts and orders.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.aftermath import check_aftermath
from tests.support.alignment import MASKS, check_order, check_same
from tests.support.replays import CASTS, TIMELINES, Cast, Recording
from tests.support.stage import Stage

NAMES = sorted(path.name.split("_")[0] for path in TIMELINES.glob("*.json"))
COPY_FAILS = {"phase": "copy", "kind": "fail", "at": 1.0}
RESTORE_FAILS = {"phase": "finish", "kind": "fail", "at": 0.0}
FAULTS = {"D06": COPY_FAILS, "C09": COPY_FAILS, "D07": RESTORE_FAILS, "C10": RESTORE_FAILS}
SHORTER = {"C15": 7.5}
"""A copy that ended 0.1 s before the toolstack was back: which of the two comes first may not be chance here."""


class Replay(Stage):
    """One pool, and what a recording did to the real one."""

    def __init__(self, name: str, cast: Cast) -> None:
        self.recording = Recording(name)
        super().__init__(cast, self.recording.source)
        self.destination = cast.host(self.recording.destination)

    def run(self) -> None:
        """Migrate, with everything that befell the recorded migration."""
        recording, moves = self.recording, self.moves
        copy_seconds = SHORTER.get(recording.name, recording.copy_seconds)
        for at, what in recording.actions:
            if what.startswith(("KILL", "TERM")):
                how, role = what.split()
                fault = {"kind": "restart", "host": self.cast.host(role), "how": how, "at": at / copy_seconds}
                moves.fault(phase="copy", **fault)
                if how == "TERM" and role == "h1":
                    self.outlast_the_coordinator()
        if recording.name in FAULTS:
            moves.fault(**FAULTS[recording.name])
        moves.set_copy(self.vm, copy_seconds)
        moves.start(self.vm, self.destination)

    def settle(self) -> None:
        """Wait until every column has come to the recorded end; then until the database would have told more."""
        for column, states in self.recording.columns.items():
            if states:
                self.watcher.wait_for(column, lambda state, last=states[-1][1]: state == last)
        self.watcher.until(self.watcher.seconds + 1.0)


@pytest.fixture
def make_replay() -> Iterator[Callable[[str, str], Replay]]:
    made: list[Replay] = []

    def make(name: str, cast: str) -> Replay:
        made.append(Replay(name, CASTS[cast]))
        return made[-1]

    yield make
    for replay in made:
        replay.close()


def submit_again(replay: Replay) -> None:
    """What C07 and C13 did: the same request once more, while hosts are disabled, and while the orphaned copy runs."""
    replay.log_in_again()
    if replay.recording.name == "C13":
        replay.watcher.until(11.04)
    replay.moves.start(replay.vm, replay.destination)


def cancel(replay: Replay) -> None:
    """What D03 and D04 did: cancel in the copy. And D05: when the guest has moved, and cancel is no longer allowed."""
    if replay.recording.name == "D05":
        replay.watcher.wait_for("real", lambda state: bool(state[1]))
    else:
        replay.watcher.until(1.03)
    assert replay.moves.client.call("task.cancel", replay.moves.task_ref) == ""
    replay.moves.pool.xenops.released.set()


def shut_down(replay: Replay) -> None:
    """What C11 did to a VM that had moved."""
    replay.watcher.until(2.6)
    replay.moves.client.call("VM.hard_shutdown", replay.moves.ref("VM", replay.vm))


DURING: dict[str, Callable[[Replay], None]] = {
    "C07": submit_again,
    "C13": submit_again,
    "C11": shut_down,
    **dict.fromkeys(("D03", "D04", "D05"), cancel),
}


@pytest.mark.parametrize("cast", CASTS)
@pytest.mark.parametrize("name", NAMES)
def test_a_timeline(make_replay: Callable[[str, str], Replay], name: str, cast: str) -> None:
    replay = make_replay(name, cast)
    if name == "D05":
        # However slow this machine is, the migration is not over before the cancel has come.
        replay.moves.fault(phase="finish", kind="hold", at=0.9)
    replay.run()
    if name in DURING:
        DURING[name](replay)
    replay.settle()
    check_same(replay.recording, replay.watcher)
    if name in ("D01", "D02"):
        check_order(replay.recording, replay.watcher)
    client = replay.moves.client
    if replay.watcher.seen["task"][-1][1] == "lost" and name not in DURING:
        assert client.refuse("VM.get_all") == ["SESSION_INVALID", client.session]
        client.login()
    check_messages(replay)
    check_aftermath(replay.moves, replay.recording, replay.cast)


def check_messages(replay: Replay) -> None:
    """A recorded pool had also told of the VM's own start, before the run."""
    recorded = sorted(message for message in replay.recording.messages if message[0] != "VM_STARTED")
    uuid = replay.moves.uuid(replay.vm)
    found = [m for m in replay.moves.client.call("message.get_all_records").values() if m["obj_uuid"] == uuid]
    assert sorted([message["name"], message["priority"]] for message in found) == recorded


def test_every_mask_has_its_reason() -> None:
    assert all(reason for reason in MASKS.values())


def test_progress_goes_up_by_elevenths_and_down_once(make_replay: Callable[[str, str], Replay]) -> None:
    replay = make_replay("D01", "other")
    shown: list[float] = []
    update = replay.pool.store.update

    def noting(cls: str, ref: str, **fields: Any) -> None:
        if cls == "task" and "progress" in fields:
            shown.append(round(fields["progress"], 2))
        update(cls, ref, **fields)

    replay.pool.store.update = noting  # type: ignore[method-assign]
    replay.run()
    replay.settle()
    rows = [row["task"] for _, row in replay.recording.rows]
    recorded = list(dict.fromkeys(progress for _, progress, allowed, *_ in rows if allowed == ["cancel"]))
    assert shown[: len(recorded)] == recorded
    falls = [(a, b) for a, b in itertools.pairwise(shown) if b < a]
    assert len(falls) == 1, "a real pool's progress goes down at the end"
