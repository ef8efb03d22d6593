"""What ``-f json`` prints follows the published schemas, in every state of a run, and they describe nothing else."""

from __future__ import annotations

import datetime
import itertools
import json
import signal
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from tests.support.ends import Ends
from tests.support.invariants import Invariants
from tests.support.kills import pause
from tests.support.scene import Scene
from tests.support.schemas import SCHEMAS, make_validator, read_schema

NAMES = ("cancellation", "config", "explain", "outcome", "plan", "prune", "run", "run-show", "status", "why")
OF_OTHERS = ("check", "picture")
WITH_A_WITNESS = {"/$defs/view/properties/step", "/$defs/view/properties/where"}
"""No step is proved safe in this pool, whose witness refuses to answer: test_wrong_views.py sees these."""
Said = tuple[str, Any]


def list_properties(schema: Any, at: str = "") -> Iterator[str]:
    """Yield where each property of a schema is described, as a pointer into it."""
    if isinstance(schema, dict):
        for key, part in schema.items():
            if key == "properties":
                yield from (f"{at}/properties/{name}" for name in part)
            yield from list_properties(part, f"{at}/{key}")
    elif isinstance(schema, list):
        for number, part in enumerate(schema):
            yield from list_properties(part, f"{at}/{number}")


def find_seen(validator: jsonschema.Draft202012Validator, schema: Any, value: Any, at: str) -> Iterator[str]:
    """Yield the pointers of the properties that have a value here: neither null nor empty."""
    if "$ref" in schema:
        at = schema["$ref"].removeprefix("#")
        schema = validator.schema
        for key in at.split("/")[1:]:
            schema = schema[key]
    for number, branch in enumerate(schema.get("oneOf", ())):
        if validator.evolve(schema={**branch, "$defs": validator.schema.get("$defs", {})}).is_valid(value):
            yield from find_seen(validator, branch, value, f"{at}/oneOf/{number}")
    if isinstance(value, list):
        for each in value if "items" in schema else ():
            yield from find_seen(validator, schema["items"], each, f"{at}/items")
    if isinstance(value, dict):
        for name, part in schema.get("properties", {}).items():
            if name in value and value[name] not in (None, "", [], {}):
                yield f"{at}/properties/{name}"
                yield from find_seen(validator, part, value[name], f"{at}/properties/{name}")


def test_all_schemas_are_under_test_and_describe_what_they_name() -> None:
    files = {path.name for path in SCHEMAS.glob("*.json")}
    assert files == {f"{name}.v1.json" for name in (*NAMES, *OF_OTHERS)}
    for name in NAMES:
        schema = read_schema(name)
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["$id"] == f"urn:lmflow:schema:{name}:1"
        assert not list(find_loose(schema)), name
    cancellation, outcome = read_schema("cancellation"), read_schema("outcome")
    more = {key: cancellation["properties"][key] for key in ("answer", "because")}
    assert cancellation["properties"] == {**more, **outcome["$defs"]["outcome"]["properties"]}


def find_loose(part: Any) -> Iterator[Any]:
    """Yield objects that may hold more than is described, or need not hold all of it, and what nothing is said of."""
    if isinstance(part, dict):
        described = part.get("properties", {})
        if described and (part.get("additionalProperties") is not False or set(part["required"]) != set(described)):
            yield part
        yield from (p for p in described.values() if not ("description" in p or "$ref" in p))
        for each in part.values():
            yield from find_loose(each)
    elif isinstance(part, list):
        for each in part:
            yield from find_loose(each)


def say_outcomes(ends: Ends) -> Iterator[Said]:
    """Bring runs to all their ends, with what each command says of that."""
    form = ("-f", "json", "--reason", "a test")
    for request_id, begin in (
        ("ok", ends.succeed),
        ("refused", ends.refuse),
        ("failed", ends.fail),
        ("dirty", ends.soil),
        ("unknown", ends.doubt),
    ):
        yield "outcome", json.loads(begin(request_id, *form).stdout)
    there = ends.scene.rows("migrate", ends.vms["ok"], "--to", "B")
    assert (there["already_there"], there["run"]) == (True, "")
    yield "outcome", there
    ends.fault("setup", vm="pick", error=["HOST_NOT_ENOUGH_FREE_MEMORY", "2", "1"])
    full = ends.scene.rows("migrate", "pick", "--request-id", "full")
    assert [(each["host_name"], each["state"]) for each in full["tries"]] == [("C", "failed"), ("B", "refused")]
    yield "outcome", full
    silence(ends, "pick")
    chosen = ends.scene.rows("migrate", "pick", "--request-id", "pick", "--wait-guest", "0.1")
    assert chosen["choice"]["refused"][0]["name"] == "B"
    yield "outcome", chosen
    nowhere = ends.scene.rows("migrate", "off")
    assert (nowhere["destination"], nowhere["state"]) == ("", "refused")
    yield "outcome", nowhere
    ends.let_go("let-go")
    ends.abandon("left")
    yield "outcome", ends.scene.rows("run", "wait", "left")


def silence(ends: Ends, vm: str) -> None:
    """Let the agent in a VM say nothing any more."""
    guest = ends.pool.records("VM_guest_metrics")[ends.pool.get("VM", vm)["guest_metrics"]]
    said = {"class": "VM_guest_metrics", "uuid": guest["uuid"], "fields": {"live": False}}
    ends.pool.control("POST", "/object", said)


def say_looks(ends: Ends) -> Iterator[Said]:
    """Look at all runs, with the pool and without it."""
    rows = ends.scene.rows
    yield "run", rows("run", "list", "--all")
    yield "prune", rows("run", "prune", "--older-than", "0")
    status = rows("status")
    assert {line["condition"] for line in status} == {"dirty", "unknown", "suspended", "interrupted", "running"}
    yield "status", status
    for request_id in ("ok", "refused", "failed", "dirty", "unknown", "let-go", "left"):
        yield "why", rows("why", request_id)
        yield "run-show", rows("run", "show", request_id)
    for request_id in ("ok", "unknown", "left", "held"):
        yield "plan", rows("resume", request_id, "--plan")
    ends.cut_off()
    blind = rows("status")
    assert {line["seconds_old"] for line in blind} == {None}
    yield "status", blind
    yield "why", rows("why", "let-go")
    ends.mend()


def say_decisions(ends: Ends) -> Iterator[Said]:
    """Cancel, resume, repair and resolve."""
    rows = ends.scene.rows
    for request_id in ("ok", "refused", "failed", "dirty", "unknown", "full", "pick"):
        yield "cancellation", rows("cancel", request_id)
    yield "outcome", rows("repair", "dirty")
    yield "outcome", rows("resolve", "unknown", "--on", "A", "--reason", "looked there")
    ends.release()
    resumed = rows("resume")
    assert [(each["state"], each["interruptions"]) for each in resumed] == [("success", 1)] * 2
    yield "outcome", resumed


def say_pruned(ends: Ends, invariants: Invariants) -> Iterator[Said]:
    """Prune what has ended, and ask for it once more; then count what would be forgotten."""
    invariants.check()  # afterwards nobody knows of these runs
    invariants.foreign_migrations.update(r["vm"] for r in ends.scene.runs() if r["state"] in ("success", "failed"))
    rows = ends.scene.rows
    yield "prune", rows("run", "prune", "--older-than", "0", "--yes")
    for request_id in ("ok", "refused", "failed"):
        yield "outcome", rows("run", "wait", request_id)
        yield "run-show", rows("run", "show", request_id)
        yield "why", rows("why", request_id)
        yield "plan", rows("resume", request_id, "--plan")
        yield "cancellation", rows("cancel", request_id)
    yield "prune", rows("run", "prune", "--older-than", "0", "--forget-ids")


def say_all(ends: Ends) -> Iterator[Said]:
    rows = ends.scene.rows
    yield "explain", rows("explain")
    yield "explain", rows("explain", "VM_REQUIRES_SR")
    yield "config", rows("config", "show")
    yield from say_outcomes(ends)
    owner = ends.hold("held")
    yield from say_looks(ends)
    pause(ends.scene, owner)
    waiting = rows("cancel", "held", "--timeout", "0.1")
    owner.send_signal(signal.SIGCONT)
    cancelled = rows("cancel", "held")
    ends.end(owner)
    assert (waiting["answer"], cancelled["answer"]) == ("waiting", "cancelled")
    yield from (("cancellation", each) for each in (waiting, cancelled))
    yield from say_decisions(ends)


# Some fifty commands one after the other: on a machine that has more to do, they take longer than one test may.
@pytest.mark.timeout(900)
def test_every_answer_follows_its_schema_and_every_property_is_used(scene: Scene, invariants: Invariants) -> None:
    invariants.open_runs = True
    validators = {name: make_validator(name) for name in NAMES}
    seen: dict[str, set[str]] = {name: set() for name in NAMES}
    kinds: dict[str, set[type]] = {name: set() for name in NAMES}
    ends = Ends.start(scene)
    for name, said in itertools.chain(say_all(ends), say_pruned(ends, invariants)):
        validator = validators[name]
        validator.validate(said)
        seen[name].update(find_seen(validator, validator.schema, said, ""))
        kinds[name].add(type(said))
        if name in ("run", "run-show"):
            for run in said if isinstance(said, list) else [said]:
                created, updated = (datetime.datetime.fromisoformat(run[key]) for key in ("created", "updated"))
                assert created <= updated
    described = {name: set(list_properties(read_schema(name))) for name in NAMES}
    unseen = {name: sorted(described[name] - seen[name] - WITH_A_WITNESS) for name in NAMES}
    assert unseen == {name: [] for name in NAMES}
    assert kinds["outcome"] == kinds["explain"] == {dict, list}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("outcome", {"run": "7fd2"}),
        ("outcome", {"source_uuid": "A"}),
        ("outcome", {"more": 1}),
        ("outcome", {"state": "lost"}),
        ("outcome", {"seconds": -1}),
        ("outcome", {"error": {"code": "X"}}),
        ("cancellation", {"answer": "perhaps"}),
    ],
)
def test_a_schema_refuses_what_it_does_not_describe(name: str, wrong: dict[str, Any]) -> None:
    uuid = "00000000-0000-4000-8000-000000000000"
    good = {
        "answer": "cancelled", "because": "asked", "run": uuid, "request_id": "r", "vm": "v", "vm_uuid": uuid,
        "source": "A", "source_uuid": uuid, "destination": "B", "destination_uuid": "",
        "state": "failed", "exit_code": 0, "already_there": False, "summary": "",
        "vm_state": "", "seconds": 1.5, "interruptions": 0, "cancelled": True, "error": None, "findings": [],
        "left": [], "choice": None, "tries": [], "warnings": [], "advice": "", "pruned": None,
    }  # fmt: skip
    if name == "outcome":
        del good["answer"], good["because"]
    validator = make_validator(name)
    assert validator.is_valid(good)
    assert not validator.is_valid({**good, **wrong})
