"""Trace 10: tasks made by hand, and what outlives its client's session and connection."""

import socket
import xmlrpc.client
from typing import Any

from lmflow.simulator.migrations.migration import set_copy_seconds
from lmflow.simulator.tasks import KEPT_SECONDS
from tests.support.recorded.following import follow, is_on, wait_until
from tests.support.recorded.lab import make_lab
from tests.support.recorded.player import Answer, Player, Topic
from tests.support.recorded.trace import Item

_EARLIER = ("81e74fda-1165-4b4a-e05f-59452f75a505", "79ff3a68-00f4-a1fe-c88a-ac36ff74f29e",
            "61723f72-114a-f37e-a393-67da4d947661")  # fmt: skip
"""Tasks of earlier recordings, whose records were still there."""
_SESSION_2 = "OpaqueRef:df472f65-3874-eff5-89ca-ad927afae3f4"
_SESSION_3 = "OpaqueRef:3ce0dd09-0b40-0302-3d83-78b126d9110e"
_RUNNING = "OpaqueRef:67864f1b-1e05-08dd-4476-f49a01b9ae08"
_RUNNING_2 = "OpaqueRef:46c774f3-e39e-c263-3747-388d710a2251"


class Caller:
    """Makes a synchronous call, and goes away before its reply."""

    def __init__(self) -> None:
        self._open: dict[Player, socket.socket] = {}

    def call(self, player: Player) -> None:
        host = player.host("h2")
        parameters = (player.client.session, player.vm("vm-run"), host, {"live": "true"})
        body = xmlrpc.client.dumps(parameters, "VM.pool_migrate").encode()
        connection = socket.create_connection((player.addresses["h1"], player.client.port), timeout=30)
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        self._open[player] = connection
        wait_until(player, lambda: any(_is_being_copied(player, ref) for ref in _synchronous(player)))

    def go_away(self, player: Player) -> None:
        self._open.pop(player).close()


def _synchronous(player: Player) -> list[str]:
    return player.pool.store.find("task", name_label="VM.pool_migrate")


def _is_being_copied(player: Player, ref: str) -> bool:
    return bool(player.pool.store.value("task", ref, "progress") > 0)


CALLER = Caller()


def _prepare(player: Player) -> None:
    set_copy_seconds(player.pool, player.pool.store.value("VM", player.vm("vm-run"), "uuid"), 4.0)
    for ref in _EARLIER:
        player.binding.bind(f"OpaqueRef:{ref}", player.call("task.create", "earlier", ""))


def _bind_session(recorded: str) -> Any:
    def act(player: Player) -> None:
        player.binding.bind(recorded, player.client.login(keep=False))

    return act


def _log_out_meanwhile(player: Player) -> None:
    wait_until(player, lambda: bool(_synchronous(player)))
    player.client.raw("session.logout", player.binding.ours[_SESSION_3])
    player.wait_for(39)


def _arrived(host: str) -> Any:
    return lambda player, item: player.compare_note(item, {"ok": is_on(player, "vm-run", host)})


def _visible(player: Player, item: Item) -> None:
    shown = [{**player.call("task.get_record", ref), "ref": ref} for ref in _synchronous(player)]
    player.compare_note(item, {"tasks": [{**task, **_dates(task)} for task in shown]}, "history")


def _dates(task: dict[str, Any]) -> dict[str, Any]:
    return {name: {"__dateTime__": str(task[name])} for name in ("created", "finished")}


def _after_disconnect(player: Player, item: Item) -> None:
    (ref,) = _synchronous(player)
    CALLER.go_away(player)
    wait_until(player, lambda: not player.pool.store.exists("task", ref))
    tasks = [[ref, player.client.refuse("task.get_record", ref)]]
    player.compare_note(item, {"arrived": is_on(player, "vm-run", "h2"), "tasks": tasks})


def _constants(player: Player, item: Item) -> None:
    text = f"see source Xapi_globs/Db_gc: {KEPT_SECONDS / 60:.0f} min"
    player.compare_note(item, {"completed_task_timeout": text})


TOPIC = Topic(
    "10_task_api_and_disconnect",
    make_lab(vm1=None),
    time_scale=10.0,
    is_steady=True,
    before={
        0: _prepare,
        32: _bind_session(_SESSION_2),
        36: CALLER.call,
        39: _bind_session(_SESSION_3),
        40: _log_out_meanwhile,
    },
    beside=frozenset({39}),
    notes={
        30: lambda player, item: follow(player, item, _RUNNING),
        31: lambda player, item: follow(player, item, _RUNNING),
        34: lambda player, item: follow(player, item, _RUNNING_2),
        35: _arrived("h1"),
        36: _visible,
        38: _after_disconnect,
        40: _arrived("h1"),
        42: _constants,
    },
)


def test_is_answered_as_recorded(answer: Answer) -> None:
    assert not answer.differences, f"{answer.item.name}\n" + "\n".join(map(str, answer.differences))
