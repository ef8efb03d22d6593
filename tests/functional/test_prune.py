"""Finding old runs and deleting them, by the command, with a migration under way beside it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support import golden_loading as golden
from tests.support.ends import Ends
from tests.support.invariants import Invariants
from tests.support.scene import Scene

NAME = "r0001-v2"
ENDED = {"success", "refused", "failed", "tried", "tried#2"}
OPEN = {"arrived", "before-submit", "copying", "reverting", "settling", "suspended", "unknown"}


def find(scene: Scene, *words: str) -> set[str]:
    return {run["request_id"] for run in scene.rows("run", "list", *words)}


def prune(scene: Scene, *words: str) -> dict[str, Any]:
    done = scene.run("run", "prune", *words, "-f", "json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture
def old(scene: Scene) -> Scene:
    """A scene with the database that an older lmflow left; nobody asks a pool."""
    golden.write_file(NAME, scene.database_file)
    scene.write_config()
    assert scene.run("db", "upgrade").returncode == 0
    scene.config_file.write_text(scene.config_file.read_text() + "[pool:lab]\naddresses = 127.0.0.1\n")
    return scene


def test_runs_are_found_by_what_is_known_of_them(old: Scene) -> None:
    assert find(old) == OPEN
    assert find(old, "--all") == OPEN | ENDED | {"dirty"}
    assert find(old, "--state", "failed", "--state", "dirty") == {"failed", "tried", "dirty"}
    assert find(old, "--vm", "off") == {"refused"}
    assert find(old, "--vm", "v0", "--state", "failed") == set()
    (run,) = old.rows("run", "list", "--vm", "v0")
    shown = json.loads(old.run("run", "show", run["run"], "-f", "json").stdout)
    assert find(old, "--vm", shown["vm_uuid"]) == {"success"}
    begun = sorted((each["created"], each["request_id"]) for each in old.rows("run", "list", "--all"))
    first, last = begun[0][0], begun[-1][0]
    assert find(old, "--until", first) == set()
    assert begun[-1][1] in find(old, "--since", last)
    assert find(old, "--all", "--since", "99999d") == OPEN | ENDED | {"dirty"}
    assert len(find(old, "--all", "--limit", "3")) == 3
    assert find(old, "--all", "--pool", "lab") == OPEN | ENDED | {"dirty"}
    assert old.run("run", "list", "--pool", "nosuch").returncode == 2
    for wrong in ("yesterday", "7x", "2026-13-01", "-1d", "1e400d"):
        refused = old.run("run", "list", f"--since={wrong}")
        assert refused.returncode == 2, wrong
        assert "is no moment" in refused.stderr


def test_nothing_goes_without_yes_and_then_only_what_was_said(old: Scene) -> None:
    nothing = {"deleted": False, "requests": 0, "runs": 0, "states": {}, "oldest": None, "newest": None, "forgotten": 0}
    assert prune(old, "--older-than", "99999") == nothing
    told = prune(old, "--older-than", "0")
    assert (told["deleted"], told["requests"], told["runs"]) == (False, 4, 5)
    assert told["states"] == {"failed": 1, "refused": 1, "success": 2}
    assert "nothing was deleted; --yes deletes them" in old.run("run", "prune", "--older-than", "0").stdout
    assert prune(old, "--older-than", "0", "--keep", "3")["requests"] == 1
    assert find(old, "--all") == OPEN | ENDED | {"dirty"}
    some = prune(old, "--older-than", "0", "--state", "refused", "--yes")
    assert (some["deleted"], some["states"]) == (True, {"refused": 1})
    assert prune(old, "--older-than", "0", "--yes") == {
        **told, "deleted": True, "requests": 3, "runs": 4, "states": {"failed": 1, "success": 2},
    }  # fmt: skip
    assert find(old, "--all") == OPEN | {"dirty"}
    for wrong in (("--older-than", "-1"), ("--older-than", "soon"), (), ("--older-than", "1", "--state", "dirty")):
        assert old.run("run", "prune", *wrong).returncode == 2, wrong


def test_a_pruned_request_answers_as_it_ended_and_asks_no_pool(old: Scene) -> None:
    names = ("success", "refused", "failed", "tried")
    before = {name: old.rows("run", "wait", name) for name in names}
    assert prune(old, "--older-than", "0", "--yes")["forgotten"] == 0
    for name, known in before.items():
        words = ("migrate", known["vm"], *(() if name == "tried" else ("--to", known["destination"])))
        again = old.run(*words, "--request-id", name, "-f", "json")
        assert again.returncode == known["exit_code"], again.stderr
        told = json.loads(again.stdout)
        of_records = {"findings": [], "choice": None, "tries": [], "warnings": []}
        assert told == {**known, **of_records, "advice": told["advice"], "pruned": told["pruned"]}
        assert told["pruned"] is not None
        assert "its records were pruned" in old.run("run", "wait", name).stdout.replace("\n" + " " * 11, " ")
        for shown in (old.run("run", "show", name), old.run("run", "show", known["run"][:13])):
            assert shown.returncode == 0, shown.stderr
            assert known["run"] in shown.stdout
            assert "pruned" in shown.stdout
        why = old.rows("why", name)
        assert (why["state"], why["explanation"]) == (known["state"], known["summary"])
        assert why["last_written"].startswith("its records were pruned on ")
        assert old.run("graph", name).returncode == 2
        assert old.run("resume", name).returncode == known["exit_code"]
    assert old.run("migrate", "another", "--request-id", "success").returncode == 2
    assert find(old, "--all") == OPEN | {"dirty"}
    counted = prune(old, "--older-than", "0", "--forget-ids")
    assert (counted["deleted"], counted["runs"], counted["forgotten"]) == (False, 0, 5)
    freed = old.run("run", "prune", "--older-than", "0", "--forget-ids", "--yes")
    assert "5 are free" in freed.stdout
    assert old.run("run", "show", "success").returncode == 2


def test_a_migration_goes_on_beside_it_and_the_same_request_moves_nothing_until_its_id_is_forgotten(
    scene: Scene, invariants: Invariants
) -> None:
    invariants.foreign_migrations["v0"] = 1  # that of the run which nobody remembers afterwards
    ends = Ends.start(scene)
    assert ends.succeed("first").returncode == 0
    owner = ends.hold("second")
    assert prune(scene, "--older-than", "0", "--yes")["requests"] == 1
    assert find(scene, "--all") == {"second"}
    ends.release()
    assert ends.end(owner).returncode == 0
    sent = len(ends.pool.changing_calls())
    again = ends.migrate(ends.vms["first"], "first")
    assert again.returncode == 0, again.stderr
    assert len(ends.pool.changing_calls()) == sent
    assert find(scene, "--all") == {"second"}
    assert prune(scene, "--older-than", "0", "--keep", "1", "--forget-ids", "--yes")["forgotten"] == 1
    moved = scene.run("migrate", ends.vms["first"], "--to", "C", "--request-id", "first")
    assert moved.returncode == 0, moved.stderr
    assert find(scene, "--all") == {"first", "second"}
