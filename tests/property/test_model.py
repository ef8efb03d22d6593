"""Every call of the data model, with arguments made up from it: what comes back is what the model says."""

from __future__ import annotations

import functools
import json
import random
import sys
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import pytest

from lmflow.simulator.context import Context
from lmflow.simulator.database.availability import Way, find_way
from lmflow.simulator.database.schema import Message, Schema
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.kernel import Options
from lmflow.simulator.pool import SimulatedPool
from lmflow.simulator.registry import OPERATIONS, Operation
from lmflow.simulator.wire.endpoint import Wire
from lmflow.simulator.wire.http1 import HttpRequest
from lmflow.simulator.worlds import world
from tests.support.calls import Arguments, find_misfit, has_right_length, may_raise
from tests.support.recorded import lab

SCHEMA = Schema.load()
ALONE = ("VM", "host", "pool", "session", "event", "task", "SR", "VDI", "VBD", "VIF", "PBD")
"""Classes whose operations may leave little of a pool; each gets one to be thrown away."""
SHARED = [name for name, cls in SCHEMA.classes.items() if cls.messages and name not in ALONE]
GROUPS = [*([name] for name in ALONE), *(SHARED[part::8] for part in range(8))]
SECONDS = 8.0
"""Real seconds in which whatever was begun has to end at this speed."""
REALLY_NOT_IMPLEMENTED = frozenset({"VM.send_sysrq", "VM.send_trigger"})
"""What xapi itself declares and does not carry out. Source: xapi_vm.ml."""
OWN_SESSION = frozenset({"session", "event"})
"""Classes that end or occupy the session with which they are called."""


@functools.cache
def find_world(name: str) -> world.World:
    return world.load(lab.make_lab() if name == "recorded" else lab.make_other(lab.make_lab()))


class Caller:
    """Asks a pool without a network between, in JSON, whose types are exact."""

    def __init__(self, pool: SimulatedPool, seed: int) -> None:
        self.pool = pool
        self.problems: list[str] = []
        self.tasks: dict[str, Message] = {}
        self.arguments = Arguments(pool.schema, pool.store, random.Random(seed))  # noqa: S311 - a repeatable test
        self._wire = Wire(pool)
        self.session = self.log_in()

    def log_in(self) -> str:
        options = self.pool.options
        reply = self.ask("session.login_with_password", [options.username, options.password, "1.0", "property"])
        return str(reply["result"])

    def ask(self, name: str, params: list[Any]) -> dict[str, Any]:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": name, "params": params}).encode()
        headers = {"content-length": str(len(body))}
        request = HttpRequest(
            self.pool.coordinator_ref, "POST", "/jsonrpc", "HTTP/1.1", headers, body, threading.Event()
        )
        reply = self._wire.answer(request)
        assert reply.status == 200, f"{name}{params}: HTTP {reply.status}"
        return dict(json.loads(reply.body))

    def try_message(self, message: Message) -> None:
        """Make a call with everything that it could be given."""
        for mood in ("good", "null", "bad"):
            params = self.arguments.make_all(message, mood)
            self.try_call(message, params)
            if mood == "good":
                self.try_call(message, params, prefix="Async.")
                for spoilt in self.arguments.spoil(message, params):
                    self.try_call(message, spoilt)

    def try_call(self, message: Message, params: list[Any], prefix: str = "") -> None:
        if message.cls in OWN_SESSION or not self.pool.sessions.is_valid(self.session):
            self.session = self.log_in()
        sent = [self.session, *params] if message.needs_session else params
        name = prefix + message.wire_name
        reply = self.ask(name, sent)
        if "error" in reply:
            self._weigh_error(message, name, params, [reply["error"]["message"], *reply["error"]["data"]])
            return
        kind = "task ref" if prefix else message.result
        misfit = find_misfit(self.pool.schema, kind, reply["result"])
        if misfit:
            self.problems.append(f"{name}{params}: {misfit}")
        if prefix:
            self.tasks[reply["result"]] = message

    def _weigh_error(self, message: Message, name: str, params: list[Any], description: list[str]) -> None:
        if not has_right_length(description):
            self.problems.append(f"{name}{params}: {description} has not its number of parameters, or is unknown")
        if not may_raise(message, description[0]):
            self.problems.append(f"{name}{params}: raises {description}")
        told = message.wire_name in REALLY_NOT_IMPLEMENTED or find_way(message) is Way.NOT_SIMULATED
        if description[0] == "NOT_IMPLEMENTED" and not told:
            self.problems.append(f"{name}{params}: is said to be simulated, and is not")

    def finish(self) -> None:
        """Wait for the end of what was begun, and weigh it."""
        for ref, message in self.tasks.items():
            self._finish_task(ref, message)
        store = self.pool.store
        with store.changed:
            if not store.changed.wait_for(lambda: not self._left_behind(), SECONDS):
                self.problems.extend(self._left_behind())

    def _finish_task(self, ref: str, message: Message) -> None:
        store = self.pool.store
        with store.changed:
            is_over = lambda: not store.exists("task", ref) or store.value("task", ref, "status") != "pending"  # noqa: E731
            if not store.changed.wait_for(is_over, SECONDS):
                self.problems.append(f"Async.{message.wire_name} does not end")
            elif store.exists("task", ref):
                self._weigh_task(store.record("task", ref), message)

    def _weigh_task(self, task: dict[str, Any], message: Message) -> None:
        name = f"Async.{message.wire_name} in its task"
        if task["status"] == "failure":
            self._weigh_error(message, name, [], task["error_info"])
        elif task["status"] == "success":
            result = ET.fromstring(task["result"]) if task["result"] else None  # noqa: S314 - written by our own pool
            if message.result == "void" and task["result"] not in {"", "<value></value>"}:
                self.problems.append(f"{name}: {task['result']} is no void")
            if message.result.endswith(" ref") and (result is None or not (result.text or "").startswith("OpaqueRef:")):
                self.problems.append(f"{name}: {task['result']} is no {message.result}")

    def _left_behind(self) -> list[str]:
        """What is still under way, or says so."""
        store = self.pool.store
        found = []
        for cls in store.schema.classes.values():
            if "current_operations" in cls.fields and cls.name != "task":
                for ref in store.refs(cls.name):
                    if held := store.value(cls.name, ref, "current_operations"):
                        found.append(f"{cls.name} {ref} still has {held}")
        for ref in store.refs("task"):
            task = store.record("task", ref)
            if task["status"] == "pending" and (ref in self.tasks or "." in task["name_label"]):
                found.append(f"a task of {task['name_label']} is left")
        return found


@pytest.mark.parametrize("name", ["recorded", "second"])
@pytest.mark.parametrize("seed", range(len(GROUPS)), ids=lambda seed: GROUPS[seed][0])
def test_replies_are_what_the_model_says(name: str, seed: int, capfd: pytest.CaptureFixture[str]) -> None:
    with SimulatedPool(Options(time_scale=1000.0, seed=seed), world=find_world(name)) as pool:
        caller = Caller(pool, seed)
        for cls in GROUPS[seed]:
            for message in SCHEMA.classes[cls].messages.values():
                caller.try_message(message)
        caller.finish()
    assert not caller.problems, f"{len(caller.problems)}:\n" + "\n".join(caller.problems[:60])
    assert "Traceback" not in capfd.readouterr().err


def test_every_call_of_the_model_is_tried() -> None:
    assert sorted(cls for group in GROUPS for cls in group) == sorted(
        n for n, c in SCHEMA.classes.items() if c.messages
    )


def _give_text(_ctx: Context, _ref: str) -> str:
    return "seven"


def _refuse_as_nobody_does(_ctx: Context, ref: str) -> None:
    raise ApiFailure("VM_IS_TIRED", ref)


def _refuse_with_too_little(_ctx: Context, _ref: str) -> None:
    raise ApiFailure("VM_BAD_POWER_STATE")


def _leave_an_operation_behind(ctx: Context, ref: str) -> None:
    ctx.store.update("VM", ref, current_operations={"OpaqueRef:x": "pause"})


@pytest.mark.parametrize(
    ("call", "broken", "found"),
    [
        ("VM.get_user_version", _give_text, "'seven' is no int"),
        ("VM.pause", _refuse_as_nobody_does, "raises ['VM_IS_TIRED'"),
        ("VM.pause", _refuse_with_too_little, "has not its number of parameters"),
        ("VM.pause", _leave_an_operation_behind, "still has"),
    ],
)
def test_a_pool_that_does_otherwise_is_found_out(
    monkeypatch: pytest.MonkeyPatch, call: str, broken: Callable[..., object], found: str
) -> None:
    monkeypatch.setitem(OPERATIONS, call, Operation(call, broken))
    monkeypatch.setattr(sys.modules[__name__], "SECONDS", 0.1)
    with SimulatedPool(Options(time_scale=1000.0), world=find_world("recorded")) as pool:
        caller = Caller(pool, 1)
        message = SCHEMA.find_message(call)
        assert message is not None
        caller.try_message(message)
        caller.finish()
    assert any(found in problem for problem in caller.problems), caller.problems
